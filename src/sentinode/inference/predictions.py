"""Predictions as a table that knows what made it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.errors import DataError
from sentinode.inference.logits import probability
from sentinode.storage import atomic_file, write_json
from sentinode.version import __version__

COLUMNS = ("id", "label", "probability", "logit", "prediction", "warning")


@dataclass(frozen=True)
class Predictions:
    """One row a patch.

    Attributes
    ----------
    table
        ``id``, ``label`` (``Int8``, where known), ``probability`` and ``logit`` (float64); of a run also ``prediction`` (1
        from its threshold on) and ``warning`` (what is unusual about a patch, or nothing); ``slide``, ``patient`` and
        ``centre`` where known. In the order of the data.
    made_by
        What made it: the model, its weights, the data.
    """

    table: pd.DataFrame
    made_by: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_logits(cls, patches: pd.DataFrame, logits: np.ndarray, made_by: dict[str, Any]) -> "Predictions":
        """Put logits beside the patches that they belong to.

        Parameters
        ----------
        patches
            The table of a `PatchSet`.
        logits
            float64, shape ``(n,)``.
        made_by
            What made them; with a ``threshold``, patches are called by it.

        Raises
        ------
        DataError
            A logit is not finite.
        """
        wrong = np.flatnonzero(~np.isfinite(logits))
        if len(wrong):
            raise DataError(
                f"the model gives {logits[wrong[0]]} for {patches['id'].iloc[wrong[0]]!r}; were its weights trained?"
            )
        known = [name for name in ("slide", "patient", "centre") if patches[name].notna().any()]
        table = patches[["id", "label"]].assign(probability=probability(logits), logit=logits)
        if "threshold" in made_by:
            table["prediction"] = (table["probability"] >= made_by["threshold"]).astype("int8")
        return cls(pd.concat([table, patches[known]], axis=1), {"sentinode": __version__, **made_by})

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> np.ndarray:
        """Labels as integers, shape ``(n,)``."""
        return self.table["label"].to_numpy(dtype=np.int64)

    def write(self, path: str | Path) -> None:
        """Write the table as csv, and what made it as json beside it.

        Columns: ``id``, ``label`` (left out when no patch has one), ``probability``, ``logit``; of a run also ``prediction``
        and ``warning``. Numbers have the fewest digits that read back the same.
        """
        columns = [name for name in COLUMNS if name in self.table]
        if self.table["label"].isna().all():
            columns.remove("label")
        _write(self.table[columns], path, self.made_by)

    def write_kaggle(self, path: str | Path, kaggle_ids: list[str]) -> None:
        """Write a submission for Kaggle's competition: ``id``, and the probability as ``label``."""
        _write(pd.DataFrame({"id": kaggle_ids, "label": self.table["probability"]}), path, self.made_by)

    @classmethod
    def read(cls, path: str | Path) -> "Predictions":
        """Read a csv that `write` wrote.

        Raises
        ------
        DataError
            Not there, or not such a csv.
        """
        try:
            table = pd.read_csv(
                path, dtype={"id": "str", "label": "Int8", "probability": "str", "logit": "str", "warning": "str"}
            )
            for name in {"probability", "logit"} & set(table.columns):
                table[name] = table[name].map(float)  # Python reads every digit; pandas' parser may miss the last.
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable predictions csv ({error})") from error
        missing = {"id", "probability", "logit"} - set(table.columns)
        if missing:
            raise DataError(f"{path}: no column {', '.join(sorted(missing))}; is it a predictions.csv?")
        if "label" not in table:
            table["label"] = pd.array([None] * len(table), dtype="Int8")
        if "warning" in table:
            table["warning"] = table["warning"].fillna("")
        return cls(table)


def _write(table: pd.DataFrame, path: str | Path, made_by: dict[str, Any]) -> None:
    with atomic_file(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")
    write_json(made_by_path(path), made_by)


def made_by_path(path: str | Path) -> Path:
    """Return the file beside a csv of predictions that says what made it.

    Examples
    --------
    >>> made_by_path("predictions.csv").name
    'predictions.csv.json'
    """
    return Path(f"{path}.json")
