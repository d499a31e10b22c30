"""Named files of a source, whether they lie in a folder, in a list, or inside a zip."""

import io
import lzma
import os
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from sentinode.errors import DataError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, NotImplementedError
)  # fmt: skip
_JUNK_FOLDERS = {"__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir"}


def is_image(name: str) -> bool:
    """Say whether a file name ends like a patch image: jpg, png or tif."""
    return name.lower().endswith(IMAGE_ENDINGS)


def _is_junk(name: str) -> bool:
    # macOS writes ._NAME beside every NAME of a zip; it ends in .tif and is not an image.
    parts = PurePosixPath(name).parts
    return not parts or parts[-1].startswith(".") or any(part in _JUNK_FOLDERS for part in parts)


class Files(Protocol):
    """Where a source's files are: each has a name relative to the source, with forward slashes."""

    where: str
    in_words: str

    @property
    def names(self) -> list[str]:
        """Names of all files, sorted, without the junk that operating systems leave."""

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name."""

    def locate(self, name: str) -> str:
        """Return what error messages call the file."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in any order."""

    def stamp(self, name: str) -> str:
        """Return a text that changes whenever the file's content may have changed."""


class FolderFiles:
    """The files below a folder."""

    in_words = ""

    def __init__(self, folder: str | Path) -> None:
        self.where = str(folder)
        self._folder = Path(folder)

    @cached_property
    def names(self) -> list[str]:
        """Names relative to the folder, sorted; links are followed, each folder once."""
        found: list[str] = []
        seen: set[str] = set()
        for here, folders, files in os.walk(self._folder, followlinks=True):
            seen.add(os.path.realpath(here))
            folders[:] = [f for f in folders if os.path.realpath(os.path.join(here, f)) not in seen]  # noqa: PTH118
            base = os.path.relpath(here, self._folder).replace(os.sep, "/")
            found += files if base == "." else [f"{base}/{file}" for file in files]
        return sorted(name for name in found if not _is_junk(name))

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
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path(name)}: cannot be read ({error.strerror})") from error

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in any order."""
        try:
            return self.path(name).open("rb")
        except OSError as error:
            raise DataError(f"{self.path(name)}: cannot be read ({error.strerror})") from error

    def stamp(self, name: str) -> str:
        """Return absolute path, size and time of change."""
        try:
            state = self.path(name).stat()
        except OSError as error:
            raise DataError(f"{self.path(name)}: cannot be read ({error.strerror})") from error
        return f"{self._absolute(name)} {state.st_size} {state.st_mtime_ns}"

    @cached_property
    def _root(self) -> str:
        return os.path.realpath(self._folder)

    def _absolute(self, name: str) -> str:
        return f"{self._root}/{name}"


class ListedFiles(FolderFiles):
    """Files named one by one; each keeps its name as it was given."""

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


class ZipFiles:
    """The files inside a zip, read in place."""

    in_words = " in a zip"

    def __init__(self, path: str | Path, where: str | None = None) -> None:
        self._path = Path(path)
        self.where = where or str(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise DataError(f"{path}: not a readable zip ({error}); fetch it again") from error
        self._opening = threading.Lock()
        self._opened: dict[str, Path | None] = {}
        self._members = {
            member.filename.replace("\\", "/"): member
            for member in self._zip.infolist()
            if not member.is_dir() and not _is_junk(member.filename)
        }

    @cached_property
    def names(self) -> list[str]:
        """Names inside the zip, sorted."""
        return sorted(self._members)

    def has(self, name: str) -> bool:
        """Say whether there is a member of this name."""
        return name in self._members

    def locate(self, name: str) -> str:
        """Return the zip's path and the member's name."""
        return f"{self.where}: {name}"

    def read(self, name: str) -> bytes:
        """Return a member's bytes, checked against its CRC."""
        try:
            return self._zip.read(self._members[name])
        except UNREADABLE as error:
            raise self._broken(name, error) from error

    def open(self, name: str) -> BinaryIO:
        """Open a member for reading in any order: a window on the zip when stored, else unpacked.

        A compressed member cannot be read in any order in place, so it is unpacked once into a temporary file that
        goes with this object. The CRC is checked on the first opening.
        """
        with self._opening:
            if name not in self._opened:
                try:
                    self._opened[name] = self._prepare(self._members[name])
                except UNREADABLE as error:
                    raise self._broken(name, error) from error
        unpacked = self._opened[name]
        return unpacked.open("rb") if unpacked else _window(self._path, self._members[name])

    def _prepare(self, member: zipfile.ZipInfo) -> Path | None:
        """Read a member through, which checks its CRC; return where it is unpacked, or None when it is stored."""
        with self._zip.open(member) as packed:
            if member.compress_type != zipfile.ZIP_STORED:
                unpacked = Path(self._folder.name) / str(len(self._opened))
                with unpacked.open("wb") as file:
                    shutil.copyfileobj(packed, file, length=1 << 20)
                return unpacked
            while packed.read(1 << 20):
                pass
        return None

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="sentinode-", ignore_cleanup_errors=True)

    def _broken(self, name: str, error: Exception) -> DataError:
        return DataError(f"{self.locate(name)}: cannot be read ({error}); fetch the zip again")

    def stamp(self, name: str) -> str:
        """Return name, size and CRC of a member: they do not change when the zip is moved."""
        member = self._members[name]
        return f"{name} {member.file_size} {member.CRC:08x}"


class _Window(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb")
        self._start, self._size, self._at = start, size, 0
        self._lock = threading.Lock()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, self._size)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        count = max(0, min(len(buffer), self._size - self._at))
        with self._lock:
            self._file.seek(self._start + self._at)
            got = self._file.readinto(memoryview(buffer)[:count])
        self._at += got
        return got

    def close(self) -> None:
        self._file.close()
        super().close()


def _window(path: Path, member: zipfile.ZipInfo) -> BinaryIO:
    # The local header repeats the name and may hold other extra fields than the directory does.
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        name_bytes = int.from_bytes(file.read(2), "little")
        extra_bytes = int.from_bytes(file.read(2), "little")
    start = member.header_offset + 30 + name_bytes + extra_bytes
    return io.BufferedReader(_Window(path, start, member.file_size), buffer_size=1 << 16)
