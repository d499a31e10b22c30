"""Matplotlib figures in a page: SVG that follows the page's colors, light or dark."""

import io
import re
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes

from sentinode.plots.style import BLUE, GRAY, GREEN, INK, ORANGE, PALE, PURPLE, figure_of, render

# Colors of the plots, and their names in the style sheet.
VARIABLES = {
    BLUE: "one",
    ORANGE: "two",
    GREEN: "three",
    PURPLE: "four",
    GRAY: "faint",
    INK: "ink",
    PALE: "grid",
    "#ffffff": "paper",
}

# In inches, of a figure of which three stand side by side: text has the same size in all figures of a page.
SMALL_SIZE = (3.7, 2.9)


@dataclass(frozen=True)
class Frame:
    """The position of axes in their SVG, for scripts that draw on it.

    Attributes
    ----------
    width, height : float
        Of the SVG.
    x0, x1 : float
        The horizontal positions of the values 0 and 1.
    y0, y1 : float
        The vertical positions of the values 0 and 1.
    """

    width: float
    height: float
    x0: float
    x1: float
    y0: float
    y1: float


def to_svg(axes: Axes | list[Axes], alt: str, name: str, marks: str = "") -> Markup:
    """Render a figure as an SVG element for a page.

    Parameters
    ----------
    axes : Axes or list of Axes
        What a function of `sentinode.plots` returned.
    alt : str
        The text alternative.
    name : str
        A name that no other figure of the page has.
    marks : str
        Elements that are drawn above the figure.

    Returns
    -------
    Markup
        The element; the same figure gives the same text.
    """
    figure = figure_of(axes)
    figure.patch.set_visible(False)
    for each in figure.axes:
        each.patch.set_visible(False)
    buffer = io.StringIO()
    render(figure, buffer, "svg")
    text = re.search(r"<svg.*?>(.*)</svg>", buffer.getvalue(), re.DOTALL)
    assert text is not None
    width, height = 72 * figure.get_size_inches()
    head = Markup('<svg class="plot" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(width, height, alt)
    return head + Markup(_adapted(text[1], name) + marks + "</svg>")


def frame_of(ax: Axes) -> Frame:
    """Return the position of axes in the SVG that `to_svg` has made of them."""
    width, height = (float(72 * side) for side in figure_of(ax).get_size_inches())
    box, (left, right), (bottom, top) = ax.get_position(), ax.get_xlim(), ax.get_ylim()
    x0, x1 = (width * (box.x0 + box.width * (value - left) / (right - left)) for value in (0, 1))
    y0, y1 = (height * (1 - box.y0 - box.height * (value - bottom) / (top - bottom)) for value in (0, 1))
    return Frame(width, height, *(round(float(each), 2) for each in (x0, x1, y0, y1)))


def _adapted(text: str, name: str) -> str:
    """Remove what is meant for a file of its own, and give colors and references the names of the page."""
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r">\s+<", "><", text)
    used = set(re.findall(r"#([\w.-]+)", text))
    # The text between the tags stays as it is.
    return re.sub(r"<[^>]*>", lambda tag: _adapted_tag(tag[0], name, used), text)


def _adapted_tag(tag: str, name: str, used: set[str]) -> str:
    tag = tag.replace("xlink:href", "href").replace("\n", "")
    tag = re.sub(r"font-family: [^;\"]*;?|transform=\"rotate\(-0 [^\"]*\"", "", tag)
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)
    for color, variable in VARIABLES.items():
        tag = re.sub(f"{color}\\b", f"var(--{variable})", tag, flags=re.IGNORECASE)
    tag = re.sub(r' id="([\w.-]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", tag)
    return re.sub(r"([\"(])#([\w.-]+)", rf"\1#{name}-\2", tag)
