"""Patch tables: csv files written by ``data split`` and ``data match``, and read by every command as DATA.

A patch table has one row per patch. ``source`` is the folder, zip, HDF5 file or sample that holds the patch, and
``path`` is the source with the id of the patch in it; both are relative to the folder of the table. Where the source
is a folder, ``path`` is a file that any program can open.
"""

import csv
import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.concat import concat
from sentinode.data.io.csv import FIRST_ROW, SEPARATORS, read_csv
from sentinode.data.io.files import is_image, matching_files
from sentinode.data.io.folders import ListedFiles
from sentinode.data.patchset import COLUMNS, PatchSet
from sentinode.data.types import EXPECTED_SHA1, ReadOptions
from sentinode.errors import ConfigError, DataError
from sentinode.samples import SAMPLES
from sentinode.storage import write_csv

METADATA = ("label", "split", "slide", "patient", "centre", "x", "y")
TEXT_COLUMNS = ("split", "slide", "patient", "centre")
# Tables of users may have a column ``source`` as well, but hardly all of these.
REQUIRED_COLUMNS = {"path", "label", "split", "slide", "patient", "source"}

Opener = Callable[[str | list[str], ReadOptions], PatchSet]


def write_patch_table(patches: PatchSet, source: str, out: str | Path, **more: Any) -> None:
    """Write a set as a patch table.

    Parameters
    ----------
    patches : PatchSet
        The patches to write, with the ids that they have in `source`.
    source : str
        Path, pattern or sample that the patches were opened from.
    out : str or Path
        The csv file.
    **more
        Further columns, one value for each patch.

    Raises
    ------
    ConfigError
        `out` is `source` itself.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_patch_table(patches, "pcam-mini", f"{folder}/test.csv")
    ...     len(open_patches(f"{folder}/test.csv"))
    400
    """
    if Path(out).resolve() == Path(source).resolve():
        raise ConfigError(f"{out}: this is the file that the patches come from; use another name for the table")
    paths, sources, options = _locations(patches, source, Path(out).resolve().parent)
    table = patches.table[list(COLUMNS[1:])].assign(source=sources, **more)
    table.insert(0, "path", paths)
    if any(options):
        table["options"] = options
    if "sha1" in patches.table:
        table["sha1"] = patches.table["sha1"]
    write_csv(table, out)


def _locations(patches: PatchSet, source: str, folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Return path and source of each patch, relative to a folder, and the options to read it with."""
    ids, location = patches.table["id"].tolist(), Path(source)
    options = [shlex.join(patches.options.to_arguments())] * len(ids)
    if is_patch_table(source):  # Written with the sources that it names itself.
        known, base = _read(source), location.resolve().parent
        known = known.set_index(pd.Index(_ids(known))).loc[ids]
        paths, sources = (
            [_relative(_located(each, base), folder) if each else "" for each in known[name]]
            for name in ("path", "source")
        )
        if "options" in known:
            options = [
                shlex.join(patches.options.over(_parse_options(text, source)).to_arguments())
                for text in known["options"]
            ]
        return paths, sources, options
    if location.suffix.lower() == ".csv":  # The user's own table, beside the images that it names.
        return [_relative(str(location.parent / each), folder) for each in ids], [""] * len(ids), options
    if source not in SAMPLES and (not location.exists() or is_image(source)):  # A pattern, or one image.
        files = ListedFiles([source] if location.exists() else matching_files(source))
        return [_relative(str(files.path(each)), folder) for each in ids], [""] * len(ids), options
    place = _relative(source, folder)
    return [f"{place}/{each}" for each in ids], [place] * len(ids), options


def _relative(path: str, folder: Path) -> str:
    if path.split("/")[0] in SAMPLES:
        return path
    place = Path(path)
    # A link itself is not followed: in caches of DVC and Hugging Face only its name has the ending of an image.
    place = place.resolve() if place.name in ("", "..") else place.parent.resolve() / place.name
    return Path(os.path.relpath(place, folder)).as_posix()


def is_patch_table(path: str | Path) -> bool:
    """Tell whether a file is a patch table: a csv with the columns of `REQUIRED_COLUMNS`.

    Parameters
    ----------
    path : str or Path
        Any path.

    Returns
    -------
    bool
        False also where there is no such file.
    """
    if Path(path).suffix.lower() != ".csv" or not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        header = file.readline(65536).decode("utf-8-sig", "replace").strip()
    cells: list[str] = next(csv.reader([header], delimiter=max(SEPARATORS, key=header.count)), [])
    return {cell.strip() for cell in cells} >= REQUIRED_COLUMNS


def open_patch_table(path: str | Path, options: ReadOptions, open_source: Opener) -> PatchSet:
    """Open a patch table.

    Parameters
    ----------
    path : str or Path
        The csv file.
    options : ReadOptions
        How patches are read; defaults are replaced by the options that the table was made with.
    open_source : callable
        Opens a source, or a list of image files, with options.

    Returns
    -------
    PatchSet
        The patches that the table names, with its metadata.

    Raises
    ------
    DataError
        A source or a patch in it is missing, a label is not 0 or 1, or a row is repeated.
    """
    table = _read(path)
    folder = Path(path).resolve().parent
    parts, offsets, positions = [], 0, np.full(len(table), -1)
    stated = table["options"] if "options" in table else pd.Series("", index=table.index)
    groups: dict[Any, Any] = table.groupby(["source", stated], sort=False).indices
    for (source, text), rows in groups.items():
        location = _located(source, folder)
        if source and source.split("/")[0] not in SAMPLES and not Path(location).exists():
            raise DataError(
                f"{path}: its source {source!r} is missing; the column source names the folder or file of each patch, "
                "relative to the table: correct it, or rename the column if it means something else"
            )
        if source and is_patch_table(location):
            raise DataError(f"{path}: its source {source!r} is also a patch table; create the table from {location}")
        its_own = options.over(_parse_options(text, path))
        wanted = table["path"].iloc[rows]
        if source:
            part = open_source(location, its_own)
            found = pd.Index(part.table["id"]).get_indexer(
                pd.Index([each.removeprefix(f"{source}/") for each in wanted])
            )
        else:
            part = open_source([_located(each, folder) for each in wanted], its_own)
            found = np.arange(len(part))
        if (found < 0).any():
            row = int(rows[np.flatnonzero(found < 0)[0]])
            raise DataError(
                f"{path} row {row + FIRST_ROW}: there is no patch {table['path'].iloc[row]!r} in "
                f"{source or 'the folder'}; the source has changed since the table was made; recreate the table"
            )
        positions[rows] = found + offsets
        offsets += len(part)
        parts.append(part)
    whole = parts[0] if len(parts) == 1 else concat(parts, distinct=False)
    chosen = whole.select(positions)
    metadata = {name: table[name].to_numpy() for name in METADATA if name in table}
    known_table = chosen.table.assign(id=_ids(table), **metadata)
    types = {"label": "Int8", **dict.fromkeys(TEXT_COLUMNS, "str"), "x": "Int64", "y": "Int64"}
    if "sha1" in table:
        known_table = known_table.assign(**{EXPECTED_SHA1: table["sha1"].to_numpy()})
    return replace(
        chosen, table=known_table.astype(types), path=str(path), kind=f"a patch table of {whole.kind}", listed=False
    )


def _located(path: str, folder: Path) -> str:
    return path if path.split("/")[0] in SAMPLES else str(folder / path)


def _ids(table: pd.DataFrame) -> list[str]:
    """Return the ids of the patches of a table: those in its source, or its paths where there are several sources."""
    sources = table["source"].unique()
    prefix = f"{sources[0]}/" if len(sources) == 1 and sources[0] else ""
    return [path.removeprefix(prefix) for path in table["path"]]


def _parse_options(text: str, path: str | Path) -> ReadOptions:
    try:
        return ReadOptions.from_arguments(shlex.split(text))
    except ValueError as error:
        raise DataError(f"{path}: options {text!r} are invalid ({error}); recreate the table") from error


def _read(path: str | Path) -> pd.DataFrame:
    table = read_csv(path, ["path", "source"])
    if table.empty:
        raise DataError(f"{path}: the table has no rows; there is nothing to open")
    repeated = np.flatnonzero(table.duplicated(["source", "path"]))
    if len(repeated):
        row = int(repeated[0])
        raise DataError(f"{path} row {row + FIRST_ROW}: {table['path'].iloc[row]!r} is repeated; keep one of its rows")
    for name, pattern in {"label": r"[01]?", "x": r"(-?\d+)?", "y": r"(-?\d+)?"}.items():
        if name in table:
            wrong = np.flatnonzero(~table[name].str.fullmatch(pattern))
            if len(wrong):
                row = int(wrong[0])
                expected = "0, 1 or nothing" if name == "label" else "a whole number or nothing"
                raise DataError(
                    f"{path} row {row + FIRST_ROW}: expected {expected} in column {name}; got {table[name].iloc[row]!r}"
                )
            table[name] = pd.to_numeric(table[name]).astype("Int64")
    for name in TEXT_COLUMNS:
        if name in table:
            table[name] = table[name].where(table[name] != "")
    return table
