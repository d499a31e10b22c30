"""Several models beside each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from sentinode.metrics.interval import Interval
from sentinode.plots.style import BLUE, GREEN, GREY, INK, LOOK, ORANGE, PURPLE, Figure, rc_context, save, shortened

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
LINES = ("-", "--", "-.", ":")
MARKERS = "oD^vsP*X"
# Differences of more pairs would be read in the table.
MOST_PAIRS = 12

Curve = tuple[np.ndarray, np.ndarray]


def draw_comparison(
    curves: Mapping[str, Sequence[Curve]],
    areas: Mapping[str, tuple[Interval, float | None]],
    points: Mapping[str, tuple[float, float]],
    differences: Mapping[tuple[str, str], tuple[Interval, float]],
    path: str | Path,
    title: str = "",
) -> None:
    """Draw all ROC curves, the areas below them, and the differences of these.

    Parameters
    ----------
    curves
        By model, for each seed: false positive rate, true positive rate (0–1, equal lengths).
    areas
        By model: its area, and the standard deviation over seeds where there are several.
    points
        By model: false and true positive rate at its operating point.
    differences
        By pair: the first's area minus the second's, and the p-value corrected for the number of pairs. Of more than
        twelve pairs the first twelve are drawn.
    path
        The png to write.
    title
        What they were compared on.
    """
    shown = dict(list(differences.items())[:MOST_PAIRS])
    with rc_context(LOOK):
        figure = Figure(figsize=(10.8, max(5.4, 0.42 * (len(areas) + len(shown)) + 2.2)), layout="constrained")
        rows = figure.add_gridspec(2, 2, width_ratios=(5.2, 5.6), height_ratios=(len(areas) + 1, len(shown) + 1))
        _draw_curves(figure.add_subplot(rows[:, 0]), curves, areas, points)
        _draw_areas(figure.add_subplot(rows[0, 1]), areas)
        _draw_differences(figure.add_subplot(rows[1, 1]), shown)
        figure.suptitle(shortened(title, 100), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        save(figure, path)


def _look(number: int) -> tuple[str, str]:
    """Return a colour and a line for a model: sixteen differ."""
    return COLOURS[number % 4], LINES[(number + number // 4) % 4]


def _draw_curves(
    axes: Axes,
    curves: Mapping[str, Sequence[Curve]],
    areas: Mapping[str, tuple[Interval, float | None]],
    points: Mapping[str, tuple[float, float]],
) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (2, 3)))
    for number, (name, seeds) in enumerate(curves.items()):
        colour, line = _look(number)
        area, sd = areas[name]
        label = f"{shortened(name, 24)}: AUC {area.estimate:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
        for place, (fpr, tpr) in enumerate(seeds):
            width, alpha = (2.0, 1.0) if len(seeds) == 1 else (1.1, 0.75)
            said = label if place == 0 else None
            axes.plot(fpr, tpr, color=colour, linestyle=line, linewidth=width, alpha=alpha, label=said)
        axes.plot(*points[name], MARKERS[number % 8], color=colour, markersize=8, markeredgecolor="white")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("1 − specificity: normal patches called tumour")
    axes.set_ylabel("sensitivity: tumour patches called tumour")
    axes.set_title("ROC curves, marked at the operating points", fontsize=10.5)
    axes.legend(loc="lower right", fontsize=9)


def _draw_areas(axes: Axes, areas: Mapping[str, tuple[Interval, float | None]]) -> None:
    for number, (area, _) in enumerate(areas.values()):
        _draw_interval(axes, number, area, _look(number)[0], MARKERS[number % 8])
    _name_rows(axes, [shortened(name, 24) for name in areas])
    axes.set_title("area under the curve, 95 %", fontsize=10.5)


def _draw_differences(axes: Axes, differences: Mapping[tuple[str, str], tuple[Interval, float]]) -> None:
    axes.axvline(0, color=GREY, linewidth=1, linestyle="--")
    names = []
    for number, ((first, second), (difference, p_value)) in enumerate(differences.items()):
        _draw_interval(axes, number, difference, INK, "o")
        said = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
        names.append(f"{shortened(first, 16)} − {shortened(second, 16)}\n{said}")
    _name_rows(axes, names)
    axes.set_title("differences of the areas, 95 %; p corrected by Holm", fontsize=10.5)


def _draw_interval(axes: Axes, row: int, interval: Interval, colour: str, marker: str) -> None:
    axes.plot([interval.low, interval.high], [row, row], color=colour)
    axes.plot(interval.estimate, row, marker, color=colour, markersize=8, markeredgecolor="white")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
