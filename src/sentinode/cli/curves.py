"""Learning curves as text for a terminal, with or without color, in Unicode or ASCII."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.text import Text

Cells = dict[tuple[int, int], tuple[str, str]]
AXIS_WIDTH = 9
# A marker for each curve and for points of both, the line between points, and the axes.
UNICODE = {"training": "○", "validation": "●", "both": "◉", "line": "·", "up": "│", "corner": "└", "along": "─"}
ASCII = {"training": "o", "validation": "x", "both": "8", "line": ".", "up": "|", "corner": "+", "along": "-"}
COLORS = {"training": "dodger_blue2", "validation": "dark_orange3"}


def draw_curves(
    title: str, curves: Mapping[str, Sequence[float]], epochs: int, width: int, height: int, ascii_only: bool = False
) -> Text:
    """Draw one or two curves over the epochs.

    Parameters
    ----------
    title : str
        Name of the metric.
    curves : mapping of str to sequence of float
        ``"training"``, ``"validation"`` or both, with one finite value per epoch.
    epochs : int
        Length of the axis.
    width, height : int
        Size of the chart in characters, at least 24 and 5.
    ascii_only : bool
        Whether to use ASCII characters only.

    Returns
    -------
    rich.text.Text

    Examples
    --------
    >>> curves = {"training": [0.7, 0.5, 0.4], "validation": [0.6, 0.55, 0.5]}
    >>> print(draw_curves("loss", curves, epochs=4, width=40, height=7, ascii_only=True))
    loss   o training 0.400   x validation 0.500
        0.700 |o..
              |x........x.....
              |       ..o.........x
        0.400 |               ....o
              +-----------------------------
        epoch  1                           4
    """
    signs = ASCII if ascii_only else UNICODE
    low, high = _range(curves)
    rows, columns = height - 3, width - AXIS_WIDTH - 2
    cells: Cells = {}
    for name, values in curves.items():
        points = [
            (_place(epoch, epochs - 1, columns), rows - 1 - round((value - low) / (high - low) * (rows - 1)))
            for epoch, value in enumerate(values)
        ]
        _draw_line(cells, points, signs["line"], COLORS[name])
        for point in points:
            others = {signs[other] for other in (*COLORS, "both") if other != name}
            both = cells.get(point, ("", ""))[0] in others
            cells[point] = (signs["both"], "bold") if both else (signs[name], COLORS[name])
    text = Text()
    text.append(title, "bold")
    for name, values in curves.items():
        text.append(f"   {signs[name]} {name} {values[-1]:.3f}", COLORS[name])
    labels = {0: f"{high:.3f}", rows - 1: f"{low:.3f}"}
    for row in range(rows):
        text.append(f"\n{labels.get(row, ''):>{AXIS_WIDTH}} {signs['up']}")
        last = max((column for column, at in cells if at == row), default=-1)
        for column in range(last + 1):
            text.append(*cells.get((column, row), (" ", "")))
    text.append(f"\n{'':{AXIS_WIDTH}} {signs['corner']}{signs['along'] * columns}")
    text.append(f"\n{'epoch':>{AXIS_WIDTH}}  1" + (f"{epochs:>{columns - 1}}" if epochs > 1 else ""))
    return text


def _range(curves: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    values = [value for curve in curves.values() for value in curve]
    low, high = min(values), max(values)
    # A constant curve is drawn in the middle.
    return (low, high) if high - low > 1e-9 else (low - 0.001, high + 0.001)


def _place(epoch: int, last: int, columns: int) -> int:
    return round(epoch / last * (columns - 1)) if last else 0


def _draw_line(cells: Cells, points: Sequence[tuple[int, int]], sign: str, color: str) -> None:
    for (x0, y0), (x1, y1) in pairwise(points):
        for x in range(x0 + 1, x1):
            cells.setdefault((x, y0 + round((x - x0) / (x1 - x0) * (y1 - y0))), (sign, color))
