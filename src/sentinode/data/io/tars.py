"""Access the files inside tar archives; nothing is ever written under the names that an archive states."""

import bz2
import gzip
import lzma
import os
import posixpath
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any, BinaryIO

from sentinode.data.io.compression import file_view
from sentinode.data.io.files import Files, is_junk, leads_out
from sentinode.errors import DataError, first_line

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Images hardly compress; whatever unpacks to more than this is not an archive of patches.
MAX_COMPRESSION = 100
CHUNK_BYTES = 1 << 20
_UNREADABLE = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


def is_tar(name: str) -> bool:
    """Tell whether a file name has the ending of a tar archive."""
    return name.lower().endswith(TAR_ENDINGS)


def without_tar_ending(name: str) -> str:
    """Return a file name without the ending of a tar archive.

    Examples
    --------
    >>> without_tar_ending("a/train-0.tar.gz")
    'a/train-0'
    """
    ending = max((each for each in TAR_ENDINGS if name.lower().endswith(each)), key=len, default="")
    return name[: len(name) - len(ending)]


class TarFiles(Files):
    """The files inside a tar archive.

    A compressed archive is unpacked once into a temporary file that is deleted with this object.

    Parameters
    ----------
    path : str or Path
        The archive.

    Raises
    ------
    DataError
        The archive cannot be read, or names in it lead out of it or are repeated.
    """

    container = " in a tar"

    def __init__(self, path: str | Path) -> None:
        self.where = str(path)
        self._path = Path(path)
        self._lock = threading.Lock()
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            state = self._path.stat()
            self._state = f"{state.st_size} {state.st_mtime_ns}"
            self._file = self._unpacked(self._path.open("rb"))
            members = tarfile.open(fileobj=self._file, mode="r:").getmembers()  # noqa: SIM115 - the file stays open
        except _UNREADABLE as error:
            raise DataError(
                f"{self.where}: not a readable tar ({first_line(error)}); download or copy it again"
            ) from error
        for member in members:
            name = posixpath.normpath(member.name)
            if not member.isreg() or member.issparse() or is_junk(name):
                continue
            if leads_out(member.name):
                raise DataError(
                    f"{self.where}: unsafe path {member.name!r} points outside the archive; do not use this archive"
                )
            if name in self._members:
                raise DataError(f"{self.where}: {name!r} is in the tar twice; pack it again with one of the two")
            self._members[name] = member

    def _unpacked(self, packed: BinaryIO) -> IO[bytes]:
        opener = _OPENERS.get(packed.read(2))
        packed.seek(0)
        if opener is None:
            return packed
        limit = MAX_COMPRESSION * os.fstat(packed.fileno()).st_size
        unpacked = tempfile.TemporaryFile(prefix="sentinode-")  # noqa: SIM115 - deleted with this object
        with packed, opener(packed) as stream:
            while content := stream.read(CHUNK_BYTES):
                if unpacked.tell() > limit:
                    raise DataError(f"{self.where}: unpacks to more than {limit:,} bytes; do not use this archive")
                try:
                    unpacked.write(content)
                except OSError as error:
                    raise DataError(
                        f"{self.where}: cannot be unpacked into {tempfile.gettempdir()} ({error.strerror}); free some "
                        "space there, set $TMPDIR to another folder, or unpack the file yourself"
                    ) from error
        unpacked.seek(0)
        return unpacked

    @cached_property
    def names(self) -> list[str]:
        """Sorted names inside the archive."""
        return sorted(self._members)

    def locate(self, name: str) -> str:
        """Return path of the archive and name of the member."""
        return f"{self.where}: {name}"

    def open(self, name: str) -> BinaryIO:
        """Open a member for random access."""
        member = self._members[name]

        def read_at(start: int, buffer: memoryview) -> int:
            with self._lock:
                self._file.seek(member.offset_data + start)
                return self._file.readinto(buffer)  # type: ignore[attr-defined]

        return file_view(read_at, member.size)

    def stamp(self, name: str) -> str:
        """Return name, size and modification time of member and archive; they stay when the archive is moved."""
        member = self._members[name]
        return f"{name} {member.size} {member.mtime} {self._state}"


class ShardedFiles(Files):
    """The files of several archives; names start with the name of the archive without its ending.

    Parameters
    ----------
    where : str
        The source in messages.
    shards : mapping of str to Files
        Prefixes of names, and archives.
    """

    container = " in tars"

    def __init__(self, where: str, shards: Mapping[str, Files]) -> None:
        self.where = where
        self._shards = shards

    def _find(self, name: str) -> tuple[Files, str]:
        prefix = next(prefix for prefix in self._shards if name.startswith(f"{prefix}/"))
        return self._shards[prefix], name[len(prefix) + 1 :]

    @cached_property
    def names(self) -> list[str]:
        """Names inside all archives, in the order of the archives."""
        return [f"{prefix}/{name}" for prefix, files in self._shards.items() for name in files.names]

    def locate(self, name: str) -> str:
        """Return path of the archive and name of the member."""
        files, inner = self._find(name)
        return files.locate(inner)

    def open(self, name: str) -> BinaryIO:
        """Open a member for random access."""
        files, inner = self._find(name)
        return files.open(inner)

    def stamp(self, name: str) -> str:
        """Return the stamp of the member."""
        files, inner = self._find(name)
        return files.stamp(inner)
