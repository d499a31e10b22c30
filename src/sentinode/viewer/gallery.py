"""Patches with labels and predictions: filtered, sorted, drawn on sheets, and relabeled."""

import csv
import io
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.errors import DataError, SentinodeError
from sentinode.evaluation.outcomes import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_NEGATIVE,
    TRUE_POSITIVE,
    confidence,
    outcomes,
)
from sentinode.storage import atomic_file, sync_folder
from sentinode.viewer.errors import ViewerError, not_found
from sentinode.viewer.saving import saving, utc_now

if TYPE_CHECKING:
    import pandas as pd

    from sentinode.data.patchset import PatchSet

log = logging.getLogger("sentinode")

TABLE = "patches.csv"
COLUMNS = ("path", "label", "decision", "user", "time", "version")
OUTCOMES = {"tp": TRUE_POSITIVE, "fp": FALSE_POSITIVE, "tn": TRUE_NEGATIVE, "fn": FALSE_NEGATIVE}
ORDERS = ("index", "probability", "uncertainty")
_LABELS, _DECISIONS = (0, 1), ("accepted", "rejected", None)
_GLASS = 255


class Gallery:
    """The patches among the targets.

    Parameters
    ----------
    patches : PatchSet
    predictions : DataFrame or None
        Columns ``logit``, ``probability`` and ``prediction``, one row for each patch.
    threshold : float
        Probability from which a patch is predicted to be tumour.
    folder : Path
        Where decisions are saved.
    user : str
        Recorded with decisions.
    show_names : bool
        Whether the page may show ids, which are paths.
    """

    def __init__(
        self,
        patches: "PatchSet",
        predictions: "pd.DataFrame | None",
        threshold: float,
        folder: Path,
        user: str,
        show_names: bool,
    ) -> None:
        self._patches = patches
        self._file, self._user, self._show_names = folder / TABLE, user, show_names
        self._lock = threading.Lock()
        self._ids = patches.table["id"].astype(str).tolist()
        self._splits = [None if value is None or value != value else str(value) for value in patches.table["split"]]
        self._labels = patches.table["label"].astype("Float64").to_numpy(dtype=float, na_value=math.nan)
        self._predictions: dict[str, NDArray[Any]] | None = None
        if predictions is not None:
            found = {name: predictions[name].to_numpy() for name in ("logit", "probability", "prediction")}
            found["outcome"] = outcomes(self._labels, found["probability"], threshold)
            found["confidence"] = confidence(found["logit"], threshold)
            self._predictions = found
        self._rows = {name: row for row, name in enumerate(self._ids)}
        self._decisions = {self._rows[each["path"]]: each for each in self._saved() if each["path"] in self._rows}

    def describe(self) -> dict[str, Any]:
        """Return what the page must know of the patches."""
        return {
            "count": len(self._ids),
            "splits": self._patches.split_names,
            "has_predictions": self._predictions is not None,
        }

    def rows(
        self,
        start: int,
        count: int,
        *,
        split: str = "",
        label: str = "",
        outcome: str = "",
        order: str = "index",
        least: float = 0.0,
        most: float = 1.0,
    ) -> dict[str, Any]:
        """Return some rows of the patches that filters leave.

        Parameters
        ----------
        start, count : int
            The first row, and the most rows.
        split, label, outcome : str
            What is left; everything where empty.
        order : {"index", "probability", "uncertainty"}
            The highest probability, or that nearest to the threshold, comes first.
        least, most : float
            Of the probability.
        """
        kept = np.ones(len(self._ids), bool)
        if split:
            kept &= np.array(self._splits, dtype=object) == split
        if label:
            kept &= self._labels == int(label)
        found = self._predictions
        if found is not None:
            kept &= (found["probability"] >= least) & (found["probability"] <= most)
            if outcome:
                kept &= found["outcome"] == OUTCOMES[outcome]
        elif outcome or order != "index":
            raise ViewerError("there are no predictions; specify a csv of predictions when you start the viewer", 422)
        indices = np.flatnonzero(kept)
        if found is not None and order != "index":
            values = found["confidence"] if order == "uncertainty" else -found["probability"]
            indices = indices[np.argsort(values[indices], kind="stable")]
        return {"total": len(indices), "rows": [self._row(int(index)) for index in indices[start : start + count]]}

    def sheet(self, indices: Sequence[int], columns: int) -> UInt8Array:
        """Return a picture of patches, row by row."""
        wrong = [index for index in indices if not 0 <= index < len(self._ids)]
        if wrong:
            raise not_found(f"patch {wrong[0]}")
        try:
            pixels = self._patches.read(list(indices))
        except DataError as error:
            log.warning("%s", error)
            if self._show_names:
                raise
            raise ViewerError("a patch cannot be read; see the terminal running `sentinode view`", 422) from error
        rows = -(-len(indices) // columns)
        picture = np.full((rows, PATCH_SIZE_PX, columns, PATCH_SIZE_PX, 3), _GLASS, np.uint8)
        for number, patch in enumerate(pixels):
            picture[number // columns, :, number % columns] = patch
        return picture.reshape(rows * PATCH_SIZE_PX, columns * PATCH_SIZE_PX, 3)

    def put(self, index: int, body: Mapping[str, Any]) -> dict[str, Any]:
        """Save the label that a user gives a patch; see `AnnotationStore.put`."""
        if not 0 <= index < len(self._ids):
            raise not_found(f"patch {index}")
        label, decision, base = (body.get(name) for name in ("label", "decision", "base_version"))
        if type(label) is not int or label not in _LABELS:  # 1.0 and true equal 1.
            raise ViewerError(f"label must be 0 (normal) or 1 (tumour); got {label!r}", 422)
        if decision not in _DECISIONS:
            raise ViewerError(f"decision must be accepted, rejected or null; got {decision!r}", 422)
        with saving(self._file.parent, TABLE, self._lock):
            saved = {each["path"]: each for each in self._saved()}
            # Also those of another viewer on this folder, so that a look at the patch shows them.
            self._decisions = {self._rows[name]: each for name, each in saved.items() if name in self._rows}
            before = saved.get(self._ids[index])
            version = int(before["version"]) if before else 0
            if type(base) is not int or base != version:
                current = None if before is None else {"label": int(before["label"]), "version": version}
                raise ViewerError("this patch was labeled elsewhere; review the current label", 409, current=current)
            row = {
                "path": self._ids[index],
                "label": str(label),
                "decision": decision or "",
                "user": self._user,
                "time": utc_now(),
                "version": str(version + 1),
            }
            saved[row["path"]] = row
            self._write(list(saved.values()))
            self._decisions[index] = row
        return {"row": self._row(index), "version": version + 1}

    def _row(self, index: int) -> dict[str, Any]:
        label, decided = self._labels[index], self._decisions.get(index)
        known = None if math.isnan(label) else int(label)
        predicted = self._predictions
        return {
            "index": index,
            "id": self._ids[index] if self._show_names else f"Patch {index + 1}",
            "split": self._splits[index],
            "label": int(decided["label"]) if decided else known,
            "probability": None if predicted is None else round(float(predicted["probability"][index]), 6),
            "prediction": None if predicted is None else int(predicted["prediction"][index]),
            "decision": decided["decision"] or None if decided else None,
            "version": int(decided["version"]) if decided else 0,
        }

    def _saved(self) -> list[dict[str, str]]:
        if not self._file.is_file():
            return []
        damaged = ViewerError(f"{TABLE}: damaged; restore it, or move it away", 500)
        try:
            with self._file.open(encoding="utf-8", newline="") as opened:
                rows = [dict(row) for row in csv.DictReader(opened, strict=True)]
        except (ValueError, csv.Error) as error:
            raise damaged from error
        for row in rows:
            complete = all(isinstance(row.get(column), str) for column in COLUMNS)
            if not complete or not row["version"].isdecimal() or row["label"] not in ("0", "1"):
                raise damaged
        return rows

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_file(self._file) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
        sync_folder(self._file.parent)


def open_gallery(source: str, predictions: Path | None, folder: Path, user: str, show_names: bool) -> Gallery:
    """Open patches, and the predictions for them.

    Parameters
    ----------
    source : str
        As for `open_patches`.
    predictions : Path or None
        A csv, from `sentinode predict`, `sentinode evaluate` or other software.
    folder, user, show_names
        See `Gallery`.

    Raises
    ------
    SentinodeError
        The patches cannot be opened, or the predictions are of others.
    """
    from sentinode.data.open import open_patches  # Reads tables, whose library starts slowly.
    from sentinode.evaluation.prediction_files import PredictionsFile

    patches = open_patches(source)
    if predictions is None:
        return Gallery(patches, None, 0.5, folder, user, show_names)
    known = PredictionsFile(predictions)
    try:
        found = known.predictions(patches)
    except SentinodeError as whole:
        for split in patches.split_names:  # An evaluation is of one split.
            try:
                part = patches.split(split)
                found = known.predictions(part)
            except SentinodeError:
                continue
            log.info("%s: predictions for the split %s", predictions, split)
            patches = part
            break
        else:
            raise whole
    return Gallery(patches, found.table, known.threshold, folder, user, show_names)
