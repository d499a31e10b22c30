"""Figures of an explanation."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from sentinode.plots.style import COLORS, GRAY, new_axes, styled

TITLES = {"deletion": "Deletion: lower is better", "insertion": "Insertion: higher is better"}


@styled
def plot_deletion_curves(
    shares: np.ndarray, curves: Mapping[str, Mapping[str, np.ndarray]], random: Mapping[str, np.ndarray]
) -> list[Axes]:
    """Plot deletion and insertion curves of attribution methods, and those of a random order.

    Parameters
    ----------
    shares : ndarray of shape (points,)
        The share of the patch that is deleted or inserted.
    curves : mapping
        By ``"deletion"`` and ``"insertion"``, then by method: the mean P(tumour) at each share.
    random : mapping
        By ``"deletion"`` and ``"insertion"``: the same for squares in random order.

    Returns
    -------
    list of matplotlib.axes.Axes
        Deletion, insertion.
    """
    axes = new_axes(1, 2, (4.8, 4.1), sharey=True)
    for ax, (way, title) in zip(axes, TITLES.items(), strict=True):
        ax.plot(100 * shares, random[way], color=GRAY, linestyle="--", label="random order")
        for (method, curve), color in zip(curves[way].items(), COLORS, strict=False):
            ax.plot(100 * shares, curve, color=color, linestyle="-", label=method)
        ax.set(xlim=(0, 100), ylim=(0, 1), title=title)
        ax.set_xlabel("% of the patch deleted" if way == "deletion" else "% of the patch inserted")
    axes[0].set_ylabel("mean P(tumour)")
    axes[1].legend()
    return axes
