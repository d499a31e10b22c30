"""Figures of a robustness test."""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes

from sentinode.metrics import Interval
from sentinode.plots.forest import COLOR_AND_MARKER
from sentinode.plots.style import DOTTED, GREY, figure_of, new_axes, set_suptitle, set_title, styled

COLUMNS = 4

# A level, and there the intervals of AUC, sensitivity and specificity.
Level = tuple[float, tuple[Interval, Interval, Interval]]
# The name of the level's unit, the level that changes nothing, and the levels in rising order.
PerturbationLevels = tuple[str, float, Sequence[Level]]


@styled
def plot_perturbation(perturbation: PerturbationLevels, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot AUC, sensitivity and specificity with 95 % bands against the level of a perturbation.

    Parameters
    ----------
    perturbation : tuple
        The label of the axis, the level that changes nothing, and for each level in rising order the intervals of
        AUC, sensitivity and specificity.
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
    label, neutral, points = perturbation
    levels = [level for level, _ in points]
    ax.axvline(neutral, color=GREY, linewidth=1, linestyle=DOTTED, label="unperturbed")
    for number, (name, (color, marker)) in enumerate(COLOR_AND_MARKER.items()):
        intervals = [found[number] for _, found in points]
        low, high = [each.low for each in intervals], [each.high for each in intervals]
        ax.fill_between(levels, low, high, color=color, alpha=0.15, linewidth=0)
        estimates = [each.estimate for each in intervals]
        line = {"AUC": "-", "sensitivity": "--", "specificity": "-."}[name]
        ax.plot(levels, estimates, line, marker=marker, color=color, markersize=4, linewidth=1.5, label=name)
    ax.set_xlabel(label)
    ax.set_xticks(levels if len(levels) <= 5 else levels[::2], minor=False)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    # Below one half only as far as there is something to see.
    ax.set_ylim(lowest_limit([perturbation]), 1.01)
    set_title(ax, title)
    return ax


@styled
def plot_robustness(perturbations: Mapping[str, PerturbationLevels], *, title: str = "") -> list[Axes]:
    """Plot every perturbation of a robustness test, one panel each.

    Parameters
    ----------
    perturbations : mapping
        By name what `plot_perturbation` takes.
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
        plot_perturbation(perturbation, title=name, ax=ax)
    for ax in axes[len(perturbations) :]:
        ax.set_visible(False)
    axes[0].set_ylim(lowest_limit(perturbations.values()), 1.01)
    handles, names = axes[0].get_legend_handles_labels()
    figure_of(axes).legend(handles, names, loc="outside lower center", ncols=len(names))
    set_suptitle(axes, title, 110)
    return axes[: len(perturbations)]


def lowest_limit(perturbations: Iterable[PerturbationLevels]) -> float:
    """Return where the axis of the rates begins so that all of them are seen."""
    lowest = min(each.low for _, _, points in perturbations for _, found in points for each in found)
    return max(0.0, min(lowest, 0.5) - 0.02)
