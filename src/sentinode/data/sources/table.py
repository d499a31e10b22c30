"""A table that names images: a csv with a column ``path``, and what is known of each patch.

For whatever comes in no form of its own. The csv itself may be named as the source: paths are then relative to its
folder, or absolute. It may also lie elsewhere than the images, such as beside a zip or a folder that is only read:
paths are then relative to what holds them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.io.files import Files, ListedFiles
from sentinode.data.io.images import ImageFiles
from sentinode.data.labels import CLASSES, SPLITS
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped

FORM = "a table of images: csv with path, label, split, slide, patient, centre, x, y"

TEXTS = ("slide", "patient", "centre")
NUMBERS = ("x", "y")
KNOWN = ("path", "label", "split", *TEXTS, *NUMBERS)


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open a csv that was named itself; None for anything else.

    Raises
    ------
    DataError
        It is no readable csv, or has no column ``path``.
    """
    if len(files.names) != 1 or not files.names[0].lower().endswith(".csv"):
        return None
    name = files.names[0]
    folder = name.rpartition("/")[0]
    return _open(files, f"{folder}/" if folder else "", files, name, options)


def open_table(files: Files, table: str | Path, options: ReadOptions) -> PatchSet:
    """Open the images of `files` that the csv at `table` names.

    Raises
    ------
    DataError
        See `open_source`.
    """
    listed = ListedFiles([table])
    return _open(files, "", listed, listed.names[0], options)


def _open(files: Files, base: str, beside: Files, name: str, options: ReadOptions) -> PatchSet:
    where = beside.locate(name)
    table = read_csv(beside.read(name), ["path"], where).rename(columns={"center": "centre"})
    values: dict[str, list[Any]] = {column: [] for column in KNOWN}
    skipped: list[Skipped] = []
    seen: set[str] = set()
    there = [column for column in KNOWN if column in table]
    for number, row in enumerate(table[there].itertuples(index=False, name=None), FIRST_ROW):
        fields = dict(zip(there, row, strict=True))
        if not any(row):
            continue  # An empty line.
        path = fields["path"].replace("\\", "/") if not Path(fields["path"]).is_absolute() else fields["path"]
        try:
            known = {column: _known(column, text) for column, text in fields.items() if column != "path"}
            if path in seen:
                raise ValueError(f"path {path!r} came before; keep one of its rows")
            if not path or not files.has(_place(base, path)):
                raise ValueError(f"there is no {path or 'path'!r} in {files.where}; mend or drop the row")
        except ValueError as wrong:
            skipped.append(Skipped(path, f"{where} row {number}: {wrong}"))
            continue
        seen.add(path)
        for column in KNOWN:
            values[column].append(path if column == "path" else known.get(column))
    unused = [column for column in table.columns if column not in KNOWN and not column.startswith("Unnamed")]
    paths, labels, split = values.pop("path"), values.pop("label"), values.pop("split")
    return PatchSet(
        kind=f"a table of images{files.container}",
        path=where if files is beside else f"{files.where} with {where}",
        table=patch_table(paths, labels, split=split, **values),
        pixels=ImageFiles(files, [_place(base, path) for path in paths], options),
        rows=np.arange(len(paths)),
        notes=(f"columns that say nothing here: {', '.join(unused)}",) if unused else (),
        skipped=tuple(skipped),
    )


def _place(base: str, path: str) -> str:
    return path if Path(path).is_absolute() else f"{base}{path}"


def _known(column: str, text: str) -> object:
    """Turn a field into its value, None where it is empty; a `ValueError` says what is wrong with it."""
    if not text:
        return None
    if column == "label":
        if text.lower() not in CLASSES:
            raise ValueError(f"label {text!r} is neither 0 nor 1 (or normal, tumour); mend or drop the row")
        return CLASSES[text.lower()]
    if column == "split":
        return SPLITS.get(text.lower(), text)
    if column in NUMBERS:
        if not text.removeprefix("-").isdecimal():
            raise ValueError(f"{column} is {text!r}, where a whole number is expected; mend or drop the row")
        return int(text)
    return text
