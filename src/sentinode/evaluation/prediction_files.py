"""Predictions of any software, as a csv, for the patches that they are of."""

import csv
import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError
from sentinode.inference.predictions import made_by_path
from sentinode.metrics.checks import Floats

# What ids may be matched by, the strictest first.
KEYS: dict[str, Callable[[str], str]] = {
    "id": lambda name: name,
    "file name": lambda name: re.split(r"[/\\]", name)[-1],
    "file name without its ending": lambda name: re.sub(r"(?<=.)\.[^.]*$", "", re.split(r"[/\\]", name)[-1]),
}
# Log-odds that are finite, and in the order of the probabilities, where these are exactly 0 and 1.
_LEAST, _MOST = np.nextafter(0, 1), np.nextafter(1, 0)

log = logging.getLogger("sentinode")


@dataclass(frozen=True)
class PredictionsFile:
    """A csv with a column ``id`` and a column ``logit`` or ``probability``; a ``label`` is compared with the patches'.

    Attributes
    ----------
    path
        Where it lies.

    Raises
    ------
    DataError
        On first use: it cannot be read, a column is missing, an id comes twice, a value is no number or out of range.
    """

    path: Path

    @property
    def name(self) -> str:
        """That of the file."""
        return self.path.name

    @property
    def validation_predictions(self) -> None:
        """Unknown for predictions from a file."""
        return None

    @property
    def threshold(self) -> float:
        """The probability from which a patch is called tumour: that of the json beside it if there is one, else 0.5."""
        try:
            threshold = float(json.loads(made_by_path(self.path).read_text(encoding="utf-8"))["threshold"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.5
        return threshold if 0 <= threshold <= 1 else 0.5

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a comparison remembers of it."""
        digest = sha256(self.path.read_bytes()).hexdigest()
        return {"predictions": str(self.path), "sha256": digest, "threshold": self.threshold}

    @cached_property
    def table(self) -> pd.DataFrame:
        """``logit`` and ``label`` by id; where only probabilities are there, 0 and 1 become the nearest finite ones."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                rows = [row for row in csv.reader(file) if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path}: not a readable csv ({error})") from error
        header = [name.strip().lower() for name in rows[0]] if rows else []
        column = next((name for name in ("logit", "probability") if name in header), None)
        if "id" not in header or column is None:
            found = ", ".join(header) or "none"
            raise DataError(f"{self.path}: columns id, and probability or logit, are needed; there are: {found}")
        ids, values, labels = [], [], []
        first: dict[str, int] = {}
        for number, row in enumerate(rows[1:], start=2):
            if len(row) != len(header):
                raise DataError(f"{self.path} row {number}: {len(row)} values, where the header names {len(header)}")
            name = row[header.index("id")]
            if first.setdefault(name, number) != number:
                raise DataError(
                    f"{self.path} row {number}: id {name!r} stands in row {first[name]} too; give each once"
                )
            ids.append(name)
            values.append(self._value(row[header.index(column)], column, number))
            labels.append(row[header.index("label")].strip() if "label" in header else "")
        scores = np.array(values, dtype=np.float64)
        if column == "probability":
            scores = logit(np.clip(scores, _LEAST, _MOST))
        return pd.DataFrame({"logit": scores, "label": labels}, index=ids)

    def _value(self, text: str, column: str, number: int) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{self.path} row {number}: {column} {text!r} is not a finite number")
        if column == "probability" and not 0 <= value <= 1:
            raise DataError(
                f"{self.path} row {number}: probability {text} is not between 0 and 1 (log-odds? name the column logit)"
            )
        return value

    def logits(self, patches: PatchSet) -> Floats:
        """Return the log-odds of these patches, in their order.

        Ids are matched as they are; where that does not find all patches, by file name, and then by file name without
        its ending. How they were matched, and what is left over, is said.

        Raises
        ------
        DataError
            A patch has no row, or more than one.
        """
        wanted, found = list(patches.table["id"]), 0
        for key, key_of in KEYS.items():
            rows = _rows(list(map(key_of, self.table.index)), list(map(key_of, wanted)))
            if (rows >= 0).all():
                self._tell(key, rows, patches)
                return self.table["logit"].to_numpy()[rows]
            if int((rows >= 0).sum()) >= found:
                found, missed = int((rows >= 0).sum()), [wanted[place] for place in np.flatnonzero(rows < 0)]
        raise DataError(
            f"{self.path}: no row, or no single one, for {len(missed):,} of the {len(wanted):,} patches of "
            f"{patches.path}, the first {_first(missed)}; its own ids are such as {_first(list(self.table.index))}; "
            f"they are matched by {', '.join(KEYS)}"
        )

    def _tell(self, key: str, rows: np.ndarray, patches: PatchSet) -> None:
        others = [str(name) for name in np.delete(self.table.index.to_numpy(), rows)]
        if key != "id":
            log.info("%s: its rows were matched by %s", self.path, key)
        if others:
            log.info("%s: %s rows are of other patches, the first %s", self.path, f"{len(others):,}", _first(others))
        said = pd.to_numeric(self.table["label"], errors="coerce").to_numpy()[rows]
        wrong = np.flatnonzero(np.isin(said, (0, 1)) & (said != patches.labels))
        if len(wrong):
            log.warning(
                "%s: its label is another than that of %s, which is the one that counts, for %s patches, the first %s",
                self.path,
                patches.path,
                f"{len(wrong):,}",
                _first(list(patches.table["id"].iloc[wrong])),
            )


def _rows(there: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Return for each wanted key its place among those that are there; −1 where it has none, or not one of its own."""
    place: dict[str, int] = {}
    for number, name in enumerate(there):
        place[name] = -1 if name in place else number
    counts = pd.Series(list(wanted)).value_counts()
    return np.array([place.get(name, -1) if counts[name] == 1 else -1 for name in wanted])


def _first(names: Sequence[str], count: int = 3) -> str:
    more = ", …" if len(names) > count else ""
    return ", ".join(map(repr, names[:count])) + more
