"""Column tables of patches: written by ``data split`` and ``data join``, read by every command as DATA.

A table has one row a patch. ``source`` is the folder, zip, HDF5 file or sample that the patch is in, ``path`` the
patch, by the same source and its id there; both are relative to the table's own folder. Where the source is a folder,
``path`` is a file that any program can open.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.io.files import is_image
from sentinode.data.patchset import COLUMNS, PatchSet
from sentinode.data.types import EXPECTED_SHA1
from sentinode.errors import ConfigError, DataError, first_line
from sentinode.samples import SAMPLES
from sentinode.storage import atomic_file

FIRST = ("path", "label", "split", "slide", "patient", "centre", "x", "y")
TEXTS = ("split", "slide", "patient", "centre")


def write_patch_table(patches: PatchSet, source: str, out: str | Path, **more: Any) -> None:
    """Write a set as a column table that can be opened as DATA.

    Parameters
    ----------
    patches
        What to write; ids are those of `source`.
    source
        A path or a sample, as `open_patches` takes it; its patches have these ids. Of a pattern, the ids are files.
    out
        The csv to write, whole or not at all.
    more
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
        raise ConfigError(f"{out}: is what the table is made of; name another file to write")
    paths, sources = _places(patches, source, Path(out).resolve().parent)
    table = patches.table[list(COLUMNS[1:])].assign(path=paths)[list(FIRST)].assign(source=sources, **more)
    if "sha1" in patches.table:
        table["sha1"] = patches.table["sha1"]
    with atomic_file(out) as beside:
        table.to_csv(beside, index=False, lineterminator="\n", encoding="utf-8")


def _places(patches: PatchSet, source: str, folder: Path) -> tuple[list[str], list[str]]:
    """Return path and source of each patch, relative to a folder; of a table those of what it names itself."""
    ids, there = patches.table["id"].tolist(), Path(source)
    if is_patch_table(source):
        known, base = _read(source), there.resolve().parent
        rows = pd.Series(range(len(known)), index=open_patch_table(source, skip_bad=True).table["id"])
        known = known.iloc[rows[ids].to_numpy()]
        paths, sources = (
            [_relative(_found(each, base), folder) if each else "" for each in known[name]]
            for name in ("path", "source")
        )
        return paths, sources
    if there.suffix.lower() == ".csv":  # The user's own, beside the images that it names.
        return [_relative(str(there.parent / each), folder) for each in ids], [""] * len(ids)
    if source not in SAMPLES and (not there.exists() or is_image(source)):  # A pattern, or one image.
        return [_relative(each, folder) for each in ids], [""] * len(ids)
    place = _relative(source, folder)
    return [f"{place}/{each}" for each in ids], [place] * len(ids)


def _relative(path: str, folder: Path) -> str:
    if path.split("/")[0] in SAMPLES:
        return path
    return Path(os.path.relpath(Path(path).resolve(), folder)).as_posix()


def is_patch_table(path: str | Path) -> bool:
    """Say whether a file is a table of this kind: a csv with the columns ``path`` and ``source``."""
    if Path(path).suffix.lower() != ".csv" or not Path(path).is_file():
        return False
    header = _header(path)
    return {"path", "source"} <= set(header.split(_separator(header)))


def _header(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return file.readline(65536).decode("utf-8-sig", "replace").strip()


def _separator(header: str) -> str:
    return ";" if ";" in header and "," not in header else ","  # As some spreadsheets save it.


def open_patch_table(path: str | Path, resize: str = "error", skip_bad: bool = False) -> PatchSet:
    """Open a table of this kind: the patches it names, with what it says of them.

    Raises
    ------
    DataError
        A source is not there or has no such patch, a label is not 0 or 1, a row comes twice.
    """
    from sentinode.data.concat import concat
    from sentinode.data.open import open_patches

    table = _read(path)
    folder = Path(path).resolve().parent
    parts, offsets, where = [], 0, np.full(len(table), -1)
    for source, rows in table.groupby("source", sort=False).indices.items():
        wanted = table["path"].iloc[rows]
        if source:
            if is_patch_table(place_of := _found(str(source), folder)):
                raise DataError(f"{path}: its source {source!r} is a table as well; make it anew from {place_of}")
            part = open_patches(place_of, resize=resize, skip_bad=skip_bad)
            ids = wanted.str.removeprefix(f"{source}/")
        else:
            files = [str(_found(each, folder)) for each in wanted]
            part, ids = (
                open_patches(files, resize=resize, skip_bad=skip_bad),
                pd.Series([Path(each).as_posix() for each in files]),
            )
        place = pd.Series(np.arange(len(part)), index=part.table["id"]).reindex(ids.to_numpy()).to_numpy()
        if np.isnan(place).any():
            row = int(rows[np.flatnonzero(np.isnan(place))[0]])
            raise DataError(
                f"{path} row {row + 2}: there is no patch {table['path'].iloc[row]!r} in {source or 'the folder'}; "
                "the table was made for another state of it, make it anew"
            )
        where[rows] = place.astype(np.int64) + offsets
        offsets += len(part)
        parts.append(part)
    whole = parts[0] if len(parts) == 1 else concat(parts)
    chosen = whole.select(where)
    known = chosen.table.assign(**{name: table[name].to_numpy() for name in FIRST[1:] if name in table})
    types = {"label": "Int8", **dict.fromkeys(TEXTS, "str"), "x": "Int64", "y": "Int64"}
    if "sha1" in table:  # Compared when the patches are decoded.
        known = known.assign(**{EXPECTED_SHA1: table["sha1"].to_numpy()})
    return replace(chosen, table=known.astype(types), path=str(path), kind=f"a table of {whole.kind}")


def _found(path: str, folder: Path) -> str:
    return path if path.split("/")[0] in SAMPLES else str(folder / path)


def _read(path: str | Path) -> pd.DataFrame:
    try:
        sep = _separator(_header(path))
        table = pd.read_csv(path, sep=sep, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable csv ({first_line(error)}); make it anew") from error
    if table.empty:
        raise DataError(f"{path}: a table without rows; there is nothing to open")
    twice = table.duplicated(["source", "path"])
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise DataError(f"{path} row {row + 2}: {table['path'].iloc[row]!r} came before; keep one of its rows")
    allowed = {"label": r"[01]?", "x": r"-?\d*", "y": r"-?\d*"}
    for name, form in allowed.items():
        if name in table:
            wrong = ~table[name].str.fullmatch(form)
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                what = "0, 1 or nothing" if name == "label" else "a whole number or nothing"
                raise DataError(f"{path} row {row + 2}: {name} is {table[name].iloc[row]!r}, where {what} is expected")
            table[name] = pd.to_numeric(table[name]).astype("Int64")
    for name in TEXTS:
        if name in table:
            table[name] = table[name].where(table[name] != "")
    return table
