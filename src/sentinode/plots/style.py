"""The style of all figures: colors that differ for every kind of color vision, and little decoration."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import StringIO
from os.path import commonprefix
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from cycler import cycler
from matplotlib import is_interactive, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from sentinode.errors import ConfigError
from sentinode.storage import atomic_file

P = ParamSpec("P")
R = TypeVar("R")

# From the palette of Okabe and Ito (2008).
BLUE, ORANGE, GREEN, PURPLE = COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
GRAY, INK, PALE = "#6B7280", "#1F2937", "#E5E7EB"
# Sixteen combinations of color and line.
COLOR_OF_16 = [COLORS[number % 4] for number in range(16)]
LINE_OF_16 = [("-", "--", "-.", ":")[(number + number // 4) % 4] for number in range(16)]
DOTTED: Any = (0, (2, 3))
FIGURE_FORMATS = ("png", "svg", "pdf")
# The same numbers give the same bytes, whenever they are written.
UNDATED: dict[str, Any] = {
    "png": {"Software": "sentinode"},
    "svg": {"Creator": "sentinode", "Date": None},
    "pdf": {"Creator": "sentinode", "CreationDate": None},
}

STYLE: Any = {
    "axes.edgecolor": GRAY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=COLOR_OF_16) + cycler(linestyle=LINE_OF_16),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "font.size": 10.5,
    "grid.color": PALE,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "svg.hashsalt": "sentinode",
    "text.color": INK,
    "text.parse_math": False,  # File names may hold dollar signs.
    "xtick.color": GRAY,
    "ytick.color": GRAY,
}


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Run a plot function in the style of this package."""

    @wraps(plot)
    def with_style(*arguments: P.args, **options: P.kwargs) -> R:
        with rc_context(STYLE):
            return plot(*arguments, **options)

    return with_style


@styled
def new_axes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.0, 4.0), **options: Any) -> list[Axes]:
    """Create a figure and return its axes, row by row.

    In interactive sessions, such as notebooks, the figure belongs to pyplot, which displays it.

    Parameters
    ----------
    rows, columns : int
        The number of axes.
    size : tuple of float
        Width and height of each in inches.
    options : Any
        Passed to `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    list of matplotlib.axes.Axes
        All axes of the figure.
    """
    pyplot = sys.modules.get("matplotlib.pyplot") if is_interactive() else None
    figure = (pyplot.figure if pyplot else Figure)(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    return list(figure.subplots(rows, columns, squeeze=False, **options).ravel())


def save_figure(drawn: Axes | Sequence[Axes] | Figure | Image.Image, path: str | Path) -> None:
    """Write a figure or a sheet of patches, whole or not at all.

    The same numbers give the same bytes.

    Parameters
    ----------
    drawn : Axes, sequence of Axes, Figure or PIL.Image.Image
        What a function of `sentinode.plots` returned.
    path : str or Path
        The file; its ending gives the format: ``.png``, ``.svg`` or ``.pdf`` (a sheet of patches has no ``.svg``).

    Raises
    ------
    ConfigError
        The ending is none of these.

    Examples
    --------
    >>> import tempfile
    >>> save_figure(new_axes()[0], tempfile.mkdtemp() + "/empty.svg")
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    formats = [name for name in FIGURE_FORMATS if name != "svg" or not isinstance(drawn, Image.Image)]
    if ending not in formats:
        raise ConfigError(f"{path}: the file name must end in {', '.join(f'.{name}' for name in formats)}")
    with atomic_file(path) as temporary:
        if isinstance(drawn, Image.Image):
            drawn.save(temporary, format=ending)
            return
        render(figure_of(drawn), temporary, ending)


def save_figures(drawn: Mapping[str, Axes | Sequence[Axes] | Figure], folder: Path, ending: str) -> None:
    """Write several figures to a folder, and delete those of the same name in another format.

    Parameters
    ----------
    drawn : mapping
        By file name without ending, what a function of `sentinode.plots` returned.
    folder : Path
        The folder.
    ending : {"png", "svg", "pdf"}
        The format.

    Raises
    ------
    ConfigError
        The format is none of these.
    """
    for name, figure in drawn.items():
        save_figure(figure, folder / f"{name}.{ending}")
        for other in FIGURE_FORMATS:
            if other != ending:
                (folder / f"{name}.{other}").unlink(missing_ok=True)


def render(figure: Figure, target: Path | StringIO, ending: str) -> None:
    """Write a figure to a file or buffer, and close it where pyplot holds it."""
    with rc_context(STYLE):
        figure.savefig(target, format=ending, metadata=UNDATED[ending])
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)


def figure_of(drawn: Axes | Sequence[Axes] | Figure) -> Figure:
    """Return the figure of axes.

    Parameters
    ----------
    drawn : Axes, sequence of Axes or Figure
        What a function of `sentinode.plots` returned.

    Returns
    -------
    matplotlib.figure.Figure
        The whole figure.
    """
    if isinstance(drawn, Figure):
        return drawn
    figure = (drawn if isinstance(drawn, Axes) else drawn[0]).get_figure(root=True)
    assert figure is not None
    return figure


def set_title(ax: Axes, title: str, width: int = 60) -> None:
    """Set the title of axes; the beginning of a line that is too long is left out."""
    if title:
        ax.set_title("\n".join(shorten_start(line, width) for line in title.splitlines()))


def set_suptitle(axes: Sequence[Axes], title: str, width: int = 100) -> None:
    """Set the title of a whole figure; the beginning of a line that is too long is left out."""
    if title:
        text = "\n".join(shorten_start(line, width) for line in title.splitlines())
        figure_of(axes).suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold")


def rgb(color: str) -> tuple[int, ...]:
    """Return red, green and blue of a color, 0 to 255.

    Examples
    --------
    >>> rgb(ORANGE)
    (213, 94, 0)
    """
    return tuple(bytes.fromhex(color[1:]))


def shorten_start(text: str, width: int) -> str:
    """Return the last characters of a text that is longer than `width`.

    Examples
    --------
    >>> shorten_start("a/long/path/patches.zip", width=12)
    '…patches.zip'
    """
    return text if len(text) <= width else "…" + text[1 - width :]


def shorten_names(names: Sequence[str], width: int) -> list[str]:
    """Shorten names so that different ones stay different.

    Parameters
    ----------
    names : sequence of str
        Different names.
    width : int
        Number of characters, without the numbers that tell apart what is still equal.

    Returns
    -------
    list of str
        The end of each name, or the part in which it differs from the others if their ends are equal.

    Examples
    --------
    >>> shorten_names(["short", "a/long/path/slide_1.svs"], width=12)
    ['short', '…slide_1.svs']
    >>> shorten_names(["resnet-augmented", "convnet-augmented"], width=10)
    ['resnet-a…', 'convnet-…']
    """
    short = [shorten_start(name, width) for name in names]
    equal = [name for name, each in zip(names, short, strict=True) if short.count(each) > 1]
    # Characters are compared, as the names are no paths.
    start, end = len(commonprefix(equal)), len(commonprefix([name[::-1] for name in equal]))  # noqa: RUF071
    for place, name in enumerate(names):
        if name in equal:
            around = max(0, width - 2 - (len(name) - start - end)) // 2
            first = max(0, min(start - around, len(name) - width + 2))
            last = first + width - 2
            short[place] = "…" * (first > 0) + name[first:last] + "…" * (last < len(name))
    earlier = [short[:place].count(each) for place, each in enumerate(short)]
    return [f"{each} {count + 1}" if count else each for each, count in zip(short, earlier, strict=True)]
