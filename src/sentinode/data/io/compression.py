"""Compressed streams that are read in any order: unpacked into a temporary file, as far as they are asked for.

A look at the head of a file, such as for the number of its patches, then costs nothing, and the pixels of a source
that is in the cache are not unpacked again.
"""

import gzip
import io
import shutil
import tempfile
import threading
import zlib
from typing import IO, BinaryIO

from sentinode.data.io.files import Files
from sentinode.errors import DataError

CHUNK_BYTES = 1 << 20
GZIPPED_HDF5 = ".h5.gz"


class Unpacked:
    """The content of a compressed stream as a file of known size.

    Parameters
    ----------
    packed
        The stream, read from its beginning to its end and not sought in.
    size_bytes
        How much it has to hold, not more and not less.
    where
        What error messages call it.
    """

    def __init__(self, packed: IO[bytes] | gzip.GzipFile, size_bytes: int, where: str) -> None:
        self.size_bytes = size_bytes
        self._packed, self._where = packed, where
        self._done = 0
        self._ended = False
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile(prefix="sentinode-")  # noqa: SIM115 - it goes with this object

    def open(self, whole: bool) -> BinaryIO:
        """Open for reading in any order; `whole` unpacks and checks everything first.

        Raises
        ------
        DataError
            There is no room for it, or the stream holds more than it should.
        OSError, EOFError, zlib.error
            What the stream raises when it is damaged.
        """
        if whole:
            self._check_room()
            self._unpack(self.size_bytes, to_the_end=True)
        return io.BufferedReader(_Reader(self), buffer_size=1 << 16)

    def read_at(self, start: int, buffer: memoryview) -> int:
        """Fill `buffer` from `start` on; return how many bytes there were."""
        count = max(0, min(len(buffer), self.size_bytes - start))
        self._unpack(start + count)
        with self._lock:
            self._file.seek(start)
            return self._file.readinto(buffer[:count])

    def _unpack(self, until: int, to_the_end: bool = False) -> None:
        with self._lock:
            while self._done < until:
                # Not a byte more than is said: what a stream may inflate to is anybody's guess.
                content = self._packed.read(min(CHUNK_BYTES, self.size_bytes - self._done))
                if not content:
                    raise EOFError(f"it ends after {self._done:,} of {self.size_bytes:,} bytes")
                self._write(content)
            if to_the_end and not self._ended:
                if self._packed.read(1):
                    raise DataError(
                        f"{self._where}: unpacks to more than the {self.size_bytes:,} bytes it says; fetch it again"
                    )
                self._ended = True  # A stream compares its checksum when its end is read.

    def _write(self, content: bytes) -> None:
        try:
            self._file.seek(self._done)
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise DataError(self._no_room(error.strerror or str(error))) from error
        self._done += len(content)

    def _check_room(self) -> None:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if self.size_bytes - self._done > free:
            raise DataError(self._no_room(f"{self.size_bytes / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"))

    def _no_room(self, reason: str) -> str:
        return (
            f"{self._where}: cannot be unpacked into {tempfile.gettempdir()} ({reason}); free some room there, name "
            "another folder with $TMPDIR, or unpack the file yourself"
        )


class _Reader(io.RawIOBase):
    """A place of its own in what is unpacked."""

    def __init__(self, unpacked: Unpacked) -> None:
        self._unpacked, self._at = unpacked, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, (0, self._at, self._unpacked.size_bytes)[whence] + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        got = self._unpacked.read_at(self._at, memoryview(buffer).cast("B"))
        self._at += got
        return got


def hdf5_bytes(head: bytes) -> int:
    """Return how large an HDF5 file says it is; gzip itself knows sizes up to 4 GB alone.

    Parameters
    ----------
    head
        Its first 64 bytes or more: the superblock, see "HDF5 File Format Specification", section II.A.

    Raises
    ------
    ValueError
        They are not the head of an HDF5 file.

    Examples
    --------
    >>> import h5py, io
    >>> file = io.BytesIO()
    >>> h5py.File(file, "w").close()
    >>> hdf5_bytes(file.getvalue()[:64]) == len(file.getvalue())
    True
    """
    version = head[8] if head[:8] == b"\x89HDF\r\n\x1a\n" and len(head) >= 64 else None
    place = {0: 40, 1: 44, 2: 28, 3: 28}.get(version)  # type: ignore[arg-type]
    if place is None or head[9 if version in (2, 3) else 13] != 8:
        raise ValueError("what is in it is not HDF5")
    return int.from_bytes(head[place : place + 8], "little")


class Gunzipped:
    """Files of which those that end in ``.h5.gz`` are seen without the ``.gz``.

    Parameters
    ----------
    files
        What is wrapped. Where a file is there both ways, the plain one is taken.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.where = files.where
        names = set(files.names)
        zipped = [name for name in files.names if name.lower().endswith(GZIPPED_HDF5)]
        self._zipped = {name[: -len(".gz")]: name for name in zipped if name[: -len(".gz")] not in names}
        self.format_evaluation = f"{', still gzipped' if self._zipped else ''}{files.format_evaluation}"
        self._lock = threading.Lock()
        self._unpacked: dict[str, Unpacked] = {}

    @property
    def names(self) -> list[str]:
        """Names of all files, those that were gzipped without their last ending."""
        given = {zipped: plain for plain, zipped in self._zipped.items()}
        return [given.get(name, name) for name in self._files.names]

    def _name(self, name: str) -> str:
        # A file beside a listed one is not among the names.
        if name in self._zipped or self._files.has(name):
            return self._zipped.get(name, name)
        return f"{name}.gz" if name.lower().endswith(".h5") and self._files.has(f"{name}.gz") else name

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name, gzipped or not."""
        return self._files.has(self._name(name))

    def locate(self, name: str) -> str:
        """Return what error messages call the file."""
        return self._files.locate(self._name(name))

    def read(self, name: str) -> bytes:
        """Return a file's bytes; those of ``.h5.gz`` are never asked for whole."""
        return self._files.read(name)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in any order, unpacked and checked."""
        return self._open(name, whole=True)

    def peek(self, name: str) -> BinaryIO:
        """Open a file for a look at its head."""
        return self._open(name, whole=False)

    def stamp(self, name: str) -> str:
        """Return the packed file's stamp."""
        return self._files.stamp(self._name(name))

    def _open(self, name: str, whole: bool) -> BinaryIO:
        packed = self._name(name)
        if packed == name:
            return self._files.open(name) if whole else self._files.peek(name)
        try:
            with self._lock:
                if name not in self._unpacked:
                    with gzip.GzipFile(fileobj=self._files.peek(packed)) as head:
                        size_bytes = hdf5_bytes(head.read(64))
                    stream = gzip.GzipFile(fileobj=self._files.open(packed))
                    self._unpacked[name] = Unpacked(stream, size_bytes, self._files.locate(packed))
            return self._unpacked[name].open(whole)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(f"{self._files.locate(packed)}: cannot be unpacked ({error}); fetch it again") from error
