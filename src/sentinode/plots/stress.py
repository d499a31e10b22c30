"""What is left of a run under graded shifts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from sentinode.metrics.interval import Interval
from sentinode.plots.style import BLUE, GREEN, GREY, LOOK, ORANGE, Figure, rc_context, save, shortened

COLUMNS = 4
FIGURES = (("AUC", BLUE, "o", "-"), ("sensitivity", ORANGE, "s", "--"), ("specificity", GREEN, "D", "-."))

# Level, and the interval of each of FIGURES.
Point = tuple[float, tuple[Interval, Interval, Interval]]


def draw_stress(shifts: Mapping[str, tuple[str, float, Sequence[Point]]], path: str | Path, title: str = "") -> None:
    """Draw a panel for each shift: AUC, sensitivity and specificity by level, with bands of 95 %.

    Parameters
    ----------
    shifts
        By name: what the level is, in words; the level at which patches are as they were; for each level in rising
        order the intervals of AUC, sensitivity and specificity.
    path
        The png to write.
    title
        What was shifted.
    """
    rows = -(-len(shifts) // COLUMNS)
    with rc_context(LOOK):
        figure = Figure(figsize=(3.1 * COLUMNS, 2.9 * rows + 0.9), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).ravel()
        for axes, (name, (what, neutral, points)) in zip(panels, shifts.items(), strict=False):
            _draw(axes, what, neutral, points)
            axes.set_title(name, fontsize=10.5)
        for axes in panels[len(shifts) :]:
            axes.set_visible(False)
        # Below one half only as far as there is something to see.
        lowest = min(each.low for _, _, points in shifts.values() for _, found in points for each in found)
        panels[0].set_ylim(max(0.0, min(lowest, 0.5) - 0.02), 1.01)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        figure.suptitle(shortened(title, 110), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        save(figure, path)


def _draw(axes: Axes, what: str, neutral: float, points: Sequence[Point]) -> None:
    levels = [level for level, _ in points]
    axes.axvline(neutral, color=GREY, linewidth=1, linestyle=(0, (2, 3)), label="as they are")
    for number, (name, colour, marker, line) in enumerate(FIGURES):
        intervals = [found[number] for _, found in points]
        lows, highs = [each.low for each in intervals], [each.high for each in intervals]
        axes.fill_between(levels, lows, highs, color=colour, alpha=0.15, linewidth=0)
        estimates = [each.estimate for each in intervals]
        axes.plot(levels, estimates, line, marker=marker, color=colour, markersize=4, linewidth=1.5, label=name)
    axes.set_xlabel(what)
    axes.set_xticks(levels if len(levels) <= 5 else levels[::2], minor=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
