"""Figures of a comparison of models."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from matplotlib.axes import Axes

from sentinode.metrics import Interval, RocCurve
from sentinode.plots.classification import plot_roc
from sentinode.plots.forest import plot_forest
from sentinode.plots.style import COLOR_OF_16, INK, LINE_OF_16, new_axes, set_suptitle, shorten_names, styled

# Differences of more pairs are better read in the table.
MAX_PAIRS = 12
# A legend of more models would hide the curves and is drawn below them.
_LEGEND_INSIDE = 5


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
    if len(curves) <= _LEGEND_INSIDE:
        ax.legend(loc="lower right", fontsize=8)
    else:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=8)
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
    labels = pair_labels([(*pair, p_value) for pair, (_, p_value) in pairs.items()])
    named = {label: interval for label, (interval, _) in zip(labels, pairs.values(), strict=True)}
    shown = f"{len(pairs)} of {len(differences)} pairs" if len(pairs) < len(differences) else "95 % intervals"
    plot_forest(named, reference=0.0, colors=(INK,), title=f"difference of AUC, {shown}", ax=paired)
    set_suptitle([roc], title)
    return [roc, areas, paired]


def pair_labels(pairs: Sequence[tuple[str, str, float]]) -> list[str]:
    """Return the names of pairs of models, shortened and different, with their p-values.

    Examples
    --------
    >>> pair_labels([("a", "b", 0.0001)])
    ['a − b, p < 0.001']
    """
    models = list(dict.fromkeys(name for *names, _ in pairs for name in names))
    short = dict(zip(models, shorten_names(models, 10), strict=True))
    return [
        f"{short[first]} − {short[second]}, " + ("p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}")
        for first, second, p_value in pairs
    ]
