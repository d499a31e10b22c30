"""NumPy's own files: ``x_train.npy`` with ``y_train.npy``, or both in an ``.npz``.

Pixels are called ``x`` or ``images``, labels ``y`` or ``labels``; a split stands before, behind, or as the name of the
``.npz`` or the folder: ``x_train``, ``train_images``, ``train.npz`` with ``x`` in it. A single array may have any name.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np
import pandas as pd

from sentinode.data.io.files import Files
from sentinode.data.io.zips import ZipFiles
from sentinode.data.labels import SPLIT_ORDER, SPLITS, binary_labels
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import PATCH_BYTES, PATCH_SHAPE, IndexArray, ReadOptions, UInt8Array
from sentinode.errors import DataError, first_line

FORM = "NumPy: x_train.npy with y_train.npy, or .npz with both"

_WORDS = {"x": "x", "image": "x", "images": "x", "y": "y", "label": "y", "labels": "y"}


@dataclass(frozen=True)
class _Array:
    """One ``.npy``, wherever it lies.

    Attributes
    ----------
    files, name
        Where it is.
    group
        What its pixels and labels have in common, such as ``("train",)``.
    what
        ``"x"``, ``"y"``, or None when its name says neither.
    """

    files: Files
    name: str
    group: tuple[str, ...]
    what: str | None

    @property
    def where(self) -> str:
        """What error messages call it."""
        return self.files.locate(self.name)

    @property
    def split(self) -> str | None:
        """The split that its name or its folder says."""
        return next((SPLITS[word.lower()] for word in self.group if word.lower() in SPLITS), None)


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open all arrays of pixels with the labels beside them; None when there is none.

    Patches are 96 × 96 by definition of the form, so `resize` has nothing to do.

    Raises
    ------
    DataError
        Wrong shape or dtype, pixels and labels of different lengths, labels other than 0 and 1, a broken file.
    """
    del options
    arrays = list(_arrays(files))
    pixels = [array for array in arrays if array.what == "x"]
    if not pixels and len(arrays) == 1 == len(files.names):
        pixels = arrays
    if not pixels:
        if arrays and all(name.lower().endswith((".npy", ".npz")) for name in files.names):
            names = ", ".join(array.name.rsplit("/", 1)[-1].removesuffix(".npy") for array in arrays[:9])
            raise DataError(
                f"{files.where}: arrays are called {names}, where x (pixels) and y (labels) are expected, "
                "with a split before or behind, such as x_train; save them under these names"
            )
        return None
    pixels.sort(key=lambda array: (SPLIT_ORDER.index(array.split), array.group))
    labels = {array.group: array for array in arrays if array.what == "y"}
    tables = []
    for array in pixels:
        count = _count(array)
        prefix = f"{array.split}/" if array.split else f"{'/'.join(array.group)}/" if len(pixels) > 1 else ""
        ids = [f"{prefix}{row}" for row in range(count)]
        tables.append(patch_table(ids, _labels(labels.get(array.group), count), split=array.split))
    table = pd.concat(tables, ignore_index=True)
    if table["id"].duplicated().any():
        names = ", ".join(array.name for array in pixels)
        raise DataError(f"{files.where}: two arrays of pixels for one split ({names}); keep one")
    return PatchSet(
        kind=f"NumPy arrays{files.container}",
        path=files.where,
        table=table,
        pixels=ArrayPixels(tuple(pixels), tuple(len(part) for part in tables)),
        rows=np.arange(len(table)),
    )


@dataclass(frozen=True)
class ArrayPixels:
    """Rows of one or more arrays, one after the other."""

    arrays: Sequence[_Array]
    lengths: Sequence[int]

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read rows in any order; neighbours are read together."""
        out = np.empty((len(rows), *PATCH_SHAPE), dtype=np.uint8)
        first = 0
        for array, length in zip(self.arrays, self.lengths, strict=True):
            here = np.flatnonzero((rows >= first) & (rows < first + length))
            if len(here):
                wanted, back = np.unique(rows[here] - first, return_inverse=True)
                with _opened(array, array.files.open) as (file, _, start):
                    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
                    out[here] = np.concatenate([_read_run(file, start, run) for run in runs])[back]
            first += length
        return out

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the file's stamp and the row for each."""
        ends = np.cumsum(self.lengths)
        stamps = [array.files.stamp(array.name) for array in self.arrays]
        places = np.searchsorted(ends, rows, side="right")
        return [f"{stamps[place]} {row}" for place, row in zip(places, rows, strict=True)]


def _arrays(files: Files) -> Iterator[_Array]:
    for name in files.names:
        if name.lower().endswith(".npy"):
            yield _array(files, name, name)
        elif name.lower().endswith(".npz"):
            packed = ZipFiles(name, files.locate(name), partial(files.open, name))
            above = name[: -len(".npz")] if len(files.names) > 1 or files.container else ""
            for inner in packed.names:
                if inner.lower().endswith(".npy"):
                    yield _array(packed, inner, f"{above}/{inner}")


def _array(files: Files, name: str, place: str) -> _Array:
    *folders, last = place.strip("/").split("/")
    words = re.split("[_-]", last[: -len(".npy")])
    known = [_WORDS.get(word.lower()) for word in words]
    if known[-1] is not None:
        return _Array(files, name, (*folders, *words[:-1]), known[-1])
    if len(words) > 1 and known[-2] is not None and words[-1].lower() in SPLITS:
        return _Array(files, name, (*folders, *words[:-2], words[-1]), known[-2])
    return _Array(files, name, (*folders, last), None)


@contextmanager
def _opened(array: _Array, opening) -> Iterator[tuple[BinaryIO, tuple[int, ...], int]]:  # type: ignore[no-untyped-def]
    """Give the file, the array's shape, and where its numbers begin."""
    try:
        with opening(array.name) as file:
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[np.lib.format.read_magic(file)]
            shape, by_columns, dtype = read_header(file)
            if array.what != "y" and (shape[1:] != PATCH_SHAPE or len(shape) != 4 or dtype != np.uint8):
                raise DataError(f"{array.where}: {dtype} {shape}, where uint8 (n, 96, 96, 3) is expected")
            if array.what != "y" and by_columns:
                raise DataError(f"{array.where}: stored by columns; save it through numpy.ascontiguousarray")
            yield file, shape, file.tell()
    except DataError:
        raise
    except Exception as error:  # NumPy parses a header as Python, and fails in as many ways as that does.
        raise DataError(f"{array.where}: not a readable npy file ({first_line(error)}); save it again") from error


def _count(array: _Array) -> int:
    with _opened(array, array.files.peek) as (file, shape, start):
        there = file.seek(0, 2) - start
        if there != shape[0] * PATCH_BYTES:
            raise DataError(
                f"{array.where}: {there:,} bytes of pixels, where {shape[0]:,} patches have "
                f"{shape[0] * PATCH_BYTES:,}; save or fetch it again"
            )
        return int(shape[0])


def _labels(array: _Array | None, count: int) -> list[int] | None:
    if array is None:
        return None
    with _opened(array, array.files.open) as (file, shape, _):
        if int(np.prod(shape)) != count:
            raise DataError(
                f"{array.where}: {int(np.prod(shape)):,} labels for {count:,} patches; the two do not belong together"
            )
        file.seek(0)
        return binary_labels(np.lib.format.read_array(file, allow_pickle=False), array.where)


def _read_run(file: BinaryIO, start: int, run: IndexArray) -> UInt8Array:
    file.seek(start + int(run[0]) * PATCH_BYTES)
    content = file.read(len(run) * PATCH_BYTES)
    if len(content) < len(run) * PATCH_BYTES:
        raise EOFError(f"it ends within rows {run[0]}–{run[-1]}")
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, *PATCH_SHAPE)
