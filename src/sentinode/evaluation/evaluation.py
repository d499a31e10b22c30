"""The numbers of an evaluation; figures and reports draw from them and compute nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sentinode.metrics.operating import OperatingPoint, operating_point
from sentinode.metrics.ranking import RocCurve, roc_curve
from sentinode.prediction.predictions import Predictions


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on labelled patches.

    Attributes
    ----------
    data
        What was evaluated, in words: the source and its split.
    split
        The split's name; ``"all"`` for a source without splits.
    normal, tumour
        Counts of patches.
    roc
        The ROC curve with its area.
    points
        Operating points by name: ``"0.5"`` and ``"validation"`` (the threshold chosen on validation patches).
    made_by
        What made the predictions.
    folder
        Where it is written.
    """

    data: str
    split: str
    normal: int
    tumour: int
    roc: RocCurve
    points: dict[str, OperatingPoint]
    made_by: dict[str, Any]
    folder: Path

    @classmethod
    def from_predictions(
        cls, predictions: Predictions, data: str, split: str, threshold: float, folder: Path
    ) -> "Evaluation":
        """Measure predictions whose patches have labels.

        Parameters
        ----------
        predictions
            With a label for every patch.
        data
            What was predicted, in words.
        split
            Its split.
        threshold
            The probability chosen on validation patches.
        folder
            Where it will be written.

        Raises
        ------
        DataError
            Only one class is there: nothing can be ranked.
        """
        labels, probabilities = predictions.labels, predictions.table["probability"].to_numpy()
        # Ranked by logit: probabilities near 0 and 1 tie before logits do.
        roc = roc_curve(labels, predictions.table["logit"].to_numpy())
        points = {
            "0.5": operating_point(labels, probabilities, 0.5),
            "validation": operating_point(labels, probabilities, threshold),
        }
        tumour = int(labels.sum())
        return cls(data, split, len(labels) - tumour, tumour, roc, points, predictions.made_by, folder)

    @property
    def auc(self) -> float:
        """The area under the ROC curve."""
        return self.roc.auc

    def to_json(self) -> dict[str, Any]:
        """Return all numbers but the curve as plain values."""
        return {
            "data": self.data,
            "split": self.split,
            "patches": {"normal": self.normal, "tumour": self.tumour},
            "auc": self.auc,
            "operating_points": {name: point.to_json() for name, point in self.points.items()},
            "made_by": self.made_by,
        }

    def table(self) -> pd.DataFrame:
        """Return the operating points as rows, for reading."""
        rows = {}
        for name, point in self.points.items():
            rates = {k: v for k, v in point.to_json().items() if k not in ("threshold",) and "_" not in k}
            rows[name] = {"threshold": point.threshold, **rates}
        return pd.DataFrame.from_dict(rows, orient="index")

    def __str__(self) -> str:
        head = f"{self.data}: {self.normal:,} normal, {self.tumour:,} tumour; AUC {self.auc:.4f}"
        return f"{head}\n{self.table().round(4).to_string()}"
