"""Forest plots: estimates with confidence intervals, one below the other."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from sentinode.metrics import Interval, Subgroup
from sentinode.plots.style import (
    BLUE,
    DOTTED,
    GRAY,
    GREEN,
    ORANGE,
    new_axes,
    set_suptitle,
    set_title,
    shorten_names,
    shorten_start,
    styled,
)

# Of these three figures, in every plot that shows them together.
COLOR_AND_MARKER = {"AUC": (BLUE, "o"), "sensitivity": (ORANGE, "s"), "specificity": (GREEN, "D")}


@styled
def plot_forest(
    intervals: Mapping[str, Interval | None],
    *,
    reference: float | None = None,
    colors: Sequence[str] = (BLUE,),
    marker: str = "o",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot intervals one below the other.

    Parameters
    ----------
    intervals : mapping
        By name of the row, the first at the top; None leaves the row empty.
    reference : float, optional
        A value to compare with, drawn as a vertical line.
    colors : sequence of str
        Colors of the rows; repeated where there are more rows.
    marker : str
        The marker of the estimates.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Examples
    --------
    >>> from sentinode.metrics import Interval
    >>> ax = plot_forest({"a": Interval(0.9, 0.8, 0.95, "Wilson", 50), "b": None})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a', 'b']
    """
    ax = ax or new_axes(size=(5.0, forest_height(len(intervals))))[0]
    if reference is not None:
        ax.axvline(reference, color=GRAY, linewidth=1.2, linestyle=DOTTED)
    for row, interval in enumerate(intervals.values()):
        if interval is not None:
            color = colors[row % len(colors)]
            ax.plot([interval.low, interval.high], [row, row], color=color, linestyle="-", linewidth=1.4)
            ax.plot(interval.estimate, row, marker, color=color, markersize=6)
    ax.set_yticks(range(len(intervals)), [shorten_start(name, 40) for name in intervals], fontsize=9)
    ax.set_ylim(len(intervals) - 0.4, -0.6)
    ax.margins(x=0.06)
    ax.locator_params(axis="x", nbins=5)
    ax.grid(axis="y", visible=False)
    set_title(ax, title)
    return ax


@styled
def plot_subgroups(groups: Sequence[Subgroup], *, title: str = "") -> list[Axes]:
    """Plot AUC, sensitivity and specificity of each subgroup side by side.

    Parameters
    ----------
    groups : sequence of Subgroup
        From `sentinode.metrics.subgroups`, the first at the top.
    title : str
        The title of the figure.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each figure.
    """
    axes = new_axes(1, 3, (3.4, forest_height(len(groups))), sharey=True)
    for ax, name in zip(axes, COLOR_AND_MARKER, strict=True):
        plot_subgroup_metric(groups, name, title=name, ax=ax)
    set_suptitle(axes, title)
    return axes


def plot_subgroup_metric(
    groups: Sequence[Subgroup],
    metric: str,
    *,
    reference: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot one metric of each subgroup.

    Parameters
    ----------
    groups : sequence of Subgroup
        From `sentinode.metrics.subgroups`, the first at the top.
    metric : {"AUC", "sensitivity", "specificity"}
        The metric.
    reference : float, optional
        The value of all patches together.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    color, marker = COLOR_AND_MARKER[metric]
    names = shorten_names([group.name for group in groups], 16)
    intervals = {
        f"{name} ({group.normal + group.tumour:,})": group.auc if metric == "AUC" else getattr(group.point, metric)
        for name, group in zip(names, groups, strict=True)
    }
    return plot_forest(intervals, reference=reference, colors=(color,), marker=marker, title=title, ax=ax)


def forest_height(rows: int) -> float:
    """Return the height in inches of a forest plot of this many rows."""
    return 0.9 + 0.3 * max(rows, 2)
