"""The results of an evaluation as values that can be saved and loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from sentinode import metrics
from sentinode.errors import plural
from sentinode.evaluation.files import interval_columns
from sentinode.inference.predictions import Predictions
from sentinode.notebook import summary_html
from sentinode.plots.classification import plot_confusion_matrix, plot_evaluation, plot_roc
from sentinode.plots.forest import plot_subgroups
from sentinode.plots.style import save_figures
from sentinode.storage import read_json, write_csv, write_json

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"
# The shares of wrong predictions at which to compute the coverage.
RISKS = (0.01, 0.05)
# A lower AUC suggests exchanged labels.
EXCHANGED_AUC = 0.3
# Columns that define clusters, the largest clusters first.
CLUSTERS = ("patient", "slide")
OUTSIDE_JSON: Any = {"json": False}


@dataclass(frozen=True)
class Ranking:
    """Threshold-free metrics.

    Attributes
    ----------
    auc, partial_auc, average_precision : Interval
        The area under the ROC curve, the mean sensitivity at specificities of at least 0.9, the average precision.
    """

    auc: metrics.Interval
    partial_auc: metrics.Interval
    average_precision: metrics.Interval


@dataclass(frozen=True)
class CalibrationResult:
    """Metrics of calibration.

    Attributes
    ----------
    error : CalibrationError
        The expected calibration error.
    brier : BrierScore
        The Brier score.
    recalibration : RecalibrationLine
        Slope and intercept of a recalibration.
    reliability : tuple of ReliabilityPoint
        The share of tumour by probability.
    """

    error: metrics.CalibrationError
    brier: metrics.BrierScore
    recalibration: metrics.RecalibrationLine
    reliability: tuple[metrics.ReliabilityPoint, ...]


@dataclass(frozen=True)
class SelectiveResult:
    """Metrics of predictions that leave the least confident patches to a person.

    Attributes
    ----------
    aurc, aurc_optimal : float
        The area under the risk-coverage curve, and its lowest possible value.
    coverage_at_risk : tuple of CoverageAtRisk
        The share of patches that can be predicted with at most 1 % and 5 % errors.
    conformal : ConformalCoverage or None
        The coverage of prediction sets; None for a model without them.
    """

    aurc: float
    aurc_optimal: float
    coverage_at_risk: tuple[metrics.CoverageAtRisk, ...]
    conformal: metrics.ConformalCoverage | None


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model on labeled patches, with 95 % confidence intervals.

    ``metrics.json`` has one key for each field, except `predictions`, which are saved as ``predictions.csv``.

    Attributes
    ----------
    data : str
        The source and the split.
    split : str
        The name of the split; ``"all"`` if the source has no splits.
    normal, tumour : int
        The numbers of patches.
    clusters : str or None
        ``"patient"`` or ``"slide"``: what intervals treat as independent. None if neither is known and intervals treat
        patches as independent.
    warnings : tuple of str
        Reasons to doubt the results, such as patches that the model was trained on.
    ranking : Ranking
        Threshold-free metrics.
    operating_points : dict of str to OperatingPoint
        Metrics by name of the threshold: ``"0.5"``, ``"validation"`` (the threshold of the model, chosen on its
        validation patches), and others that were requested.
    calibration : CalibrationResult
        Metrics of calibration.
    selective : SelectiveResult
        Metrics of selective prediction.
    decision_curve : DecisionCurve
        Net benefit by threshold.
    roc_band : RocBand
        The confidence band of the ROC curve.
    subgroups : dict of str to tuple of Subgroup
        Metrics of each group, by column.
    made_by : dict
        Provenance: the model, its weights, the fingerprint of the patches.
    predictions : Predictions
        The prediction of every patch.
    """

    data: str
    split: str
    normal: int
    tumour: int
    clusters: str | None
    warnings: tuple[str, ...]
    ranking: Ranking
    operating_points: dict[str, metrics.OperatingPoint]
    calibration: CalibrationResult
    selective: SelectiveResult
    decision_curve: metrics.DecisionCurve
    roc_band: metrics.RocBand
    subgroups: dict[str, tuple[metrics.Subgroup, ...]]
    made_by: dict[str, Any]
    predictions: Predictions = field(repr=False, compare=False, metadata=OUTSIDE_JSON)

    @classmethod
    def from_predictions(
        cls,
        predictions: Predictions,
        data: str,
        split: str,
        thresholds: Mapping[str, float],
        *,
        prevalences: Sequence[float] = (),
        groups: Mapping[str, ArrayLike] | None = None,
        conformal: metrics.ConformalSets | None = None,
        warnings: Sequence[str] = (),
    ) -> "Evaluation":
        """Compute all metrics of predictions.

        Parameters
        ----------
        predictions : Predictions
            Predictions with a label for every patch.
        data, split : str
            See the attributes.
        thresholds : mapping of str to float
            Thresholds by name, chosen on other patches; ``"validation"`` is the one of the model.
        prevalences : sequence of float, default ()
            Shares of tumour at which to compute PPV and NPV.
        groups : mapping of str to array-like of shape (n,), optional
            The group of each patch, by column.
        conformal : ConformalSets, optional
            Prediction sets fitted on other patches.
        warnings : sequence of str, default ()
            See the attributes.

        Returns
        -------
        Evaluation
            The results.

        Raises
        ------
        DataError
            Only one class is present.
        """
        table, labels = predictions.table, predictions.labels
        probability = table["probability"].to_numpy()
        logit = table["logit"].to_numpy()  # Has fewer ties than the probability.
        column, units = clusters_of(table)
        ranked, probable = (labels, logit, units), (labels, probability, units)
        threshold, tumour = thresholds["validation"], int(labels.sum())
        area, curve = metrics.auc(*ranked), metrics.risk_coverage(labels, probability, threshold)
        return cls(
            data=data,
            split=split,
            normal=len(labels) - tumour,
            tumour=tumour,
            clusters=column,
            warnings=(*warnings, *auc_warnings(area)),
            ranking=Ranking(area, metrics.partial_auc(*ranked), metrics.average_precision(*ranked)),
            operating_points={
                name: metrics.operating_point(labels, probability, at, units, prevalences)
                for name, at in thresholds.items()
            },
            calibration=CalibrationResult(
                metrics.calibration_error(*probable),
                metrics.brier_score(*probable),
                metrics.recalibration_line(*probable),
                tuple(metrics.reliability_curve(*probable)),
            ),
            selective=SelectiveResult(
                curve.aurc,
                curve.aurc_optimal,
                tuple(metrics.coverage_at_risk(labels, probability, risk, threshold, units) for risk in RISKS),
                metrics.conformal_coverage(conformal, *probable) if conformal else None,
            ),
            decision_curve=metrics.decision_curve(*probable),
            roc_band=metrics.roc_band(*ranked),
            subgroups={
                name: tuple(metrics.subgroups(labels, probability, each, threshold, None if name == column else units))
                for name, each in (groups or {}).items()
            },
            made_by=predictions.made_by,
            predictions=predictions,
        )

    @classmethod
    def load(cls, path: str | Path) -> "Evaluation":
        """Load an evaluation that `save` wrote.

        Parameters
        ----------
        path : str or Path
            The folder, or ``metrics.json`` in it.

        Returns
        -------
        Evaluation
            The results.

        Raises
        ------
        DataError
            A file is missing or damaged.

        Examples
        --------
        >>> import tempfile
        >>> from sentinode import Evaluation, evaluate, load_run, open_patches
        >>> patches = open_patches("pcam-mini", split="test").select(range(0, 400, 10))
        >>> folder = tempfile.mkdtemp()
        >>> evaluation = evaluate(load_run("d4net-m"), patches, out=folder)
        >>> Evaluation.load(folder).auc == evaluation.auc
        True
        """
        folder = Path(path).parent if Path(path).is_file() else Path(path)
        predictions = Predictions.read(folder / PREDICTIONS)
        return read_json(folder / METRICS, cls, predictions=predictions)

    def save(self, folder: str | Path, figures: str = "png") -> None:
        """Save metrics, predictions, curves and figures to a folder.

        Parameters
        ----------
        folder : str or Path
            The folder. Written are ``metrics.json``, ``predictions.csv``, the curves as csv files, the figures ``roc``,
            ``curves`` and ``confusion``, and a table and a figure ``by-COLUMN`` for each column of groups.
        figures : {"png", "svg", "pdf"}, default "png"
            The format of the figures.
        """
        folder = Path(folder)
        (folder / METRICS).unlink(missing_ok=True)  # Those of an earlier evaluation do not mark this one.
        self.predictions.write(folder / PREDICTIONS)
        roc, recall, risk = self.roc, self.precision_recall, self.risk_coverage
        rates = {"false_positive_rate": roc.false_positive_rate, "true_positive_rate": roc.true_positive_rate}
        curves = {
            "roc": {**rates, "logit_at_least": roc.thresholds},
            "precision_recall": {
                "recall": recall.recall,
                "precision": recall.precision,
                "logit_at_least": recall.thresholds,
            },
            "risk_coverage": {"coverage": risk.coverage, "risk": risk.risk},
        }
        for name, columns in curves.items():
            write_csv(pd.DataFrame(columns), folder / f"{name}.csv")
        points = {
            f"threshold {point.threshold:.3f}" + ("" if name == "0.5" else f" ({name})"): (
                1 - (point.counts.specificity or 0),
                point.counts.sensitivity or 0,
            )
            for name, point in self.operating_points.items()
        }
        model, chosen = Path(str(self.made_by.get("model", "ensemble"))).name, self.operating_point
        title = f"{self.data}, {plural(self.normal + self.tumour, 'patch')}"
        matrix_title = f"{self.data}\nthreshold {chosen.threshold:.3f}"
        plotted = (recall, self.calibration.reliability, risk, self.decision_curve)
        drawn: dict[str, Axes | list[Axes]] = {
            "roc": plot_roc(roc, name=model, auc=self.ranking.auc, band=self.roc_band, points=points, title=title),
            "curves": plot_evaluation(*plotted, name=model, title=title),
            "confusion": plot_confusion_matrix(chosen.counts, title=matrix_title),
        }
        for column, groups in self.subgroups.items():
            write_csv(_subgroup_table(groups), folder / f"by-{column}.csv")
            drawn[f"by-{column}"] = plot_subgroups(groups, title=f"{title}\nby {column}")
        save_figures(drawn, folder, figures)
        write_json(folder / METRICS, self)  # Last, so that it marks a complete folder.

    @property
    def auc(self) -> float:
        """The area under the ROC curve."""
        return self.ranking.auc.estimate

    @property
    def operating_point(self) -> metrics.OperatingPoint:
        """The metrics at the threshold of the model."""
        return self.operating_points["validation"]

    @cached_property
    def roc(self) -> metrics.RocCurve:
        """The ROC curve; its thresholds are logits."""
        return metrics.roc_curve(self.predictions.labels, self.predictions.table["logit"])

    @cached_property
    def precision_recall(self) -> metrics.PrecisionRecallCurve:
        """The precision-recall curve; its thresholds are logits."""
        return metrics.precision_recall_curve(self.predictions.labels, self.predictions.table["logit"])

    @cached_property
    def risk_coverage(self) -> metrics.RiskCoverage:
        """The risk-coverage curve at the threshold of the model."""
        probability = self.predictions.table["probability"]
        return metrics.risk_coverage(self.predictions.labels, probability, self.operating_point.threshold)

    def table(self) -> pd.DataFrame:
        """Return the operating points as a table.

        Returns
        -------
        pandas.DataFrame
            One row for each threshold; for each metric the estimate and its limits with ``_low`` and ``_high``.
        """
        return pd.DataFrame.from_dict(
            {
                name: {"threshold": point.threshold, **interval_columns(vars(point))}
                for name, point in self.operating_points.items()
            },
            orient="index",
        )

    def _repr_html_(self) -> str:
        rows = {"patches": f"{self.normal:,} normal, {self.tumour:,} tumour", "AUC": f"{self.ranking.auc:.3f}"}
        rows |= {name: f"{getattr(self.operating_point, name):.3f}" for name in ("sensitivity", "specificity")}
        rows |= {"warning": "; ".join(self.warnings)} if self.warnings else {}
        return summary_html(f"Evaluation: {self.data}", rows, self.table().round(3))

    def __repr__(self) -> str:
        return f"<Evaluation of {self}>"

    def __str__(self) -> str:
        point, count = self.operating_point, f"{self.normal:,} normal, {self.tumour:,} tumour"
        rates = f"sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f}"
        return f"{self.data} ({count}): AUC {self.ranking.auc:.3f}, {rates} at threshold {point.threshold:.3f}"


def auc_warnings(area: metrics.Interval) -> list[str]:
    """Return a warning if an area under the ROC curve is so low that the labels seem exchanged."""
    if area.estimate > EXCHANGED_AUC or area.high > 0.5:
        return []
    return [
        f"an AUC of {area.estimate:.3f} is far below 0.5; check that the labels are not swapped (0: normal, 1: tumour)"
    ]


def clusters_of(patches: pd.DataFrame) -> tuple[str | None, "pd.Series[str] | None"]:
    """Find the column that defines clusters of patches.

    Parameters
    ----------
    patches : pandas.DataFrame
        A table that may have the columns ``patient`` and ``slide``.

    Returns
    -------
    name : str or None
        The first of these columns that is known for all patches and has at least two values.
    values : pandas.Series or None
        Its values.

    Examples
    --------
    >>> clusters_of(pd.DataFrame({"patient": [None, None], "slide": ["a", "b"]}))[0]
    'slide'
    """
    for name in CLUSTERS:
        if name in patches and patches[name].notna().all() and patches[name].nunique() > 1:
            return name, patches[name]
    return None, None


def _subgroup_table(groups: Sequence[metrics.Subgroup]) -> pd.DataFrame:
    rows = []
    for group in groups:
        values = {"auc": group.auc, "sensitivity": group.point.sensitivity, "specificity": group.point.specificity}
        row = {"group": group.name, "normal": group.normal, "tumour": group.tumour, "clusters": group.clusters}
        rows.append({**row, **interval_columns(values), "note": group.note})
    return pd.DataFrame(rows).astype({"clusters": "Int64"})
