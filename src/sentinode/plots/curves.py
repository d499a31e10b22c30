"""Four curves of an evaluation on one sheet: precision and recall, calibration, selective prediction, decisions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from sentinode.metrics.calibration_error import ReliabilityPoint
from sentinode.metrics.decision import DecisionCurve
from sentinode.metrics.precision_recall import PrecisionRecallCurve
from sentinode.metrics.selective import RiskCoverage
from sentinode.plots.style import BLUE, GREY, LOOK, ORANGE, Figure, rc_context, save, shortened


def draw_curves(
    precision_recall: PrecisionRecallCurve,
    reliability: Sequence[ReliabilityPoint],
    risk_coverage: RiskCoverage,
    decision: DecisionCurve,
    path: str | Path,
    title: str = "",
) -> None:
    """Draw the sheet.

    Parameters
    ----------
    precision_recall, reliability, risk_coverage, decision
        From `sentinode.metrics`.
    path
        The png to write.
    title
        What they were measured on.
    """
    with rc_context(LOOK):
        figure = Figure(figsize=(9.6, 8.4), layout="constrained")
        (first, second), (third, fourth) = figure.subplots(2, 2)
        _precision_recall(first, precision_recall)
        _reliability(second, reliability)
        _risk_coverage(third, risk_coverage)
        _decision(fourth, decision)
        figure.suptitle(shortened(title, 90), x=0.01, ha="left", fontsize=11)
        save(figure, path)


def _precision_recall(axes: Axes, curve: PrecisionRecallCurve) -> None:
    axes.axhline(curve.prevalence, color=GREY, linewidth=1, linestyle=(0, (2, 3)), label="chance")
    axes.plot(curve.recall, curve.precision, color=BLUE)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.set_xlabel("recall: tumour patches called tumour")
    axes.set_ylabel("precision: tumour calls that are right")
    axes.set_title(f"Precision and recall, {curve.prevalence:.0%} tumour", fontsize=10.5)
    axes.legend(loc="lower left", fontsize=9)


def _reliability(axes: Axes, points: Sequence[ReliabilityPoint]) -> None:
    said = np.array([point.probability for point in points])
    came = np.array([point.frequency.estimate for point in points])
    limits = np.array([(point.frequency.low, point.frequency.high) for point in points]).T
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (2, 3)), label="probabilities that come true")
    axes.errorbar(said, came, np.abs(limits - came), fmt="o-", color=BLUE, ecolor=BLUE, elinewidth=1, capsize=2)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xlabel("probability of tumour")
    axes.set_ylabel("share of tumour")
    axes.set_title(f"Calibration, {len(points)} groups of the same size", fontsize=10.5)
    axes.legend(loc="upper left", fontsize=9)


def _risk_coverage(axes: Axes, curve: RiskCoverage) -> None:
    # The first few patches jump between 0 and 1.
    shown = curve.coverage >= min(0.02, curve.coverage[-1])
    axes.plot(curve.coverage[shown], curve.risk[shown], color=BLUE)
    axes.set(xlim=(-0.01, 1.01))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("patches called, the surest first")
    axes.set_ylabel("share of wrong calls among them")
    axes.set_title(f"Selective prediction, {curve.risk[-1]:.1%} of all calls wrong", fontsize=10.5)


def _decision(axes: Axes, curve: DecisionCurve) -> None:
    axes.axhline(0, color=GREY, linewidth=1, label="call none")
    axes.plot(curve.thresholds, curve.treat_all, color=ORANGE, linestyle="--", label="call all tumour")
    axes.plot(curve.thresholds, curve.net_benefit, color=BLUE, label="model")
    axes.fill_between(curve.thresholds, curve.low, curve.high, color=BLUE, alpha=0.15, linewidth=0)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.1 * curve.prevalence, 1.1 * curve.prevalence))
    axes.set_xlabel("probability from which one would act")
    axes.set_ylabel("net benefit a patch")
    axes.set_title(f"Decisions, {curve.prevalence:.0%} tumour", fontsize=10.5)
    axes.legend(loc="lower left", fontsize=9)
