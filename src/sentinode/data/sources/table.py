"""A csv that names images, with a column ``path`` and the metadata of each patch.

The csv itself can be opened: paths are then relative to its folder, or absolute. It can also lie elsewhere than the
images, such as beside a zip or a read-only folder: paths are then relative to what holds the images. A path that names
no file is matched by its end, so that a table that was made on another computer still works.
"""

import posixpath
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.io.files import Files, is_image, without_image_ending
from sentinode.data.io.folders import FolderFiles, ListedFiles
from sentinode.data.io.images import ImageFiles
from sentinode.data.labels import SPLITS, label_of
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped
from sentinode.errors import DataError

FORM = "a table of images: csv with path, label, split, slide, patient, centre, x, y"

TEXTS = ("slide", "patient", "centre")
NUMBERS = ("x", "y")
COLUMNS = ("path", "label", "split", *TEXTS, *NUMBERS)
# Other names of columns, each used where the usual one is missing.
_SYNONYMS = {
    "path": ("id", "file", "filename", "file_name", "filepath", "image", "image_path", "image_id"),
    "label": ("target", "class", "tumor", "tumour"),
    "split": ("set", "fold_name"),
    "slide": ("slide_id", "wsi"),
    "patient": ("patient_id",),
    "centre": ("center",),
}


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open a csv that was given itself.

    Parameters
    ----------
    files : Files
        The csv, listed.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet or None
        None when the source is anything else.

    Raises
    ------
    DataError
        The csv cannot be read, or has no column of paths.
    """
    if not isinstance(files, ListedFiles) or not files.names[0].lower().endswith((".csv", ".tsv")):
        return None
    name = files.names[0]
    folder = name.rpartition("/")[0]
    return _open(files, folder, files, name, options)


def open_table(files: Files, table: str | Path, options: ReadOptions) -> PatchSet:
    """Open the images that a csv names.

    Parameters
    ----------
    files : Files
        Where the images are.
    table : str or Path
        The csv.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet
        The patches of the csv.

    Raises
    ------
    DataError
        The csv cannot be read, or has no column of paths.
    """
    listed = ListedFiles([table])
    return replace(_open(files, "", listed, listed.names[0], options), metadata_csv=listed.where)


def _open(files: Files, folder: str, csv_files: ListedFiles, name: str, options: ReadOptions) -> PatchSet:
    where = csv_files.locate(name)
    given = read_csv(csv_files.read(name), where=where)
    table, hint = _standard_columns(given, where)
    finder = _Finder(files, folder, csv_files.path(name).parent if files is csv_files else None)
    rows: list[dict[str, object]] = []
    names: list[str] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for number, record in enumerate(table.to_dict("records"), FIRST_ROW):
        if not any(record.values()):
            continue  # An empty line.
        try:
            fields = {column: _value(str(column), text, options) for column, text in record.items() if column != "path"}
            path, file = finder.find(record["path"])
            if path in seen:
                raise ValueError(f"path {path!r} is repeated; keep one of its rows")
        except ValueError as error:
            skipped.append(Skipped(record["path"], f"{where} row {number}: {error}"))
            continue
        seen.add(path)
        names.append(file)
        rows.append({"path": path, **{str(column): value for column, value in fields.items()}})
    columns = {column: [row.get(column) for row in rows] for column in COLUMNS}
    unused = [
        column for column in given.columns if column not in table.attrs["used"] and not column.startswith("Unnamed")
    ]
    notes = [f"columns that are not used: {', '.join(unused)}"] if unused else []
    if finder.matched_by_end:
        notes.append(
            f"{finder.matched_by_end:,} paths name no file and were matched by their ends, such as {finder.example}"
        )
    paths, labels, split = columns.pop("path"), columns.pop("label"), columns.pop("split")
    return PatchSet(
        kind=f"a table of images{files.container}",
        path=where if files is csv_files else f"{files.where} with {where}",
        table=patch_table(paths, labels, split=split, **columns),  # type: ignore[arg-type]
        pixels=ImageFiles(files, names, options),
        rows=np.arange(len(paths)),
        notes=tuple(notes),
        skipped=tuple(skipped),
        label_hint=hint,
    )


def _standard_columns(given: pd.DataFrame, where: str) -> tuple[pd.DataFrame, str]:
    """Return the columns that are used, by their standard names, and a hint where there is no label."""
    present = {column.lower(): column for column in reversed(given.columns)}
    used: dict[str, str] = {}
    for column in COLUMNS:
        for candidate in (column, *_SYNONYMS.get(column, ())):
            if candidate in present:
                used[column] = present[candidate]
                break
    if "y" in used and "x" not in used and "label" not in used:  # The y of machine learning, not of a position.
        used["label"] = used.pop("y")
    columns = ", ".join(given.columns)
    if "path" not in used:
        raise DataError(f"{where}: no column path (columns: {columns}); rename the column of image files to path")
    table = pd.DataFrame({column: given[name] for column, name in used.items()})
    table.attrs["used"] = set(used.values())
    hint = "" if "label" in used else f"{where} has no column label (columns: {columns})"
    return table, hint


class _Finder:
    """Finder of the file that a table names."""

    def __init__(self, files: Files, folder: str, searched: Path | None) -> None:
        self.matched_by_end = 0
        self.example = ""
        self._files, self._base, self._searched = files, f"{folder}/" if folder else "", searched
        self._by_stem: dict[str, list[str]] | None = None

    def find(self, text: str) -> tuple[str, str]:
        """Return the path as it stands in the table of patches, and the name of the file in the source.

        Raises
        ------
        ValueError
            There is no such file, or several.
        """
        path = text.removeprefix("file://")
        if not Path(path).is_absolute():
            path = posixpath.normpath(path.replace("\\", "/")) if path else ""
        name = path if Path(path).is_absolute() else f"{self._base}{path}"
        if path and self._files.has(name):
            return path, name
        found = self._match_end(path.replace("\\", "/"))
        if len(found) > 1:
            raise ValueError(f"{text!r} may be {found[0]} or {found[1]}; write the whole path")
        if not found or not path:
            raise ValueError(f"there is no {text or 'path'!r} in {self._files.where}; correct or remove the row")
        if without_image_ending(path.rsplit("/", 1)[-1]) != path:  # Ids without folder and ending are usual.
            self.matched_by_end += 1
            self.example = self.example or text
        return found[0], f"{self._base}{found[0]}"

    def _match_end(self, path: str) -> list[str]:
        """Return the images that share the longest end with `path`."""
        if self._by_stem is None:
            names = self._files.names if self._searched is None else FolderFiles(self._searched).names
            self._by_stem = defaultdict(list)
            for name in names:
                if is_image(name):
                    self._by_stem[without_image_ending(name.rsplit("/", 1)[-1])].append(name)
        last = path.rsplit("/", 1)[-1]
        candidates = [
            name
            for name in self._by_stem.get(without_image_ending(last), [])
            if not is_image(last) or name.rsplit("/", 1)[-1] == last
        ]
        parts = [without_image_ending(part) for part in reversed(path.split("/"))]

        def shared(name: str) -> int:
            others = [without_image_ending(part) for part in reversed(name.split("/"))]
            both = zip(parts, others, strict=False)
            return next((n for n, (a, b) in enumerate(both) if a != b), min(len(parts), len(others)))

        longest = max(map(shared, candidates), default=0)
        return [name for name in candidates if shared(name) == longest]


def _value(column: str, text: str, options: ReadOptions) -> object:
    """Return the value of a field, None where it is empty; a `ValueError` says what is wrong with it."""
    if not text:
        return None
    if column == "label":
        return label_of(text, options.classes)
    if column == "split":
        return SPLITS.get(text.lower(), text)
    if column in NUMBERS:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not number.is_integer():
            raise ValueError(f"{column} must be a whole number; got {text!r}; correct or remove the row")
        return int(number)
    return text
