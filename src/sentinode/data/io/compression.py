"""Random access to compressed streams: they are unpacked into a temporary file, as far as they are read.

Reading the head of a file, such as for its number of patches, then costs little, and a source whose patches are in
the cache is not unpacked again.
"""

import gzip
import io
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable
from typing import IO, BinaryIO

from sentinode.data.io.files import Files
from sentinode.errors import DataError

CHUNK_BYTES = 1 << 20
GZIPPED_HDF5 = ".h5.gz"


class _View(io.RawIOBase):
    def __init__(
        self,
        read_at: Callable[[int, memoryview], int],
        size_bytes: int,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._read_at, self._size_bytes, self._on_close = read_at, size_bytes, on_close
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(0, (0, self._position, self._size_bytes)[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        view = memoryview(buffer).cast("B")
        count = self._read_at(self._position, view[: max(0, self._size_bytes - self._position)])
        self._position += count
        return count

    def close(self) -> None:
        if self._on_close is not None:
            self._on_close()
        super().close()


def file_view(
    read_at: Callable[[int, memoryview], int], size_bytes: int, on_close: Callable[[], None] | None = None
) -> BinaryIO:
    """Return a read-only file whose bytes come from a function.

    Parameters
    ----------
    read_at : callable
        ``read_at(start, buffer)`` fills a memoryview from byte `start` on and returns the number of bytes.
    size_bytes : int
        Size of the file.
    on_close : callable, optional
        Called when the file is closed.

    Returns
    -------
    file object
        The file, with random access.
    """
    return io.BufferedReader(_View(read_at, size_bytes, on_close), buffer_size=1 << 16)


class Unpacked:
    """The content of a compressed stream, as a file of known size.

    Parameters
    ----------
    packed : file object
        The stream, which is read once from its beginning to its end.
    size_bytes : int
        Size of the unpacked content; any other size is an error.
    where : str
        Name of the stream in messages.
    """

    def __init__(self, packed: IO[bytes] | gzip.GzipFile, size_bytes: int, where: str) -> None:
        self.size_bytes = size_bytes
        self._packed, self._where = packed, where
        self._unpacked_bytes = 0
        self._is_verified = False
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile(prefix="sentinode-")  # noqa: SIM115 - deleted with this object

    def open(self, whole: bool) -> BinaryIO:
        """Open for random access.

        Parameters
        ----------
        whole : bool
            Unpack and verify everything first.

        Returns
        -------
        file object
            The unpacked content.

        Raises
        ------
        DataError
            The disk has too little space, or the stream unpacks to more than it should.
        OSError, EOFError, zlib.error
            The stream is damaged.
        """
        if whole:
            self._check_space()
            self._unpack(self.size_bytes, verify=True)
        return file_view(self._read_at, self.size_bytes)

    def _read_at(self, start: int, buffer: memoryview) -> int:
        self._unpack(start + len(buffer))
        with self._lock:
            self._file.seek(start)
            return self._file.readinto(buffer)

    def _unpack(self, until: int, verify: bool = False) -> None:
        with self._lock:
            while self._unpacked_bytes < until:
                # No more than stated: a small stream may inflate to any size.
                content = self._packed.read(min(CHUNK_BYTES, self.size_bytes - self._unpacked_bytes))
                if not content:
                    raise EOFError(f"it ends after {self._unpacked_bytes:,} of {self.size_bytes:,} bytes")
                self._write(content)
            if verify and not self._is_verified:
                if self._packed.read(1):  # The stream verifies its checksum when its end is read.
                    raise DataError(
                        f"{self._where}: unpacks to more than the stated {self.size_bytes:,} bytes; download or copy "
                        "it again"
                    )
                self._is_verified = True

    def _write(self, content: bytes) -> None:
        try:
            self._file.seek(self._unpacked_bytes)
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise DataError(self._no_space(error.strerror or str(error))) from error
        self._unpacked_bytes += len(content)

    def _check_space(self) -> None:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if self.size_bytes - self._unpacked_bytes > free:
            raise DataError(self._no_space(f"{self.size_bytes / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"))

    def _no_space(self, reason: str) -> str:
        return (
            f"{self._where}: cannot be unpacked into {tempfile.gettempdir()} ({reason}); free some space there, set "
            "$TMPDIR to another folder, or unpack the file yourself"
        )


def hdf5_bytes(head: bytes) -> int:
    """Return the size that an HDF5 file states in its superblock; gzip itself records sizes below 4 GB only.

    Parameters
    ----------
    head : bytes
        First 64 bytes or more of the file.

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    ValueError
        The bytes are not the head of an HDF5 file.

    References
    ----------
    "HDF5 File Format Specification", section II.A.

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
        raise ValueError("the content is not HDF5")
    return int.from_bytes(head[place : place + 8], "little")


class GunzippedFiles(Files):
    """Files in which every ``.h5.gz`` appears as the unpacked ``.h5``.

    Parameters
    ----------
    files : Files
        The files. Where one exists in both forms, the unpacked one is used.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.where, self.ignored_links, self.result_folders = files.where, files.ignored_links, files.result_folders
        names = set(files.names)
        zipped = [name for name in files.names if name.lower().endswith(GZIPPED_HDF5)]
        self._zipped = {name[: -len(".gz")]: name for name in zipped if name[: -len(".gz")] not in names}
        self.container = f"{', gzipped' if self._zipped else ''}{files.container}"
        self._lock = threading.Lock()
        self._unpacked: dict[str, Unpacked] = {}

    @property
    def names(self) -> list[str]:
        """Names of all files, without ``.gz`` where a file is gzipped."""
        given = {zipped: plain for plain, zipped in self._zipped.items()}
        return [given.get(name, name) for name in self._files.names]

    def _stored_name(self, name: str) -> str:
        # A file beside a listed one is not among the names.
        if name in self._zipped or self._files.has(name):
            return self._zipped.get(name, name)
        return f"{name}.gz" if name.lower().endswith(".h5") and self._files.has(f"{name}.gz") else name

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name, gzipped or not."""
        return self._files.has(self._stored_name(name))

    def list_folder(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, as they are stored."""
        return self._files.list_folder(folder)

    def locate(self, name: str) -> str:
        """Return the place of the file as it is stored."""
        return self._files.locate(self._stored_name(name))

    def read(self, name: str) -> bytes:
        """Return the content of a file that is not gzipped."""
        return self._files.read(name)

    def open(self, name: str) -> BinaryIO:
        """Open a file for random access, unpacked and verified."""
        return self._open(name, whole=True)

    def peek(self, name: str) -> BinaryIO:
        """Open a file to read its head."""
        return self._open(name, whole=False)

    def stamp(self, name: str) -> str:
        """Return the stamp of the file as it is stored."""
        return self._files.stamp(self._stored_name(name))

    def _open(self, name: str, whole: bool) -> BinaryIO:
        stored = self._stored_name(name)
        if stored == name:
            return self._files.open(name) if whole else self._files.peek(name)
        try:
            with self._lock:
                if name not in self._unpacked:
                    with gzip.GzipFile(fileobj=self._files.peek(stored)) as head:
                        size_bytes = hdf5_bytes(head.read(64))
                    stream = gzip.GzipFile(fileobj=self._files.open(stored))
                    self._unpacked[name] = Unpacked(stream, size_bytes, self._files.locate(stored))
            return self._unpacked[name].open(whole)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(
                f"{self._files.locate(stored)}: cannot be unpacked ({error}); download or copy it again"
            ) from error
