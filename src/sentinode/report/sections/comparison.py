"""The sections of a comparison that the report of a single run has too: metrics, curves, subgroups."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes

from sentinode.evaluation.comparison import ComparedModel
from sentinode.evaluation.evaluation import Evaluation
from sentinode.plots import plot_decision_curve, plot_precision_recall, plot_reliability, plot_risk_coverage
from sentinode.plots.forest import forest_height, plot_subgroup_metric
from sentinode.plots.style import COLOR_OF_16, LINE_OF_16, new_axes
from sentinode.report.figures import SMALL_SIZE, to_svg
from sentinode.report.formatting import fixed, with_limits
from sentinode.report.page import Figure, Figures, Note, Part, Subheading, Table
from sentinode.report.sections.thresholds import METRICS


def operating_points(models: Sequence[ComparedModel]) -> Table:
    """Return the metrics of each model at its own operating point; of several seeds those of the first."""
    points = [model.evaluations[0].operating_point for model in models]
    header = [
        "metric",
        *(f"{model.name} ({fixed(point.threshold, 4)})" for model, point in zip(models, points, strict=True)),
    ]
    rows = [
        [name, *(with_limits(getattr(point, key)) for point in points)]
        for key, (name, _) in {**METRICS, "f1": ("F1", ""), "mcc": ("MCC", "")}.items()
    ]
    return Table(header, rows, "operating-points")


def curves(models: Sequence[ComparedModel]) -> list[Part]:
    """Return the curves of all models, and what they come to; of several seeds those of the first."""
    figures = [
        _overlaid("Precision and recall", models, plot_precision_recall, lambda each: each.precision_recall),
        _overlaid("Calibration", models, plot_reliability, lambda each: each.calibration.reliability),
        _overlaid("Selective prediction", models, plot_risk_coverage, lambda each: each.risk_coverage),
        _overlaid("Decision curve", models, plot_decision_curve, lambda each: each.decision_curve),
    ]
    rows = []
    for model in models:
        found = model.evaluations[0]
        error = found.calibration.error
        rows.append(
            [
                model.name,
                with_limits(found.ranking.average_precision),
                f"{fixed(error.estimate)} (< {fixed(error.q95_if_calibrated)})",
                with_limits(found.calibration.recalibration.slope),
                with_limits(found.calibration.brier.score),
                fixed(float(found.risk_coverage.risk[-1])),
            ]
        )
    header = ["model", "average precision", "calibration error", "slope", "Brier score", "error rate"]
    note = "The calibration error in parentheses is the 95 % quantile under perfect calibration."
    if any(len(model.evaluations) > 1 for model in models):
        note += " For models with several seeds, the first seed is shown."
    return [Figures(figures), Table(header, rows, "curves"), Note(note)]


def _overlaid(
    title: str, models: Sequence[ComparedModel], plot: Callable[..., Axes], curve: Callable[[Evaluation], Any]
) -> Figure:
    ax = None
    for model, color, line in zip(models, cycle(COLOR_OF_16), cycle(LINE_OF_16), strict=False):
        ax = plot(curve(model.evaluations[0]), name=model.name, ax=ax, color=color, linestyle=line)
    assert ax is not None
    return Figure(title, to_svg(ax, f"{title} of each model.", title.lower().replace(" ", "-")))


def subgroups(models: Sequence[ComparedModel]) -> list[Part]:
    """Return the AUC of each model by group, where groups are known."""
    parts: list[Part] = []
    for column in models[0].evaluations[0].subgroups:
        figures, header = [], [column]
        cells: dict[str, list[str]] = {}
        for number, model in enumerate(models):
            found = model.evaluations[0].subgroups[column]
            ax = new_axes(size=(SMALL_SIZE[0], forest_height(len(found))))[0]
            plot_subgroup_metric(found, "AUC", reference=model.auc.estimate, ax=ax)
            alt = f"AUC of {model.name} for each {column} with 95 % confidence intervals."
            figures.append(Figure(model.name, to_svg(ax, alt, f"{column}-{number}".replace(" ", "-"))))
            header.append(model.name)
            for group in found:
                cells.setdefault(group.name, []).append(with_limits(group.auc))
        rows = [[name, *each] for name, each in cells.items()]
        parts += [Subheading(f"AUC by {column}"), Figures(figures, small=True), Table(header, rows, f"by-{column}")]
    return parts or ["No column with 2 to 30 values names the slide, patient or centre of these patches."]
