"""Predictions: a table, and a record of what made it."""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.errors import DataError, plural
from sentinode.inference.logits import probability
from sentinode.storage import atomic_file, write_json
from sentinode.version import __version__

COLUMNS = ("id", "label", "probability", "logit", "prediction", "warning")


@dataclass(frozen=True)
class Predictions:
    """One row for each patch.

    Attributes
    ----------
    table : pandas.DataFrame
        ``id``, ``label`` (``Int8``, missing if unknown), ``probability`` and ``logit`` of tumour (float64),
        ``prediction`` (1 from the threshold on), ``warning`` (how the patch differs from the training patches; empty if
        it does not), and ``slide``, ``patient`` and ``centre`` where known. In the order of the patches.
    made_by : dict
        The model, its weights and threshold, and the data.
    """

    table: pd.DataFrame
    made_by: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_logits(cls, patches: pd.DataFrame, logits: np.ndarray, made_by: dict[str, Any]) -> "Predictions":
        """Combine logits with the table of their patches.

        Parameters
        ----------
        patches : pandas.DataFrame
            The table of a `PatchSet`.
        logits : ndarray of shape (n,)
            float64.
        made_by : dict
            If it has a ``threshold``, the table gets a column ``prediction``.

        Raises
        ------
        DataError
            A logit is not finite.
        """
        wrong = np.flatnonzero(~np.isfinite(logits))
        if len(wrong):
            raise DataError(
                f"the model's logit for patch {patches['id'].iloc[wrong[0]]!r} is {logits[wrong[0]]}; "
                "its weights or its input scaling are wrong"
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
        """Labels as integers of shape ``(n,)``."""
        return self.table["label"].to_numpy(dtype=np.int64)

    def __repr__(self) -> str:
        return f"<Predictions: {self.describe()}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.describe())}</p>{self.table.to_html(max_rows=10, index=False, border=0)}"

    def describe(self) -> str:
        """Return one line: the model, and how many patches are predicted to be tumour or get a warning."""
        parts = [plural(len(self), "patch")]
        if "prediction" in self.table:
            tumour, threshold = int(self.table["prediction"].sum()), self.made_by.get("threshold")
            parts.append(f"{tumour:,} predicted tumour" + (f" (threshold {threshold:.3f})" if threshold else ""))
        if "warning" in self.table:
            parts.append(f"{int((self.table['warning'] != '').sum()):,} with a warning")
        if "model" in self.made_by:
            parts.append(f"model {self.made_by['model']}")
        return ", ".join(parts)

    def write(self, path: str | Path) -> None:
        """Write the table as csv, and ``made_by`` as json beside it.

        The columns are ``id``, ``label`` (if any is known), ``probability``, ``logit``, and, where there are,
        ``prediction`` and ``warning``. Numbers have the fewest digits that read back exactly.

        Parameters
        ----------
        path : str or Path
            The csv file.
        """
        columns = [name for name in COLUMNS if name in self.table]
        if self.table["label"].isna().all():
            columns.remove("label")
        _write(self.table[columns], path, self.made_by)

    def write_kaggle(self, path: str | Path, kaggle_ids: list[str]) -> None:
        """Write a Kaggle submission: the columns ``id`` and, holding the probability, ``label``.

        Parameters
        ----------
        path : str or Path
            The csv file to write.
        kaggle_ids : list of str
            Kaggle's id of each patch, in the order of the table.
        """
        _write(pd.DataFrame({"id": kaggle_ids, "label": self.table["probability"]}), path, self.made_by)

    @classmethod
    def read(cls, path: str | Path) -> "Predictions":
        """Read a csv file that `write` wrote.

        Raises
        ------
        DataError
            It cannot be read, or a column is missing.
        """
        try:
            table = pd.read_csv(
                path,
                dtype={"id": "str", "label": "Int8", "probability": "str", "logit": "str", "warning": "str"},
                keep_default_na=False,  # An id may be "NA".
                na_values={"label": [""], "probability": [""], "logit": [""]},
            )
            for name in {"probability", "logit"} & set(table.columns):
                table[name] = table[name].map(float)  # Python reads every digit; pandas' parser may miss the last.
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as predictions ({error}); specify a predictions.csv") from error
        missing = {"id", "probability", "logit"} - set(table.columns)
        if missing:
            raise DataError(f"{path}: column {', '.join(sorted(missing))} is missing; specify a predictions.csv")
        if "label" not in table:
            table["label"] = pd.array([None] * len(table), dtype="Int8")
        if "warning" in table:
            table["warning"] = table["warning"].fillna("")
        return cls(table)


def _write(table: pd.DataFrame, path: str | Path, made_by: dict[str, Any]) -> None:
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", compression=None)
        made_by_path(path).unlink(missing_ok=True)  # Killed in between, no table has the threshold of another.
    write_json(made_by_path(path), made_by)


def made_by_path(path: str | Path) -> Path:
    """Return the json file beside a table that records what made it.

    Examples
    --------
    >>> made_by_path("predictions.csv").name
    'predictions.csv.json'
    """
    return Path(f"{path}.json")
