"""PatchCamelyon's own HDF5 files: ``…_split_{train,valid,test}_{x,y}.h5`` with ``…_meta.csv``.

A single ``*_x.h5`` is read with the ``*_y.h5`` and ``*_meta.csv`` beside it, if they are there. Each ``.h5`` may
still be the ``.h5.gz`` that was downloaded.
Facts on the format: B. Veeling et al., "Rotation equivariant CNNs for digital pathology", MICCAI 2018, and the
data set's page.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import h5py
import numpy as np
import pandas as pd

from sentinode.data.io.compression import GunzippedFiles
from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.io.files import Files
from sentinode.data.labels import SPLIT_ORDER, binary_labels
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import PATCH_BYTES, PATCH_SHAPE, IndexArray, ReadOptions, UInt8Array
from sentinode.errors import DataError, first_line

FORM = "PCam HDF5: camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5, also .h5.gz"

# Deflate makes nothing smaller than a thousandth, and a data set without its numbers reads as black patches.
DEFLATED_AT_MOST = 1032

_X_FILE = re.compile(r"(?:.*/)?(?:(?:[^/]*_)?(train|valid|test)_|[^/]*_)?x\.h5$", re.IGNORECASE)
_TRAINING_SLIDE = re.compile(r"camelyon16_train_(normal|tumor)_(\d+)$")


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open all ``x`` files with what lies beside them; None when there is none.

    Patches are 96 × 96 by definition of the format, so `resize` has nothing to do.

    Raises
    ------
    DataError
        Wrong shape or dtype, x and y of different lengths, labels other than 0 and 1, a broken file.
    """
    del options
    files = GunzippedFiles(files)
    x_files = [(name, (match[1] or "").lower() or None) for name in files.names if (match := _X_FILE.match(name))]
    if not x_files:
        return None
    x_files.sort(key=lambda item: (SPLIT_ORDER.index(item[1]), item[0]))
    tables, notes = [], []
    for name, split in x_files:
        prefix = f"{split}/" if split else name[: -len("x.h5")] if len(x_files) > 1 else ""
        table, remarks = _table(files, name, split, prefix)
        tables.append(table)
        notes += remarks
    table = pd.concat(tables, ignore_index=True)
    if table["id"].duplicated().any():
        names = ", ".join(name for name, _ in x_files)
        raise DataError(f"{files.where}: two x files for one split ({names}); keep one, or name the file itself")
    lengths = [len(part) for part in tables]
    return PatchSet(
        kind=f"PCam HDF5{files.container}",
        path=files.where,
        table=table,
        pixels=Hdf5Pixels(files, tuple(name for name, _ in x_files), tuple(lengths)),
        rows=np.arange(len(table)),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class Hdf5Pixels:
    """Rows of one or more ``x`` data sets, one after the other."""

    files: Files
    names: Sequence[str]
    lengths: Sequence[int]

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read rows in any order; neighbours are read together."""
        out = np.empty((len(rows), *PATCH_SHAPE), dtype=np.uint8)
        first = 0
        for name, length in zip(self.names, self.lengths, strict=True):
            here = np.flatnonzero((rows >= first) & (rows < first + length))
            if len(here):
                wanted, back = np.unique(rows[here] - first, return_inverse=True)
                with _dataset(self.files.locate(name), self.files.open(name), "x") as x:
                    out[here] = _read_sorted(x, wanted, self.files.locate(name))[back]
            first += length
        return out

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the file's stamp and the row for each."""
        ends = np.cumsum(self.lengths)
        stamps = [self.files.stamp(name) for name in self.names]
        places = np.searchsorted(ends, rows, side="right")
        return [f"{stamps[place]} {row}" for place, row in zip(places, rows, strict=True)]


def _read_sorted(x: h5py.Dataset, rows: IndexArray, where: str) -> UInt8Array:
    """Read rising rows run by run: a slice is a hundred times as fast as a list of rows."""
    breaks = np.flatnonzero(np.diff(rows) > 1) + 1
    try:
        parts = [x[run[0] : run[-1] + 1] for run in np.split(rows, breaks)]
    except (OSError, RuntimeError) as error:
        raise DataError(f"{where}: rows {rows[0]}–{rows[-1]} cannot be read ({error}); fetch the file again") from error
    return np.concatenate(parts)


@contextmanager
def _dataset(where: str, raw: BinaryIO, key: str) -> Iterator[h5py.Dataset]:
    try:
        with raw, h5py.File(raw, "r") as file:
            # Links to other files could read what the user never named.
            if not isinstance(file.get(key, getlink=True), h5py.HardLink) or not isinstance(file[key], h5py.Dataset):
                keys = ", ".join(file.keys()) or "nothing"
                raise DataError(
                    f"{where}: no data set {key!r} of its own in it (names there: {keys}); is it a PCam file?"
                )
            dataset = file[key]
            if dataset.external or dataset.is_virtual:
                raise DataError(f"{where}: {key!r} keeps its data in other files; copy it into one plain data set")
            yield dataset
    except DataError:
        raise
    except Exception as error:  # For damaged files h5py raises a dozen kinds.
        raise DataError(f"{where}: not a readable HDF5 file ({first_line(error)}); fetch it again") from error


def _table(files: Files, x_name: str, split: str | None, prefix: str) -> tuple[pd.DataFrame, list[str]]:
    where = files.locate(x_name)
    raw = files.peek(x_name)
    size_bytes = raw.seek(0, 2)
    with _dataset(where, raw, "x") as x:
        if x.shape is None or x.shape[1:] != PATCH_SHAPE or x.dtype != np.uint8:
            raise DataError(f"{where}: x is {x.dtype} {x.shape}, where uint8 (n, 96, 96, 3) is expected")
        count = len(x)
        if count * PATCH_BYTES > DEFLATED_AT_MOST * size_bytes:
            raise DataError(f"{where}: {size_bytes:,} bytes cannot hold the {count:,} patches that it says it has")
    labels = _labels(files, x_name, count)
    meta, notes = _meta(files, x_name, labels, count)
    return patch_table([f"{prefix}{row}" for row in range(count)], labels, split=split, **meta), notes


def _beside(files: Files, x_name: str, ending: str) -> str | None:
    name = x_name[: -len("x.h5")] + ending
    return name if files.has(name) else None


def _labels(files: Files, x_name: str, count: int) -> Sequence[int] | None:
    y_name = _beside(files, x_name, "y.h5")
    if y_name is None:
        return None
    where = files.locate(y_name)
    with _dataset(where, files.open(y_name), "y") as y:
        if y.shape is None or y.size != count:
            raise DataError(
                f"{where}: {y.size or 0:,} labels for {count:,} patches; the two files do not belong together"
            )
        values = np.asarray(y[()])
    return binary_labels(values, where)


def _meta(
    files: Files, x_name: str, labels: Sequence[int] | None, count: int
) -> tuple[dict[str, list[Any]], list[str]]:
    """Read slide and position of each patch, where the meta csv is there."""
    name = _beside(files, x_name, "meta.csv")
    if name is None:
        return {}, []
    where = files.locate(name)
    meta = read_csv(files.read(name), ["coord_x", "coord_y", "wsi"], where)
    if len(meta) != count:
        raise DataError(f"{where}: {len(meta):,} rows for {count:,} patches; the two files do not belong together")
    notes = []
    if labels is not None and "center_tumor_patch" in meta:
        differ = int((meta["center_tumor_patch"].str.lower().eq("true") != np.array(labels, bool)).sum())
        if differ:
            notes.append(f"{name}: center_tumor_patch differs from y in {differ:,} rows; y is used")
    slides = [slide or None for slide in meta["wsi"]]
    return {
        "slide": slides,
        "centre": [_centre(slide) for slide in slides],
        "x": _whole_numbers(meta["coord_x"], where),
        "y": _whole_numbers(meta["coord_y"], where),
    }, notes


def _whole_numbers(column: pd.Series, where: str) -> list[int]:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(~(numbers % 1 == 0))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{where} row {row + FIRST_ROW}: {column.name} is {column[row]!r}, where a whole number is expected"
        )
    return numbers.astype("int64").tolist()


def _centre(slide: str | None) -> str | None:
    """Return where a CAMELYON16 training slide comes from; unknown for its test slides."""
    match = _TRAINING_SLIDE.match(slide or "")
    if match is None:
        return None
    last_of_radboud = 100 if match[1] == "normal" else 70
    return "Radboudumc" if int(match[2]) <= last_of_radboud else "UMC Utrecht"
