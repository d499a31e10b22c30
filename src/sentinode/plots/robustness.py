"""Figures of a robustness test."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from sentinode.metrics import Interval
from sentinode.plots.forest import COLOR_AND_MARKER
from sentinode.plots.style import DOTTED, GRAY, figure_of, new_axes, set_suptitle, set_title, styled

COLUMNS = 4
# The dashes of the lines, as SVG has them.
LINES = {"AUC": "none", "sensitivity": "6 2.5", "specificity": "8 2.5 1.5 2.5"}

# A level, and there the intervals of AUC, sensitivity and specificity.
Level = tuple[float, tuple[Interval, Interval, Interval]]


@styled
def plot_perturbation(
    label: str, neutral: float, levels: Sequence[Level], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Plot AUC, sensitivity and specificity with 95 % bands against the level of a perturbation.

    Parameters
    ----------
    label : str
        The label of the axis: what the level is, with its unit.
    neutral : float
        The level that changes nothing.
    levels : sequence of tuple
        In rising order each level with the intervals of AUC, sensitivity and specificity.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes(size=(3.6, 2.8))[0]
    x = [level for level, _ in levels]
    ax.axvline(neutral, color=GRAY, linewidth=1, linestyle=DOTTED, label="unperturbed")
    for number, (name, (color, marker)) in enumerate(COLOR_AND_MARKER.items()):
        intervals = [found[number] for _, found in levels]
        low, high = [each.low for each in intervals], [each.high for each in intervals]
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        estimates = [each.estimate for each in intervals]
        line = "-" if LINES[name] == "none" else (0, tuple(map(float, LINES[name].split())))
        style: Any = {"marker": marker, "color": color, "linestyle": line, "markersize": 4, "linewidth": 1.5}
        ax.plot(x, estimates, label=name, **style)
    ax.set_xlabel(label)
    ax.set_xticks(x if len(x) <= 5 else x[::2], minor=False)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylim(lowest_limit([levels]), 1.01)
    set_title(ax, title)
    return ax


@styled
def plot_robustness(perturbations: Mapping[str, tuple[str, float, Sequence[Level]]], *, title: str = "") -> list[Axes]:
    """Plot every perturbation of a robustness test, one panel each.

    Parameters
    ----------
    perturbations : mapping
        By name the label, the neutral level and the levels that `plot_perturbation` takes.
    title : str
        The title of the figure.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each perturbation.
    """
    rows = -(-len(perturbations) // COLUMNS)
    axes = new_axes(rows, COLUMNS, (3.1, 2.9), sharey=True)
    for ax, (name, perturbation) in zip(axes, perturbations.items(), strict=False):
        plot_perturbation(*perturbation, title=name, ax=ax)
    for ax in axes[len(perturbations) :]:
        ax.set_visible(False)
    axes[0].set_ylim(lowest_limit(levels for _, _, levels in perturbations.values()), 1.01)
    handles, names = axes[0].get_legend_handles_labels()
    figure_of(axes).legend(handles, names, loc="outside lower center", ncols=len(names))
    set_suptitle(axes, title, 110)
    return axes[: len(perturbations)]


def lowest_limit(perturbations: Iterable[Sequence[Level]]) -> float:
    """Return where the axis of the rates starts: at one half, or lower where an interval reaches further."""
    lowest = min(each.low for levels in perturbations for _, found in levels for each in found)
    return max(0.0, min(lowest, 0.5) - 0.02)
