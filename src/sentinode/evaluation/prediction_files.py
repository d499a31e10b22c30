"""Read predictions of any software from csv files and match them to patches."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.labels import SPLITS, label_of
from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError, plural
from sentinode.inference.logits import probability
from sentinode.inference.predictions import Predictions, made_by_path
from sentinode.inference.predictor import DEFAULT_THRESHOLD, parse_threshold
from sentinode.storage import read_json, sha256_of

IDS = ("id", "image_id", "filename", "file_name", "file", "path", "image")
SCORES = ("logit", "probability")
# How ids may be matched, the strictest first.
MATCHES = ("id", "path", "path without file ending")
# Probabilities of exactly 0 and 1 become the nearest with finite logits.
_SMALLEST, _LARGEST = np.nextafter(0, 1), np.nextafter(1, 0)

log = logging.getLogger("sentinode")


@dataclass(frozen=True)
class PredictionsFile:
    """A csv file of predictions.

    It has a column of ids and a column ``logit`` or ``probability``. In a Kaggle submission (``id,label``) the column
    ``label`` holds the probabilities; otherwise ``label`` and ``split`` are compared with those of the patches.

    Attributes
    ----------
    path : Path
        The file.

    Raises
    ------
    DataError
        When it is first used: the file cannot be read, a column is missing, an id occurs twice, or a value is not a
        number or out of range.
    """

    path: Path

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def validation_predictions(self) -> None:
        """Unknown for predictions from a file."""
        return None

    @property
    def threshold(self) -> float:
        """The threshold in the JSON file next to it, otherwise 0.5."""
        file = made_by_path(self.path)
        made_by = read_json(file) if file.is_file() else {}
        if not isinstance(made_by, dict):
            raise DataError(f'{file}: expected an object, such as {{"threshold": 0.5}}; correct it or delete it')
        try:
            return parse_threshold(made_by.get("threshold", DEFAULT_THRESHOLD))
        except ValueError as error:
            raise DataError(f"{file}: threshold: {error}; correct it or delete it") from error

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The provenance of the predictions."""
        return {"predictions": str(self.path), "sha256": sha256_of(self.path), "threshold": self.threshold}

    @cached_property
    def table(self) -> pd.DataFrame:
        """The columns ``logit``, ``probability``, ``label`` and ``split`` (text) by id."""
        table = read_csv(self.path)
        numbers = (np.flatnonzero((table != "").any(axis=1)) + FIRST_ROW).tolist()
        table = table[(table != "").any(axis=1)]
        table.columns = table.columns.str.lower()
        if not table.columns.is_unique:
            repeated = table.columns[table.columns.duplicated()][0]
            raise DataError(f"{self.path}: has two columns {repeated!r}, but for upper and lower case; rename one")
        key = next((name for name in IDS if name in table), None)
        column = next((name for name in SCORES if name in table), None)
        if column is None and "label" in table and not table["label"].map(_label).notna().all():
            column = "label"  # A Kaggle submission.
        if key is None or column is None:
            raise DataError(
                f"{self.path}: needs the columns id, and probability or logit; found {', '.join(table.columns)}"
            )
        twice = table[key].duplicated()
        if twice.any():
            place = int(np.flatnonzero(twice)[0])
            raise DataError(
                f"{self.path} row {numbers[place]}: id {table[key].iloc[place]!r} occurs twice; remove one row"
            )
        logits = np.array([_number(text) for text in table[column]])
        outside = (column != "logit") & ((logits < 0) | (logits > 1))
        for wrong, problem in (
            (~np.isfinite(logits), "is not a finite number"),
            (outside, "is not between 0 and 1; a column of logits is named logit"),
        ):
            if wrong.any():
                first = int(np.flatnonzero(wrong)[0])
                text = table[column].iloc[first]
                raise DataError(f"{self.path} row {numbers[first]}: {column} {text!r} {problem}")
        given = probability(logits) if column == "logit" else logits
        if column != "logit":
            logits = logit(np.clip(logits, _SMALLEST, _LARGEST))
        texts = {
            name: table[name].tolist() if name in table and name != column else [""] * len(table)
            for name in ("label", "split")
        }
        texts["split"] = [SPLITS.get(text.lower(), text) for text in texts["split"]]
        return pd.DataFrame({"logit": logits, "probability": given, **texts}, index=table[key].tolist())

    def predictions(self, patches: PatchSet, made_by: Mapping[str, Any] | None = None) -> Predictions:
        """Match the predictions to patches.

        Ids are matched as they are, or else as paths: one of the two may have more leading folders, but the folders
        that both have must agree. If that does not match every patch, file endings are ignored. ``made_by`` records
        which of these was used. The ``split`` of a row, if the file has one, must be that of the patch, and so must its
        ``label``; only an equal id that is not a mere row number outweighs the label, since labels get corrected.

        Parameters
        ----------
        patches : PatchSet
            The labeled patches.
        made_by : mapping, optional
            What the predictions should record in addition.

        Returns
        -------
        Predictions
            One row for each patch, in the order of `patches`.

        Raises
        ------
        DataError
            A patch has no row, or more than one.
        """
        rows, matched_by = self._match(patches)
        others = [str(name) for name in np.delete(self.table.index.to_numpy(), rows)]
        about: dict[str, Any] = {"matched_by": matched_by, "rows_of_other_patches": len(others)}
        conflicts = self._label_conflicts(patches, rows)
        if matched_by != "id":
            log.info("%s: rows were matched to patches by %s", self.path, matched_by)
        if others:
            log.info("%s: %s rows belong to other patches, such as %s", self.path, f"{len(others):,}", _first(others))
        if len(conflicts):
            about["label_conflicts"] = len(conflicts)
            log.warning(
                "%s: the label of %s patches differs from that of %s, which is used; for example %s",
                self.path,
                f"{len(conflicts):,}",
                patches.path,
                _first(conflicts),
            )
        logits, given = (self.table[name].to_numpy()[rows] for name in ("logit", "probability"))
        found = Predictions.from_logits(patches.table, logits, {**self.identity, **about, **(made_by or {})})
        # Conversion to a logit and back may change the last digit, which decides at the threshold.
        predicted = (given >= self.threshold).astype("int8")
        return replace(found, table=found.table.assign(probability=given, prediction=predicted))

    def _match(self, patches: PatchSet) -> tuple[np.ndarray, str]:
        wanted = list(patches.table["id"])
        place = {name: row for row, name in enumerate(self.table.index)}
        rows = np.array([place.get(name, -1) for name in wanted])
        rows[[row >= 0 and not fits for row, fits in zip(rows, self._fit(patches.table, rows), strict=True)]] = -1
        if (rows >= 0).all():
            return rows, "id"
        best = rows
        for matched_by in MATCHES[1:]:
            rows = self._match_paths(patches.table, matched_by != "path")
            if (rows >= 0).all():
                return rows, matched_by
            best = rows if (rows >= 0).sum() >= (best >= 0).sum() else best
        missing = [wanted[index] for index in np.flatnonzero(best < 0)]
        if _lost_zeros(wanted, list(self.table.index)):
            raise DataError(
                f"{self.path}: its ids lost their leading zeros, such as {_first(list(self.table.index))} for "
                f"{_first(missing)}; read and write ids as text (in pandas dtype=str)"
            )
        raise DataError(
            f"{self.path}: no matching row, or several, for {len(missing):,} of the {plural(len(wanted), 'patch')} of "
            f"{patches.path}, for example {_first(missing)}; its ids are such as {_first(list(self.table.index))}. Ids "
            f"are compared as they are, then as paths whose common folders, labels and splits must agree"
        )

    def _fit(self, patches: pd.DataFrame, rows: np.ndarray) -> list[bool]:
        """Tell for each patch whether the row of its id agrees with it in split, and in label if the id is a number."""
        if self.table.empty:
            return [False] * len(rows)
        texts = self.table.iloc[rows]
        known = zip(patches["id"], patches["label"], patches["split"], texts["label"], texts["split"], strict=True)
        return [
            _same_split(of_row, split) and (_label(text) in (None, label) or not name.rpartition("/")[2].isdigit())
            for name, label, split, text, of_row in known
        ]

    def _match_paths(self, patches: pd.DataFrame, without_ending: bool) -> np.ndarray:
        """Return the row of each patch; -1 if there is none or it is ambiguous."""
        by_name: dict[str, list[tuple[list[str], int]]] = {}
        for row, name in enumerate(self.table.index):
            parts = _parts(str(name), without_ending)
            by_name.setdefault(parts[-1], []).append((parts, row))
        labels, splits = self.table["label"].tolist(), self.table["split"].tolist()
        found = []
        known = zip(patches["id"], patches["label"].tolist(), patches["split"], strict=True)
        for name, label, split in known:
            parts = _parts(name, without_ending)
            is_array_row = parts[-1].isdigit() and not Path(name).suffix
            rows = [
                row
                for other, row in by_name.get(parts[-1], [])
                if all(a == b for a, b in zip(parts[::-1], other[::-1], strict=False))
                and (len(other) > 1 or not is_array_row)
                and _label(labels[row]) in (None, label)
                and _same_split(splits[row], split)
            ]
            found.append(rows[0] if len(rows) == 1 else -1)
        used = Counter(found)
        return np.array([row if used[row] == 1 else -1 for row in found])

    def _label_conflicts(self, patches: PatchSet, rows: np.ndarray) -> list[str]:
        labels = [_label(text) for text in self.table["label"].to_numpy()[rows]]
        known = zip(patches.table["id"], labels, patches.labels, strict=True)
        return [name for name, label, truth in known if label not in (None, truth)]


def _parts(name: str, without_ending: bool) -> list[str]:
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")] or [name]
    if without_ending:
        parts[-1] = re.sub(r"(?<=.)\.[^.]*$", "", parts[-1])
    return parts


def _same_split(of_row: str, of_patch: Any) -> bool:
    return not of_row or pd.isna(of_patch) or of_row == of_patch


def _number(text: str) -> float:
    try:  # Python reads every digit; pandas may round the last.
        return float(text)
    except ValueError:
        return np.nan


def _label(text: str) -> int | None:
    """Return the label that a text states; None if it states none."""
    try:
        return label_of(text)
    except ValueError:
        return None


def _lost_zeros(wanted: Sequence[str], ids: Sequence[str]) -> bool:
    """Check whether ids are the numbers in the names of patches, without their leading zeros."""
    stems = [name.rpartition("/")[2].partition(".")[0] for name in wanted]
    numbers = {stem.lstrip("0") or "0" for stem in stems if stem.isdecimal()}
    known = {name.rpartition("/")[2].partition(".")[0] for name in ids}
    return len(numbers) == len(stems) and numbers <= known and not {*stems} <= known


def _first(names: Sequence[str], count: int = 3) -> str:
    return ", ".join(map(repr, names[:count])) + (", …" if len(names) > count else "")
