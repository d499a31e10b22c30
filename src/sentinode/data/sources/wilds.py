"""Camelyon17-WILDS: ``metadata.csv`` and ``patches/patient_PPP_node_N/patch_patient_PPP_node_N_x_X_y_Y.png``.

Splits are the official ones: centre 1 is ``valid`` and centre 2 ``test``, which are not in ``train``; ``id_val`` has
other patches of the slides of ``train``. P. W. Koh et al., "WILDS: A Benchmark of in-the-Wild Distribution Shifts",
ICML 2021.
"""

from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.io.files import Files, is_image
from sentinode.data.io.images import ImageFiles
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped

FORM = "Camelyon17-WILDS: metadata.csv, patches/patient_*_node_*/*.png"

METADATA = "metadata.csv"
COLUMNS = ("patient", "node", "x_coord", "y_coord", "tumor", "center", "split")
LABELS = {"0": 0, "1": 1, "-1": None, "": None}  # -1 in the unlabeled part.
SPLITS = {"0": "train", "1": "id_val"}
SPLITS_OF_CENTRES = {"1": "valid", "2": "test"}
# Positions are those of the central 32 × 32 px on level 2; a pixel there is four of level 0.
CENTER_OFFSET_PX = 32
DOWNSAMPLE = 4


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open the layout. The alpha channel of the patches is dropped, as WILDS' own reader does.

    Rows and files that do not fit each other are listed in ``skipped``, which `open_patches` treats as an error unless
    it may skip them.

    Parameters
    ----------
    files : Files
        The source.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet or None
        None when there is no ``metadata.csv`` beside ``patches/patient_…``.

    Raises
    ------
    DataError
        The csv cannot be read or lacks a column.
    """
    base = _base(files)
    if base is None:
        return None
    metadata = read_csv(files.read(base + METADATA), COLUMNS, files.locate(base + METADATA))
    there = {name for name in files.names if is_image(name) and name.startswith(f"{base}patches/")}
    rows, skipped = _rows(files, base, metadata, there)
    names = [row["id"] for row in rows]
    skipped += [
        Skipped(name, f"{files.locate(name)}: no row in {base}{METADATA}; add its row or remove the file")
        for name in sorted(there - set(names) - {each.id for each in skipped})
    ]
    columns = {name: [row[name] for row in rows] for name in ("label", "split", "slide", "patient", "centre", "x", "y")}
    return PatchSet(
        kind=f"Camelyon17-WILDS{files.container}",
        path=files.where,
        table=patch_table(names, columns.pop("label"), **columns),
        pixels=ImageFiles(files, names, options, ignore_alpha=True),
        rows=np.arange(len(names)),
        skipped=tuple(skipped),
    )


def _base(files: Files) -> str | None:
    for name in files.names:
        if name.split("/")[-1] == METADATA and name.count("/") <= 1:
            base = name.removesuffix(METADATA)
            if any(other.startswith(f"{base}patches/patient_") for other in files.names):
                return base
    return None


def _rows(
    files: Files, base: str, metadata: pd.DataFrame, there: set[str]
) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """Return the metadata of each patch, and the rows that cannot be used."""
    rows: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    columns = (metadata[name] for name in COLUMNS)
    for number, (patient, node, x, y, tumor, centre, split) in enumerate(zip(*columns, strict=True), FIRST_ROW):
        patient = patient.zfill(3) if patient else ""  # A spreadsheet takes it for a number.
        slide = f"patient_{patient}_node_{node}"
        name = f"{base}patches/{slide}/patch_{slide}_x_{x}_y_{y}.png"
        where = f"{files.locate(base + METADATA)} row {number}"
        if not patient:
            wrong = "no patient; correct or remove the row"
        elif tumor not in LABELS:
            wrong = f"tumor must be 0, 1 or -1; got {tumor!r}; correct or remove the row"
        elif centre not in SPLITS_OF_CENTRES and split not in SPLITS:
            wrong = f"split must be 0 or 1; got {split!r}; correct or remove the row"
        elif not (x.isdecimal() and y.isdecimal()):
            wrong = f"the position must be two whole numbers; got {x!r}, {y!r}; correct or remove the row"
        elif name in seen:
            wrong = f"{name} is repeated; keep one of its rows"
        elif name not in there:
            wrong = f"there is no {name}; unpack the whole archive, or remove the row"
        else:
            seen.add(name)
            rows.append(
                {
                    "id": name,
                    "label": LABELS[tumor],
                    "split": SPLITS_OF_CENTRES.get(centre) or SPLITS[split],
                    "slide": slide,
                    "patient": patient,
                    "centre": centre,
                    "x": (int(x) - CENTER_OFFSET_PX) * DOWNSAMPLE,
                    "y": (int(y) - CENTER_OFFSET_PX) * DOWNSAMPLE,
                }
            )
            continue
        if any((patient, node, x, y, tumor, centre, split)):
            skipped.append(Skipped(name, f"{where}: {wrong}"))
    return rows, skipped
