"""Figures of a comparison of models."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from matplotlib.axes import Axes

from sentinode.metrics import Interval, RocCurve
from sentinode.plots.classification import plot_roc
from sentinode.plots.forest import plot_forest
from sentinode.plots.style import COLOR_OF_16, INK, LINE_OF_16, new_axes, set_suptitle, shorten_start, styled

# Differences of more pairs are better read in the table.
MAX_PAIRS = 12


@styled
def plot_roc_comparison(
    curves: Mapping[str, Sequence[RocCurve]],
    aucs: Mapping[str, Interval],
    points: Mapping[str, tuple[float, float]],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plot the ROC curves of several models, each with its operating point.

    Parameters
    ----------
    curves : mapping
        By model, the curve of each seed.
    aucs : mapping
        By model, the area with its confidence interval.
    points : mapping
        By model, false and true positive rate at its operating point.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes(size=(5.0, 5.0))[0]
    for number, (name, seeds) in enumerate(curves.items()):
        color, line = COLOR_OF_16[number % 16], LINE_OF_16[number % 16]
        for seed, curve in enumerate(seeds):
            options: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.75} if len(seeds) > 1 else {}
            if seed:
                options["label"] = "_other seed"
            plot_roc(curve, name=name, auc=aucs[name], ax=ax, color=color, linestyle=line, **options)
        ax.plot(*points[name], "o", color=color, markersize=7, markeredgecolor="white")
    ax.legend(loc="lower right", fontsize=8)
    return ax


@styled
def plot_comparison(
    curves: Mapping[str, Sequence[RocCurve]],
    aucs: Mapping[str, Interval],
    points: Mapping[str, tuple[float, float]],
    differences: Mapping[tuple[str, str], tuple[Interval, float]],
    *,
    title: str = "",
) -> list[Axes]:
    """Plot the ROC curves of several models, their areas, and the differences of the areas.

    Parameters
    ----------
    curves, aucs, points : mapping
        See `plot_roc_comparison`.
    differences : mapping
        By pair of models: the area of the first minus that of the second, and the corrected p-value. Of more than
        twelve pairs the first twelve are drawn.
    title : str
        The title of the figure.

    Returns
    -------
    list of matplotlib.axes.Axes
        ROC curves, areas, differences.
    """
    pairs = dict(islice(differences.items(), MAX_PAIRS))
    height = max(5.2, 0.36 * (len(aucs) + len(pairs)) + 2.2)
    roc, areas, below, paired = new_axes(2, 2, (5.4, height / 2), height_ratios=(len(aucs) + 1, len(pairs) + 1))
    grid = roc.get_subplotspec()
    assert grid is not None
    below.remove()
    roc.set_subplotspec(grid.get_gridspec()[:, 0])
    plot_roc_comparison(curves, aucs, points, ax=roc)
    roc.set_title("ROC curves and operating points")
    plot_forest(aucs, colors=COLOR_OF_16, title="AUC, 95 % intervals", ax=areas)
    named = {pair_label(*pair, p_value): interval for pair, (interval, p_value) in pairs.items()}
    plot_forest(named, reference=0.0, colors=(INK,), title="difference of AUC, 95 % intervals", ax=paired)
    set_suptitle([roc], title)
    return [roc, areas, paired]


def pair_label(first: str, second: str, p_value: float) -> str:
    """Return the name of a pair with its p-value.

    Examples
    --------
    >>> pair_label("a", "b", 0.0001)
    'a − b, p < 0.001'
    """
    p = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    return f"{shorten_start(first, 10)} − {shorten_start(second, 10)}, {p}"
