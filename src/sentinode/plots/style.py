"""One look for all figures: colours that differ for every kind of colour vision, and no clutter."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sentinode.storage import whole_file

# From the palette of Okabe and Ito (2008).
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GREY = "#6B7280"
INK = "#1F2937"

LOOK: Any = {
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "font.size": 10.5,
    "grid.color": "#E5E7EB",
    "legend.frameon": False,
    "lines.linewidth": 2,
    "savefig.dpi": 150,
    "text.color": INK,
    "text.parse_math": False,  # File names may hold dollar signs.
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def rgb(colour: str) -> tuple[int, ...]:
    """Return red, green and blue of a colour, 0 to 255.

    Examples
    --------
    >>> rgb(ORANGE)
    (213, 94, 0)
    """
    return tuple(bytes.fromhex(colour[1:]))


def shortened(text: str, width: int = 52) -> str:
    """Return the end of a text that is too long for a title.

    Examples
    --------
    >>> shortened("a/long/path/patches.zip", width=12)
    '…patches.zip'
    """
    return text if len(text) <= width else "…" + text[1 - width :]


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as png, whole or not at all, without the date so that the same numbers give the same bytes."""
    FigureCanvasAgg(figure)
    with whole_file(path) as beside:
        figure.savefig(beside, metadata={"Software": "sentinode"})


__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "LOOK",
    "ORANGE",
    "PURPLE",
    "Figure",
    "rc_context",
    "rgb",
    "save",
    "shortened",
]
