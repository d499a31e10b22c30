"""Parquet files as Hugging Face's `datasets` writes them: a column ``image`` of bytes and path, and ``label``."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.io.files import Files
from sentinode.data.io.images import decode_patch
from sentinode.data.labels import SPLIT_ORDER, label_of, split_in
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.pixels import ConcatPixels
from sentinode.data.types import PATCH_SHAPE, IndexArray, ReadOptions, UInt8Array
from sentinode.errors import DataError, first_line
from sentinode.extras import optional

FORM = "Parquet of Hugging Face: columns image and label"

IMAGE_COLUMNS = ("image", "img", "jpg", "png")
LABEL_COLUMNS = ("label", "labels", "target", "tumor", "y")
# Row groups that are kept after they were read: neighboring patches share one.
KEPT_ROW_GROUPS = 4


@dataclass(frozen=True)
class ParquetPixels:
    """Reader of the images in a Parquet file.

    Attributes
    ----------
    files : Files
        Where the file is.
    name : str
        Name of the file.
    column : str
        Column of images.
    options : ReadOptions
        How images become patches.
    """

    files: Files
    name: str
    column: str
    options: ReadOptions
    _groups: OrderedDict[int, list[Any]] = field(default_factory=OrderedDict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def read(self, rows: IndexArray) -> UInt8Array:
        """Decode the images of these rows; each row group is read once."""
        out = np.empty((len(rows), *PATCH_SHAPE), dtype=np.uint8)
        where = self.files.locate(self.name)
        with _open(self.files, self.name) as file:
            ends = np.cumsum([file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)])
            group_of_row = np.searchsorted(ends, rows, side="right")
            for group in np.unique(group_of_row):
                images = self._group(file, int(group), where)
                first = int(ends[group]) - len(images)
                for position in np.flatnonzero(group_of_row == group):
                    row = int(rows[position])
                    content = images[row - first]
                    content = content.get("bytes") if isinstance(content, dict) else content
                    if not isinstance(content, bytes):
                        raise DataError(
                            f"{where} row {row}: no image in column {self.column!r}; export the data set with its "
                            "images"
                        )
                    out[position] = decode_patch(content, f"{where} row {row}", self.options)
        return out

    def _group(self, file: Any, group: int, where: str) -> list[Any]:
        with self._lock:
            if group not in self._groups:
                while len(self._groups) >= KEPT_ROW_GROUPS:
                    self._groups.popitem(last=False)
                try:
                    self._groups[group] = file.read_row_group(group, columns=[self.column])[self.column].to_pylist()
                except Exception as error:  # Arrow raises a dozen kinds for damaged files.
                    raise DataError(
                        f"{where}: cannot be read ({first_line(error)}); download or copy it again"
                    ) from error
            self._groups.move_to_end(group)
            return self._groups[group]

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the stamp of the file with row and decoding, for each row."""
        stamp = f"{self.files.stamp(self.name)} {self.options.decoding}"
        return [f"{stamp} {row}" for row in rows]


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open all Parquet files; the split is part of their names, such as ``train-00000-of-00004.parquet``.

    Parameters
    ----------
    files : Files
        The source.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet or None
        None when there is no Parquet file.

    Raises
    ------
    DataError
        pyarrow is missing, a file is damaged or has no images, or a label is neither 0 nor 1.
    """
    names = [name for name in files.names if name.lower().endswith(".parquet")]
    if not names:
        return None
    splits = {name: split_in(name) for name in names}
    names.sort(key=lambda name: (SPLIT_ORDER.index(splits[name]), name))
    tables, readers = [], []
    seen: dict[str, int] = {}
    for name in names:
        with _open(files, name) as file:
            where, columns = files.locate(name), file.schema_arrow.names
            image = next((column for column in IMAGE_COLUMNS if column in columns), None)
            if image is None:
                raise DataError(
                    f"{where}: no column image (columns: {', '.join(columns)}); only data sets of images can be read"
                )
            label = next((column for column in LABEL_COLUMNS if column in columns), None)
            count = file.metadata.num_rows
            labels = None if label is None else _labels(file, label, options, where)
        prefix = splits[name] or (name.removesuffix(".parquet") if len(names) > 1 else "")
        first = seen.get(prefix, 0)
        ids = [f"{prefix}/{row}" if prefix else str(row) for row in range(first, first + count)]
        seen[prefix] = first + count
        tables.append(patch_table(ids, labels, split=splits[name]))
        readers.append((ParquetPixels(files, name, image, options), np.arange(count)))
    table = pd.concat(tables, ignore_index=True)
    return PatchSet(
        kind=f"Parquet{files.container}",
        path=files.where,
        table=table,
        pixels=ConcatPixels(readers),
        rows=np.arange(len(table)),
    )


def _open(files: Files, name: str) -> Any:
    parquet = optional("pyarrow.parquet", "parquet", files.locate(name))
    try:
        return parquet.ParquetFile(files.open(name))
    except DataError:
        raise
    except Exception as error:  # Arrow raises a dozen kinds for damaged files.
        raise DataError(
            f"{files.locate(name)}: not a readable Parquet file ({first_line(error)}); download or copy it again"
        ) from error


def _labels(file: Any, column: str, options: ReadOptions, where: str) -> list[int | None]:
    values = file.read(columns=[column])[column].to_pylist()
    labels: list[int | None] = []
    for row, value in enumerate(values):
        try:
            labels.append(None if value is None else label_of(str(value), options.classes))
        except ValueError as error:
            raise DataError(f"{where} row {row}: {error}") from error
    return labels
