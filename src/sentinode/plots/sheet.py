"""A contact sheet: patches side by side, as they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from sentinode.plots.style import BLUE, GREY, INK, LOOK, ORANGE, Figure, rc_context, save, shortened

GAP_PX = 6
COLOUR = {"normal": BLUE, "tumour": ORANGE, "unlabelled": GREY}


def draw_sheet(
    groups: Sequence[tuple[str, str, np.ndarray]], path: str | Path, title: str = "", columns: int = 12
) -> None:
    """Draw patches in groups, each framed in its class's colour, the central 32 px marked.

    Parameters
    ----------
    groups
        For each: its heading, its class (``"normal"``, ``"tumour"`` or ``"unlabelled"``), and its patches, uint8
        ``(n, 96, 96, 3)``.
    path
        The png to write.
    title
        Above all.
    columns
        Patches a row.
    """
    pitch = 96 + GAP_PX
    rows = [-(-len(pixels) // columns) for _, _, pixels in groups]
    width, height = columns * pitch + GAP_PX, sum(rows) * pitch + 30 * len(groups) + (44 if title else GAP_PX)
    dpi = 100
    with rc_context({**LOOK, "axes.grid": False}):
        figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        axes.text(GAP_PX, 24, shortened(title, 90), fontsize=12, fontweight="bold", color=INK, va="center")
        top = 44 if title else GAP_PX
        for (heading, kind, pixels), count in zip(groups, rows, strict=True):
            axes.text(GAP_PX, top + 14, heading, fontsize=10.5, color=COLOUR[kind], va="center")
            top += 30
            for number, patch in enumerate(pixels):
                x, y = GAP_PX + number % columns * pitch, top + number // columns * pitch
                axes.imshow(patch, extent=(x, x + 96, y + 96, y), interpolation="nearest", zorder=1)
                axes.add_patch(Rectangle((x - 1, y - 1), 98, 98, fill=False, edgecolor=COLOUR[kind], linewidth=1.5))
                axes.add_patch(
                    Rectangle((x + 32, y + 32), 32, 32, fill=False, edgecolor="white", linewidth=0.7, zorder=2)
                )
            top += count * pitch
        axes.set(xlim=(0, width), ylim=(height, 0))
        with rc_context({"savefig.dpi": dpi}):
            save(figure, path)
