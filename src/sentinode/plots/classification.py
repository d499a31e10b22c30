"""Figures of an evaluation: ROC, precision-recall, calibration, selective prediction, decisions, confusion matrix."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sentinode.metrics import (
    ConfusionMatrix,
    DecisionCurve,
    Interval,
    PrecisionRecallCurve,
    ReliabilityPoint,
    RiskCoverage,
    RocBand,
    RocCurve,
)
from sentinode.plots.style import DOTTED, GRAY, INK, new_axes, set_suptitle, set_title, shorten_start, styled

MARKERS = "oD^vsP*X"
REFERENCE: Any = {"color": GRAY, "linewidth": 1, "linestyle": DOTTED}


@styled
def plot_roc(
    curve: RocCurve,
    *,
    name: str = "model",
    auc: Interval | None = None,
    band: RocBand | None = None,
    points: Mapping[str, tuple[float, float]] | None = None,
    title: str = "",
    ax: Axes | None = None,
    **line: Any,
) -> Axes:
    """Plot a ROC curve; call it again with the same axes to add another one.

    Parameters
    ----------
    curve : RocCurve
        From `sentinode.metrics.roc_curve`.
    name : str
        The name of the model, for the legend.
    auc : Interval, optional
        The area with its confidence interval, for the legend; when left out the area of `curve`.
    band : RocBand, optional
        From `sentinode.metrics.roc_band`.
    points : mapping, optional
        Operating points: by name, false and true positive rate.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.
    line : Any
        Passed to `matplotlib.axes.Axes.plot`, such as ``color``.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Examples
    --------
    >>> from sentinode.metrics import roc_curve
    >>> plot_roc(roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])).get_legend_handles_labels()[1]
    ['chance', 'model: AUC 0.750']
    """
    ax = ax or new_axes(size=(5.0, 5.0))[0]
    if not ax.lines:
        ax.plot([0, 1], [0, 1], **REFERENCE, label="chance")
    area = f"{curve.auc:.3f}" if auc is None else f"{auc.estimate:.3f} ({auc.low:.3f}–{auc.high:.3f})"
    label = f"{shorten_start(name, 28)}: AUC {area}"
    [drawn] = ax.plot(curve.false_positive_rate, curve.true_positive_rate, **{"label": label, **line})
    color = drawn.get_color()
    if band:
        edges = (band.false_positive_rate, band.low, band.high)
        ax.fill_between(*edges, color=color, alpha=0.16, linewidth=0, label="95 % band")
    for marker, (label, (false, true)) in zip(cycle(MARKERS), (points or {}).items(), strict=False):
        ax.plot(false, true, marker, color=color, markersize=7, markeredgecolor="white", label=label)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    ax.set(xlabel="false positive rate (1 − specificity)", ylabel="true positive rate (sensitivity)")
    set_title(ax, title)
    ax.legend(loc="lower right")
    return ax


@styled
def plot_confusion_matrix(matrix: ConfusionMatrix, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot a confusion matrix with counts and the share of each true class.

    Parameters
    ----------
    matrix : ConfusionMatrix
        The counts.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes(size=(4.4, 4.2))[0]
    counts = np.array(
        [[matrix.true_negatives, matrix.false_positives], [matrix.false_negatives, matrix.true_positives]]
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{counts[row, column]:,}\n{share:.1%}"
        color = "white" if share > 0.55 else INK
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=13)
    ax.set_xticks([0, 1], ["normal", "tumour"])
    ax.set_yticks([0, 1], ["normal", "tumour"], rotation=90, va="center")
    ax.set(xlabel="predicted", ylabel="true")
    ax.grid(visible=False)
    set_title(ax, title, 40)
    return ax


@styled
def plot_precision_recall(
    curve: PrecisionRecallCurve, *, name: str = "model", title: str = "", ax: Axes | None = None, **line: Any
) -> Axes:
    """Plot precision against recall; call it again with the same axes to add another curve.

    Parameters
    ----------
    curve : PrecisionRecallCurve
        From `sentinode.metrics.precision_recall_curve`.
    name : str
        The name of the model, for the legend.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.
    line : Any
        Passed to `matplotlib.axes.Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes()[0]
    if not ax.lines:
        ax.axhline(curve.prevalence, **REFERENCE, label=f"chance: {curve.prevalence:.0%} tumour")
    ax.plot(curve.recall, curve.precision, **{"label": shorten_start(name, 28), **line})
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xlabel="recall (sensitivity)", ylabel="precision (PPV)")
    set_title(ax, title)
    ax.legend(loc="lower left")
    return ax


@styled
def plot_reliability(
    points: Sequence[ReliabilityPoint], *, name: str = "model", title: str = "", ax: Axes | None = None, **line: Any
) -> Axes:
    """Plot a reliability diagram: the observed frequency of tumour against its predicted probability.

    Parameters
    ----------
    points : sequence of ReliabilityPoint
        From `sentinode.metrics.reliability_curve`: one for each bin.
    name : str
        The name of the model, for the legend.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.
    line : Any
        Passed to `matplotlib.axes.Axes.errorbar`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes()[0]
    if not ax.lines:
        ax.plot([0, 1], [0, 1], **REFERENCE, label="perfect calibration")
    predicted = np.array([point.probability for point in points])
    observed = np.array([point.frequency.estimate for point in points])
    limits = np.array([(point.frequency.low, point.frequency.high) for point in points]).T
    label = shorten_start(name, 28)
    options = {"marker": "o", "markersize": 5, "elinewidth": 1, "capsize": 2, "label": label, **line}
    ax.errorbar(predicted, observed, np.abs(limits - observed), **options)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    ax.set(xlabel="predicted probability of tumour", ylabel="observed frequency of tumour")
    set_title(ax, title)
    ax.legend(loc="upper left")
    return ax


@styled
def plot_risk_coverage(
    curve: RiskCoverage, *, name: str = "model", title: str = "", ax: Axes | None = None, **line: Any
) -> Axes:
    """Plot the error rate among the most confident predictions against their share of all patches.

    Parameters
    ----------
    curve : RiskCoverage
        From `sentinode.metrics.risk_coverage`.
    name : str
        The name of the model, for the legend.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.
    line : Any
        Passed to `matplotlib.axes.Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes()[0]
    # The error rate of the first few patches jumps between 0 and 1.
    shown = curve.coverage >= min(0.02, curve.coverage[-1])
    ax.plot(curve.coverage[shown], curve.risk[shown], **{"label": shorten_start(name, 28), **line})
    ax.set(xlim=(-0.01, 1.01), xlabel="coverage (most confident first)", ylabel="error rate (risk)")
    ax.set_ylim(0, max(0.01, 1.08 * max(float(np.max(each.get_ydata())) for each in ax.lines)))
    set_title(ax, title)
    ax.legend(loc="upper left")
    return ax


@styled
def plot_decision_curve(
    curve: DecisionCurve, *, name: str = "model", title: str = "", ax: Axes | None = None, **line: Any
) -> Axes:
    """Plot the net benefit of acting on predictions against the threshold probability.

    Parameters
    ----------
    curve : DecisionCurve
        From `sentinode.metrics.decision_curve`.
    name : str
        The name of the model, for the legend.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.
    line : Any
        Passed to `matplotlib.axes.Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes()[0]
    if not ax.lines:
        ax.axhline(0, color=GRAY, linewidth=1, linestyle="-", label="treat none")
        ax.plot(curve.thresholds, curve.treat_all, color=GRAY, linewidth=1.2, linestyle="--", label="treat all")
    [drawn] = ax.plot(curve.thresholds, curve.net_benefit, **{"label": shorten_start(name, 28), **line})
    ax.fill_between(curve.thresholds, curve.low, curve.high, color=drawn.get_color(), alpha=0.16, linewidth=0)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.1 * curve.prevalence, 1.1 * curve.prevalence))
    ax.set(xlabel="threshold probability", ylabel="net benefit per patch")
    set_title(ax, title)
    ax.legend(loc="lower left")
    return ax


@styled
def plot_evaluation(
    precision_recall: PrecisionRecallCurve,
    reliability: Sequence[ReliabilityPoint],
    risk_coverage: RiskCoverage,
    decision: DecisionCurve,
    *,
    name: str = "model",
    title: str = "",
) -> list[Axes]:
    """Plot four curves of an evaluation on one sheet.

    Parameters
    ----------
    precision_recall : PrecisionRecallCurve
        See `sentinode.metrics.precision_recall_curve`.
    reliability : sequence of ReliabilityPoint
        See `sentinode.metrics.reliability_curve`.
    risk_coverage : RiskCoverage
        See `sentinode.metrics.risk_coverage`.
    decision : DecisionCurve
        See `sentinode.metrics.decision_curve`.
    name : str
        The name of the model, for the legends.
    title : str
        The title of the sheet.

    Returns
    -------
    list of matplotlib.axes.Axes
        Precision and recall, reliability, selective prediction, decision curve.
    """
    axes = new_axes(2, 2)
    plot_precision_recall(precision_recall, name=name, title="Precision and recall", ax=axes[0])
    plot_reliability(reliability, name=name, title="Calibration", ax=axes[1])
    plot_risk_coverage(risk_coverage, name=name, title="Selective prediction", ax=axes[2])
    plot_decision_curve(decision, name=name, title="Decision curve", ax=axes[3])
    set_suptitle(axes, title)
    return axes
