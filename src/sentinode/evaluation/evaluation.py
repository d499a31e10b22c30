"""The numbers of an evaluation; figures and reports draw from them and compute nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from sentinode.inference.predictions import Predictions
from sentinode.metrics.auc import auc, partial_auc
from sentinode.metrics.calibration_error import (
    CalibrationError,
    ReliabilityPoint,
    calibration_error,
    reliability_curve,
)
from sentinode.metrics.calibration_quality import Brier, RecalibrationLine, brier, recalibration_line
from sentinode.metrics.conformal import ConformalCoverage, ConformalSets, measure_conformal
from sentinode.metrics.decision import DecisionCurve, decision_curve
from sentinode.metrics.interval import Interval
from sentinode.metrics.precision_recall import PrecisionRecallCurve, average_precision, precision_recall_curve
from sentinode.metrics.ranking import RocCurve, roc_curve
from sentinode.metrics.rates import Rates, rates
from sentinode.metrics.selective import CoverageAtRisk, RiskCoverage, coverage_at_risk, risk_coverage
from sentinode.metrics.subgroups import Subgroup, subgroups

# Shares of wrong calls to ask the coverage for.
RISKS = (0.01, 0.05)
# Columns that say which patches belong together, the widest first.
CLUSTERS = ("patient", "slide")


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on labelled patches; every `Interval` is one of 95 %.

    Attributes
    ----------
    data
        What was evaluated, in words: the source and its split.
    split
        The split's name; ``"all"`` for a source without splits.
    normal, tumour
        Counts of patches.
    clusters
        ``"patient"`` or ``"slide"``: what the intervals take for independent; None where neither is known, and the
        intervals have to take patches for independent.
    roc, precision_recall
        The curves.
    ranking
        ``"auc"``, ``"partial_auc"`` (the mean sensitivity above a specificity of 0.9), ``"average_precision"``.
    points
        Figures at a threshold by name: ``"0.5"``, ``"validation"`` (the threshold chosen on validation patches), and
        those that were asked for.
    calibration_error, brier, recalibration, reliability
        Whether probabilities come true.
    risk_coverage, coverage_at_risk
        Whether the surest calls are the right ones.
    conformal
        How often prediction sets hold the label; None for a model without them.
    decision
        Net benefit by threshold.
    subgroups
        By column: the figures of each group.
    made_by
        What made the predictions.
    folder
        Where it is written.
    """

    data: str
    split: str
    normal: int
    tumour: int
    clusters: str | None
    roc: RocCurve
    precision_recall: PrecisionRecallCurve
    ranking: dict[str, Interval]
    points: dict[str, Rates]
    calibration_error: CalibrationError
    brier: Brier
    recalibration: RecalibrationLine
    reliability: list[ReliabilityPoint]
    risk_coverage: RiskCoverage
    coverage_at_risk: list[CoverageAtRisk]
    conformal: ConformalCoverage | None
    decision: DecisionCurve
    subgroups: dict[str, list[Subgroup]]
    made_by: dict[str, Any]
    folder: Path

    @classmethod
    def from_predictions(
        cls,
        predictions: Predictions,
        data: str,
        split: str,
        thresholds: Mapping[str, float],
        folder: Path,
        *,
        prevalences: Sequence[float] = (),
        groups: Mapping[str, ArrayLike] | None = None,
        conformal: ConformalSets | None = None,
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
        thresholds
            Probabilities by name, chosen on other patches; ``"validation"`` is the one that patches are called by.
        folder
            Where it will be written.
        prevalences
            Shares of tumour to give PPV and NPV at.
        groups
            By column, each patch's group.
        conformal
            Prediction sets fitted on other patches.

        Raises
        ------
        DataError
            Only one class is there: nothing can be ranked.
        """
        labels, probability = predictions.labels, predictions.table["probability"].to_numpy()
        # Ranked by logit: probabilities near 0 and 1 tie before logits do.
        logit = predictions.table["logit"].to_numpy()
        column, units = clusters_of(predictions.table)
        called = thresholds["validation"]
        tumour = int(labels.sum())
        return cls(
            data=data,
            split=split,
            normal=len(labels) - tumour,
            tumour=tumour,
            clusters=column,
            roc=roc_curve(labels, logit),
            precision_recall=precision_recall_curve(labels, logit),
            ranking={
                "auc": auc(labels, logit, units),
                "partial_auc": partial_auc(labels, logit, units),
                "average_precision": average_precision(labels, logit, units),
            },
            points={name: rates(labels, probability, at, units, prevalences) for name, at in thresholds.items()},
            calibration_error=calibration_error(labels, probability, units),
            brier=brier(labels, probability, units),
            recalibration=recalibration_line(labels, probability, units),
            reliability=reliability_curve(labels, probability, units),
            risk_coverage=risk_coverage(labels, probability, called),
            coverage_at_risk=[coverage_at_risk(labels, probability, risk, called, units) for risk in RISKS],
            conformal=measure_conformal(conformal, labels, probability, units) if conformal else None,
            decision=decision_curve(labels, probability, units),
            subgroups={
                name: subgroups(labels, probability, each, called, units if name != column else None)
                for name, each in (groups or {}).items()
            },
            made_by=predictions.made_by,
            folder=folder,
        )

    @property
    def auc(self) -> float:
        """The area under the ROC curve."""
        return self.roc.auc

    def to_json(self) -> dict[str, Any]:
        """Return all numbers but the three long curves as plain values."""
        return {
            "data": self.data,
            "split": self.split,
            "patches": {"normal": self.normal, "tumour": self.tumour},
            "clusters": self.clusters,
            "auc": self.auc,
            "ranking": {name: each.to_json() for name, each in self.ranking.items()},
            "operating_points": {name: point.to_json() for name, point in self.points.items()},
            "calibration": {
                "error": self.calibration_error.to_json(),
                "brier": self.brier.to_json(),
                "recalibration": self.recalibration.to_json(),
                "reliability": [each.to_json() for each in self.reliability],
            },
            "selective": {
                "aurc": self.risk_coverage.aurc,
                "aurc_best": self.risk_coverage.aurc_best,
                "coverage_at_risk": [each.to_json() for each in self.coverage_at_risk],
                "conformal": self.conformal.to_json() if self.conformal else None,
            },
            "decision_curve": self.decision.to_json(),
            "subgroups": {name: [group.to_json() for group in each] for name, each in self.subgroups.items()},
            "made_by": self.made_by,
        }

    def table(self) -> pd.DataFrame:
        """Return the operating points as rows: the threshold, and estimates with ``_low`` and ``_high`` beside."""
        rows = {}
        for name, point in self.points.items():
            shown = {key: value for key, value in vars(point).items() if isinstance(value, Interval)}
            ends = {
                f"{key}{end}": getattr(value, what)
                for key, value in shown.items()
                for end, what in (("", "estimate"), ("_low", "low"), ("_high", "high"))
            }
            rows[name] = {"threshold": point.point.threshold, **ends}
        return pd.DataFrame.from_dict(rows, orient="index")

    def __str__(self) -> str:
        from sentinode.evaluation.formatting import format_evaluation

        return format_evaluation(self)


def clusters_of(patches: pd.DataFrame) -> tuple[str | None, pd.Series | None]:
    """Return what says which patches belong together, and its values.

    Parameters
    ----------
    patches
        A table that may have ``patient`` and ``slide``.

    Returns
    -------
    tuple
        The first of them that is known of all patches and has at least two values; else two None.

    Examples
    --------
    >>> clusters_of(pd.DataFrame({"patient": [None, None], "slide": ["a", "b"]}))[0]
    'slide'
    """
    for name in CLUSTERS:
        if name in patches and patches[name].notna().all() and patches[name].nunique() > 1:
            return name, patches[name]
    return None, None
