"""Read rows of a data set in an HDF5 file."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import h5py
import numpy as np

from sentinode.data.io.files import Files
from sentinode.data.types import IndexArray
from sentinode.errors import DataError, first_line

ENDINGS = (".h5", ".hdf5")
# Deflate compresses to a thousandth at best, and a data set that was never written reads as black patches.
MAX_COMPRESSION = 1032
# Chunks of this size and above are kept after they were unpacked: their rows are seldom needed all at once.
LARGE_CHUNK_BYTES = 1 << 20
CHUNK_CACHE_BYTES = 1 << 27


class Hdf5Array:
    """A data set in an HDF5 file; its first axis is the rows.

    Parameters
    ----------
    files : Files
        Where the file is.
    name : str
        Name of the file.
    keys : sequence of str
        Possible names of the data set, the preferred one first.
    """

    def __init__(self, files: Files, name: str, keys: Sequence[str]) -> None:
        self.where = files.locate(name)
        self._files, self._name, self._keys = files, name, keys
        self._chunks: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and dtype.

        Raises
        ------
        DataError
            The file cannot be read, has no such data set, or is too small for its shape.
        """
        raw = self._files.peek(self._name)
        size_bytes = raw.seek(0, 2)
        with _open(self.where, raw, self._keys) as data:
            shape = data.shape or ()
            if data.size * data.dtype.itemsize > MAX_COMPRESSION * size_bytes:
                raise DataError(
                    f"{self.where}: {size_bytes:,} bytes cannot contain the {len(data):,} rows that the file declares"
                )
            return shape, data.dtype

    def values(self) -> np.ndarray:
        """Read everything."""
        with _open(self.where, self._files.open(self._name), self._keys) as data:
            return np.asarray(data[()])

    def read(self, rows: IndexArray) -> np.ndarray:
        """Read rows; each chunk of the file is unpacked once.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Row numbers, sorted and unique.

        Raises
        ------
        DataError
            The rows cannot be read.
        """
        with _open(self.where, self._files.open(self._name), self._keys) as data:
            try:
                return np.concatenate(list(self._parts(data, rows)))
            except (OSError, RuntimeError) as error:
                raise DataError(
                    f"{self.where}: rows {rows[0]} to {rows[-1]} cannot be read ({error}); download or copy the file "
                    "again"
                ) from error

    def stamp(self) -> str:
        """Return the stamp of the file."""
        return self._files.stamp(self._name)

    def _parts(self, data: h5py.Dataset, rows: IndexArray) -> Iterator[np.ndarray]:
        # A slice is a hundred times as fast as a list of rows.
        chunk_rows = data.chunks[0] if data.chunks else 1
        row_bytes = data.dtype.itemsize * int(np.prod(data.shape[1:]))
        chunk_of_row = rows // chunk_rows
        if chunk_rows * row_bytes >= LARGE_CHUNK_BYTES:
            for chunk in np.unique(chunk_of_row):
                wanted = rows[chunk_of_row == chunk]
                if chunk_rows * row_bytes > CHUNK_CACHE_BYTES:
                    yield data[wanted[0] : wanted[-1] + 1][wanted - wanted[0]]
                else:
                    yield self._chunk(data, int(chunk), chunk_rows, row_bytes)[wanted - chunk * chunk_rows]
            return
        for run in np.split(rows, np.flatnonzero(np.diff(chunk_of_row) > 1) + 1):
            yield data[run[0] : run[-1] + 1][run - run[0]]

    def _chunk(self, data: h5py.Dataset, chunk: int, chunk_rows: int, row_bytes: int) -> np.ndarray:
        with self._lock:
            if chunk not in self._chunks:
                while (len(self._chunks) + 1) * chunk_rows * row_bytes > CHUNK_CACHE_BYTES:
                    self._chunks.popitem(last=False)
                self._chunks[chunk] = data[chunk * chunk_rows : (chunk + 1) * chunk_rows]
            self._chunks.move_to_end(chunk)
            return self._chunks[chunk]


def data_sets(files: Files, name: str) -> list[str]:
    """Return the names of the data sets at the top of an HDF5 file; empty when it is not one."""
    try:
        with files.peek(name) as raw, h5py.File(raw, "r") as file:
            return [key for key in file if isinstance(file.get(key, getlink=True), h5py.HardLink)]
    except DataError:
        raise
    except Exception:  # h5py raises a dozen kinds for damaged files.
        return []


@contextmanager
def _open(where: str, raw: BinaryIO, keys: Sequence[str]) -> Iterator[h5py.Dataset]:
    try:
        with raw, h5py.File(raw, "r") as file:
            present = list(file)
            key = next((key for key in keys if key in present), present[0] if len(present) == 1 else keys[0])
            # Links to other files could read what the user never named.
            if not isinstance(file.get(key, getlink=True), h5py.HardLink) or not isinstance(file[key], h5py.Dataset):
                raise DataError(
                    f"{where}: no data set {keys[0]!r} (names in the file: {', '.join(present) or 'none'}); "
                    f"store the pixels as 'x' and the labels as 'y'"
                )
            data = file[key]
            if data.external or data.is_virtual:
                raise DataError(f"{where}: {key!r} keeps its data in other files; copy it into one plain data set")
            yield data
    except DataError:
        raise
    except Exception as error:  # h5py raises a dozen kinds for damaged files.
        raise DataError(
            f"{where}: not a readable HDF5 file ({first_line(error)}); download or copy it again"
        ) from error
