"""Named files inside a zip, read in place: nothing is written under the names that a zip says."""

import io
import lzma
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from sentinode.data.io.compression import Unpacked
from sentinode.data.io.files import check_whole, is_junk
from sentinode.errors import DataError

UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, NotImplementedError, struct.error
)  # fmt: skip
_CLIMBS = re.compile(r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)")


class ZipFiles:
    """The files inside a zip, read in place.

    Parameters
    ----------
    path
        The zip.
    where
        What error messages call it; its path when left out.
    opening
        Opens it, when it is not simply the file at `path`.

    Raises
    ------
    DataError
        Not a readable zip, or one whose names are not to be trusted.
    """

    format_evaluation = " in a zip"

    def __init__(
        self, path: str | Path, where: str | None = None, opening: Callable[[], BinaryIO] | None = None
    ) -> None:
        self.where = where or str(path)
        self._path, self._given = Path(path), opening
        try:
            self._zip = zipfile.ZipFile(self._opening())
        except (*UNREADABLE, ValueError) as error:
            raise DataError(f"{self.where}: not a readable zip ({error}); fetch it again") from error
        self._lock = threading.Lock()
        self._unpacked: dict[str, Unpacked] = {}
        self._checked: set[str] = set()
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            name = member.filename.replace("\\", "/")
            if member.is_dir() or is_junk(name):
                continue
            if _CLIMBS.search(name):
                raise DataError(f"{self.where}: {name!r} climbs out of the zip; nobody packs patches so: do not use it")
            if name in self._members:
                raise DataError(f"{self.where}: {name!r} is in it twice; pack it again with one of the two")
            self._members[name] = member

    def _opening(self) -> BinaryIO:
        return self._given() if self._given else self._path.open("rb")

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
        check_whole(self._members[name].file_size, self.locate(name))
        try:
            return self._zip.read(self._members[name])
        except UNREADABLE as error:
            raise self._broken(name, error) from error

    def open(self, name: str) -> BinaryIO:
        """Open a member for reading in any order: a window on the zip when stored, else unpacked.

        A compressed member cannot be read in any order in place, so it is unpacked once into a temporary file that
        goes with this object. The CRC is checked on the first opening.
        """
        member = self._members[name]
        try:
            if member.compress_type != zipfile.ZIP_STORED:
                return self._unpacking(name).open(whole=True)
            with self._lock:
                if name not in self._checked:
                    with self._zip.open(member) as packed:
                        while packed.read(1 << 20):
                            pass
                    self._checked.add(name)
        except UNREADABLE as error:
            raise self._broken(name, error) from error
        return self._window(member)

    def peek(self, name: str) -> BinaryIO:
        """Open a member for a look at its head; the CRC is not checked."""
        member = self._members[name]
        try:
            stored = member.compress_type == zipfile.ZIP_STORED
            return self._window(member) if stored else self._unpacking(name).open(whole=False)
        except UNREADABLE as error:
            raise self._broken(name, error) from error

    def _unpacking(self, name: str) -> Unpacked:
        with self._lock:
            if name not in self._unpacked:
                member = self._members[name]
                self._unpacked[name] = Unpacked(self._zip.open(member), member.file_size, self.locate(name))
            return self._unpacked[name]

    def _broken(self, name: str, error: Exception) -> DataError:
        return DataError(f"{self.locate(name)}: cannot be read ({error}); fetch the zip again")

    def stamp(self, name: str) -> str:
        """Return name, size and CRC of a member: they do not change when the zip is moved."""
        member = self._members[name]
        return f"{name} {member.file_size} {member.CRC:08x}"

    def _window(self, member: zipfile.ZipInfo) -> BinaryIO:
        # The local header repeats the name and may hold other extra fields than the directory does.
        file = self._opening()
        file.seek(member.header_offset + 26)
        name_bytes = int.from_bytes(file.read(2), "little")
        extra_bytes = int.from_bytes(file.read(2), "little")
        start = member.header_offset + 30 + name_bytes + extra_bytes
        return io.BufferedReader(_Window(file, start, member.file_size), buffer_size=1 << 16)


class _Window(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
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
            got = self._file.readinto(memoryview(buffer)[:count])  # type: ignore[attr-defined]
        self._at += got
        return got

    def close(self) -> None:
        self._file.close()
        super().close()
