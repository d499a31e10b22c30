"""Read rows of an array in a ``.npy`` file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from sentinode.data.io.files import Files
from sentinode.data.types import IndexArray
from sentinode.errors import DataError, first_line


class NpyArray:
    """An array in a ``.npy`` file, by itself or inside an ``.npz``; its first axis is the rows.

    Parameters
    ----------
    files : Files
        Where the file is.
    name : str
        Name of the file.
    """

    def __init__(self, files: Files, name: str) -> None:
        self.where = files.locate(name)
        self._files, self._name = files, name

    def header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and dtype.

        Raises
        ------
        DataError
            The file cannot be read, or its size does not fit its shape.
        """
        with self._open(self._files.peek(self._name)) as (file, shape, dtype, start):
            stored, stated = file.seek(0, 2) - start, int(np.prod(shape)) * dtype.itemsize
            if stored != stated and not dtype.hasobject:
                raise DataError(
                    f"{self.where}: {stored:,} bytes of data, where the shape {shape} needs {stated:,}; "
                    "save or copy the file again"
                )
            return shape, dtype

    def values(self) -> np.ndarray:
        """Read everything."""
        with self._open(self._files.open(self._name)) as (file, *_):
            file.seek(0)
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))

    def read(self, rows: IndexArray) -> np.ndarray:
        """Read rows.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Row numbers, sorted and unique.

        Raises
        ------
        DataError
            The rows cannot be read.
        """
        with self._open(self._files.open(self._name)) as (file, shape, dtype, start):
            row_bytes = dtype.itemsize * int(np.prod(shape[1:]))
            parts = []
            for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
                file.seek(start + int(run[0]) * row_bytes)
                content = file.read(len(run) * row_bytes)
                if len(content) < len(run) * row_bytes:
                    raise EOFError(f"it ends within rows {run[0]} to {run[-1]}")
                parts.append(np.frombuffer(content, dtype=dtype).reshape(-1, *shape[1:]))
            return np.concatenate(parts)

    def stamp(self) -> str:
        """Return the stamp of the file."""
        return self._files.stamp(self._name)

    @contextmanager
    def _open(self, opened: BinaryIO) -> Iterator[tuple[BinaryIO, tuple[int, ...], np.dtype[Any], int]]:
        """Give the file, shape and dtype of the array, and the place of its first byte."""
        try:
            with opened as file:
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[np.lib.format.read_magic(file)]
                shape, is_by_columns, dtype = read_header(file)
                if is_by_columns and len(shape) > 1:
                    raise DataError(f"{self.where}: stored by columns; save numpy.ascontiguousarray of it")
                yield file, shape, dtype, file.tell()
        except DataError:
            raise
        except Exception as error:  # NumPy evaluates a header as Python, which fails in as many ways.
            raise DataError(f"{self.where}: not a readable npy file ({first_line(error)}); save it again") from error
