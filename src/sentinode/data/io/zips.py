"""Access the files inside a zip, in place: nothing is ever written under the names that a zip states."""

import lzma
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from sentinode.data.io.compression import Unpacked, file_view
from sentinode.data.io.files import Files, check_whole, is_junk, leads_out
from sentinode.errors import DataError

UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, NotImplementedError, struct.error
)  # fmt: skip


class ZipFiles(Files):
    """The files inside a zip.

    Parameters
    ----------
    path : str or Path
        The zip.
    where : str, optional
        Name of the zip in messages; its path by default.
    opening : callable, optional
        Opens the zip, when it is not simply the file at `path`.

    Raises
    ------
    DataError
        The zip cannot be read, or names in it lead out of it or are repeated.
    """

    container = " in a zip"

    def __init__(
        self, path: str | Path, where: str | None = None, opening: Callable[[], BinaryIO] | None = None
    ) -> None:
        self.where = where or str(path)
        self._opening = opening or (lambda: Path(path).open("rb"))  # noqa: SIM115 - closed by whoever opens it
        try:
            self._zip = zipfile.ZipFile(self._opening())
        except (*UNREADABLE, ValueError) as error:
            raise DataError(f"{self.where}: not a readable zip ({error}); download or copy it again") from error
        self._lock = threading.Lock()
        self._unpacked: dict[str, Unpacked] = {}
        self._verified: set[str] = set()
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            name = member.filename.replace("\\", "/")
            if member.is_dir() or is_junk(name):
                continue
            if leads_out(name):
                raise DataError(
                    f"{self.where}: unsafe path {name!r} points outside the archive; do not use this archive"
                )
            if name in self._members:
                raise DataError(f"{self.where}: {name!r} is in the zip twice; pack it again with one of the two")
            self._members[name] = member

    @cached_property
    def names(self) -> list[str]:
        """Sorted names inside the zip."""
        return sorted(self._members)

    def locate(self, name: str) -> str:
        """Return path of the zip and name of the member."""
        return f"{self.where}: {name}"

    def read(self, name: str) -> bytes:
        """Return the content of a member, verified against its CRC.

        Raises
        ------
        DataError
            The member cannot be read or is too large.
        """
        check_whole(self._members[name].file_size, self.locate(name))
        try:
            return self._zip.read(self._members[name])
        except UNREADABLE as error:
            raise self._unreadable(name, error) from error

    def open(self, name: str) -> BinaryIO:
        """Open a member for random access: a view of the zip when it is stored, else unpacked.

        A compressed member has no random access, so it is unpacked once into a temporary file that is deleted with
        this object. The CRC is verified on the first opening.

        Raises
        ------
        DataError
            The member cannot be read.
        """
        return self._open(name, whole=True)

    def peek(self, name: str) -> BinaryIO:
        """Open a member to read its head; the CRC is not verified."""
        return self._open(name, whole=False)

    def stamp(self, name: str) -> str:
        """Return name, size and CRC of a member, which do not change when the zip is moved."""
        member = self._members[name]
        return f"{name} {member.file_size} {member.CRC:08x}"

    def _open(self, name: str, whole: bool) -> BinaryIO:
        member = self._members[name]
        try:
            with self._lock:
                is_stored = member.compress_type == zipfile.ZIP_STORED
                if not is_stored and name not in self._unpacked:
                    self._unpacked[name] = Unpacked(self._zip.open(member), member.file_size, self.locate(name))
                if is_stored and whole and name not in self._verified:
                    with self._zip.open(member) as packed:
                        while packed.read(1 << 20):
                            pass
                    self._verified.add(name)
            return self._view(member) if is_stored else self._unpacked[name].open(whole)
        except UNREADABLE as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, error: Exception) -> DataError:
        return DataError(f"{self.locate(name)}: cannot be read ({error}); download or copy the zip again")

    def _view(self, member: zipfile.ZipInfo) -> BinaryIO:
        # The local header repeats the name and may hold other extra fields than the directory does.
        file = self._opening()
        file.seek(member.header_offset + 26)
        name_bytes = int.from_bytes(file.read(2), "little")
        extra_bytes = int.from_bytes(file.read(2), "little")
        first_byte = member.header_offset + 30 + name_bytes + extra_bytes
        lock = threading.Lock()

        def read_at(start: int, buffer: memoryview) -> int:
            with lock:
                file.seek(first_byte + start)
                return file.readinto(buffer)  # type: ignore[attr-defined]

        return file_view(read_at, member.file_size, file.close)
