"""Named files of a source, whether they lie in a folder or in a list; `zips` has those inside a zip."""

import os
import stat
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from sentinode.errors import DataError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
# Images and tables are read into memory; the csv of a million patches has a tenth of this.
MAX_WHOLE_BYTES = 1 << 28
_JUNK_FOLDERS = {"__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir"}


def is_image(name: str) -> bool:
    """Say whether a file name ends like a patch image: jpg, png or tif."""
    return name.lower().endswith(IMAGE_ENDINGS)


def is_junk(name: str) -> bool:
    """Say whether a name is that of a file which an operating system or a tool left there."""
    # macOS writes ._NAME beside every NAME of a zip; it ends in .tif and is not an image.
    parts = PurePosixPath(name).parts
    return not parts or parts[-1].startswith(".") or any(part in _JUNK_FOLDERS for part in parts)


def check_whole(size_bytes: int, where: str) -> int:
    """Return `size_bytes` when so much may be read into memory.

    Raises
    ------
    DataError
        It is more.
    """
    if size_bytes > MAX_WHOLE_BYTES:
        raise DataError(f"{where}: {size_bytes / 1e6:,.0f} MB, which no patch and no table of patches has; take it out")
    return size_bytes


class Files(Protocol):
    """Where a source's files are: each has a name relative to the source, with forward slashes."""

    where: str
    format_evaluation: str

    @property
    def names(self) -> list[str]:
        """Names of all files, sorted, without the junk that operating systems leave."""

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name."""

    def locate(self, name: str) -> str:
        """Return what error messages call the file."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes, checked where there is a checksum."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in any order, checked where there is a checksum."""

    def peek(self, name: str) -> BinaryIO:
        """Open a file for a look at its head: nothing is checked, and no more is unpacked than is read."""

    def stamp(self, name: str) -> str:
        """Return a text that changes whenever the file's content may have changed."""


class FolderFiles:
    """The files below a folder."""

    format_evaluation = ""
    # One that lies about in a folder would be waited for without end.
    takes_pipes = False

    def __init__(self, folder: str | Path) -> None:
        self.where = str(folder)
        self._folder = Path(folder)

    @cached_property
    def names(self) -> list[str]:
        """Names relative to the folder, sorted; links are followed, each folder once."""
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
        """Return where the file lies."""
        return self._folder / name

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        return self.path(name).is_file()

    def locate(self, name: str) -> str:
        """Return the file's path."""
        return str(self.path(name))

    def read(self, name: str) -> bytes:
        """Return a file's bytes; a `DataError` when it cannot be read."""
        with self.open(name) as file:
            try:
                state = os.fstat(file.fileno())
                size_bytes = state.st_size if stat.S_ISREG(state.st_mode) else MAX_WHOLE_BYTES
                return file.read(check_whole(size_bytes, self.locate(name)))
            except OSError as error:
                raise DataError(f"{self.path(name)}: cannot be read ({error.strerror})") from error

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in any order."""
        path = self.path(name)
        if not self.takes_pipes and path.exists() and not path.is_file():
            raise DataError(f"{path}: a pipe, a device or a folder, where a file is expected; take it out")
        try:
            return path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path(name)}: cannot be read ({error.strerror})") from error

    def peek(self, name: str) -> BinaryIO:
        """Open a file as `open` does: there is no checksum."""
        return self.open(name)

    def stamp(self, name: str) -> str:
        """Return absolute path, size and time of change; who reads the file will find out that it is gone."""
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
    """Files named one by one; each keeps its name as it was given."""

    takes_pipes = True

    def __init__(self, paths: Sequence[str | Path]) -> None:
        super().__init__(".")
        self.where = str(paths[0]) if len(paths) == 1 else f"{len(paths):,} files"
        self._paths = {Path(path).as_posix(): Path(path) for path in paths}

    @cached_property
    def names(self) -> list[str]:
        """The names in the order given."""
        return list(self._paths)

    def path(self, name: str) -> Path:
        """Return where the file lies; a file beside a listed one is found as well."""
        return self._paths.get(name, Path(name))

    def _absolute(self, name: str) -> str:
        return os.path.realpath(self.path(name))
