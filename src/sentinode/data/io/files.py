"""Access the files of a source: in a folder or listed one by one."""

import os
import stat
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from sentinode.errors import DataError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
# Images and tables are read into memory whole; the csv of a million patches has a tenth of this.
MAX_WHOLE_BYTES = 1 << 28
_JUNK_FOLDERS = {"__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir"}


def is_image(name: str) -> bool:
    """Tell whether a file name has the ending of a patch image."""
    return name.lower().endswith(IMAGE_ENDINGS)


def is_junk(name: str) -> bool:
    """Tell whether an operating system or a tool left this file."""
    # macOS writes ._NAME beside every NAME of a zip; it ends in .tif and is not an image.
    parts = PurePosixPath(name).parts
    return not parts or parts[-1].startswith(".") or any(part in _JUNK_FOLDERS for part in parts)


def check_whole(size_bytes: int, where: str) -> int:
    """Return `size_bytes` when so much may be read into memory.

    Raises
    ------
    DataError
        The file is larger than an image or a table can be.
    """
    if size_bytes > MAX_WHOLE_BYTES:
        raise DataError(f"{where}: {size_bytes / 1e6:,.0f} MB is too large for a patch or a table; remove the file")
    return size_bytes


class Files(Protocol):
    """The files of a source. Names are relative to the source, with forward slashes.

    Attributes
    ----------
    where : str
        The source, in messages.
    container : str
        What holds the files, to be appended to the name of a format: ``""`` or such as ``" in a zip"``.
    """

    where: str
    container: str

    @property
    def names(self) -> list[str]:
        """Sorted names of all files, without the junk of operating systems."""

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""

    def locate(self, name: str) -> str:
        """Return the place of a file, for messages."""

    def read(self, name: str) -> bytes:
        """Return the content of a file; a checksum is verified where there is one."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for random access; a checksum is verified where there is one."""

    def peek(self, name: str) -> BinaryIO:
        """Open a file to read its head; nothing is verified, and no more is unpacked than is read."""

    def stamp(self, name: str) -> str:
        """Return a text that changes whenever the content of the file may have changed."""


class FolderFiles:
    """The files below a folder.

    Parameters
    ----------
    folder : str or Path
        The folder.
    """

    container = ""
    # A pipe inside a folder would be waited for without end.
    takes_pipes = False

    def __init__(self, folder: str | Path) -> None:
        self.where = str(folder)
        self._folder = Path(folder)

    @cached_property
    def names(self) -> list[str]:
        """Sorted names relative to the folder; links are followed, each folder once."""
        found: list[str] = []
        seen: set[str] = set()
        for here, folders, files in os.walk(self._folder, followlinks=True):
            folders.sort()
            if os.path.realpath(here) in seen:  # By a link, and perhaps in a circle.
                folders.clear()
                continue
            seen.add(os.path.realpath(here))
            base = os.path.relpath(here, self._folder).replace(os.sep, "/")
            found += files if base == "." else [f"{base}/{file}" for file in files]
        return sorted(name for name in found if not is_junk(name))

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self._folder / name

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return self.path(name).is_file()

    def locate(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.path(name))

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        DataError
            The file cannot be read or is too large.
        """
        with self.open(name) as file:
            try:
                state = os.fstat(file.fileno())
                size_bytes = state.st_size if stat.S_ISREG(state.st_mode) else MAX_WHOLE_BYTES
                return file.read(check_whole(size_bytes, self.locate(name)))
            except OSError as error:
                raise DataError(f"{self.path(name)}: cannot be read ({error.strerror})") from error

    def open(self, name: str) -> BinaryIO:
        """Open a file for random access.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        path = self.path(name)
        if not self.takes_pipes and path.exists() and not path.is_file():
            raise DataError(f"{path}: a folder, pipe or device, where a file is expected; remove it")
        try:
            return path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def peek(self, name: str) -> BinaryIO:
        """Open a file, as `open` does: there is no checksum."""
        return self.open(name)

    def stamp(self, name: str) -> str:
        """Return absolute path, size and modification time; a missing file is reported when it is read."""
        try:
            state = self.path(name).stat()
        except OSError as error:
            return f"{self._absolute(name)} {error.strerror}"
        return f"{self._absolute(name)} {state.st_size} {state.st_mtime_ns}"

    @cached_property
    def _root(self) -> str:
        return os.path.realpath(self._folder)

    def _absolute(self, name: str) -> str:
        return f"{self._root}/{name}"


class ListedFiles(FolderFiles):
    """Files that were listed one by one; each keeps the name that it was given.

    Parameters
    ----------
    paths : sequence of str or Path
        The files.
    """

    takes_pipes = True

    def __init__(self, paths: Sequence[str | Path]) -> None:
        super().__init__(".")
        self.where = str(paths[0]) if len(paths) == 1 else f"{len(paths):,} files"
        self._paths = {Path(path).as_posix(): Path(path) for path in paths}

    @cached_property
    def names(self) -> list[str]:
        """The names, in the order given."""
        return list(self._paths)

    def path(self, name: str) -> Path:
        """Return the path of a listed file, or of a file beside one."""
        return self._paths.get(name, Path(name))

    def _absolute(self, name: str) -> str:
        return os.path.realpath(self.path(name))
