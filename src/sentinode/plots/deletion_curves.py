"""What a network says while a patch is hidden or uncovered square by square, as explanations would have it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sentinode.plots.style import BLUE, GREEN, GREY, LOOK, ORANGE, PURPLE, Figure, rc_context, save

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)


def draw_deletion_curves(
    shares: np.ndarray, curves: Mapping[str, Mapping[str, np.ndarray]], drawn: Mapping[str, np.ndarray], path: Path
) -> None:
    """Draw deletion and insertion curves, one line a method, and squares in random order in grey.

    Parameters
    ----------
    shares
        ``(points,)``: the share of the patch that is touched.
    curves
        By ``"deletion"`` and ``"insertion"``, then by method: mean P(tumour) at each share.
    drawn
        By ``"deletion"`` and ``"insertion"``: the same with squares in random order.
    path
        The png to write.
    """
    with rc_context(LOOK):
        figure = Figure(figsize=(9.5, 4.1), layout="constrained")
        titles = {
            "deletion": "Deletion: the lower the better",
            "insertion": "Insertion: the higher the better",
        }
        for axes, (way, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
            axes.plot(100 * shares, drawn[way], color=GREY, linestyle="--", label="random order")
            for (method, curve), colour in zip(curves[way].items(), COLOURS, strict=False):
                axes.plot(100 * shares, curve, color=colour, label=method)
            axes.set(xlim=(0, 100), ylim=(0, 1), title=title)
            axes.set_xlabel("% of the patch hidden" if way == "deletion" else "% of the patch uncovered")
        figure.axes[0].set_ylabel("mean P(tumour)")
        figure.axes[1].legend(loc="lower right")
        save(figure, path)
