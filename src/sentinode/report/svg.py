"""Line drawings as SVG, for a page: no text in them is larger or smaller than that around them, colours are classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Frame:
    """Axes: what part of the plane is shown, and where it lies in a drawing.

    Attributes
    ----------
    x, y
        The ends of the axes.
    width, height
        Of the drawing.
    left, right, top, bottom
        What is left free around the axes, for their words.
    """

    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    width: float = 400
    height: float = 300
    left: float = 44
    right: float = 12
    top: float = 10
    bottom: float = 42

    def to_json(self) -> dict[str, float]:
        """Return where the axes lie, for a script."""
        return {name: getattr(self, name) for name in ("width", "height", "left", "right", "top", "bottom")}

    def across(self, values: ArrayLike) -> np.ndarray:
        """Return where values of x lie in the drawing."""
        share = (np.asarray(values, dtype=np.float64) - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + share * (self.width - self.left - self.right)

    def down(self, values: ArrayLike) -> np.ndarray:
        """Return where values of y lie in the drawing."""
        share = (np.asarray(values, dtype=np.float64) - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


def drawing(frame: Frame, alt: str, *parts: str, css: str = "") -> str:
    """Return a drawing; `alt` says in words what is seen."""
    return (
        f'<svg class="chart {css}" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" '
        f'aria-label="{escape(alt)}">' + "".join(parts) + "</svg>"
    )


def axes(
    frame: Frame,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    x_label: str,
    y_label: str,
) -> str:
    """Return grid lines, ticks and the words beside the axes."""
    left, right = float(frame.across(frame.x[0])), float(frame.across(frame.x[1]))
    top, bottom = float(frame.down(frame.y[1])), float(frame.down(frame.y[0]))
    parts = []
    for tick, at in zip(x_ticks, frame.across(x_ticks).tolist(), strict=True):
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(text(at, bottom + 16, f"{tick:g}", anchor="middle"))
    for tick, at in zip(y_ticks, frame.down(y_ticks).tolist(), strict=True):
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(text(left - 7, at + 4, f"{tick:g}", anchor="end"))
    parts.append(text((left + right) / 2, frame.height - 6, x_label, anchor="middle"))
    if y_label:
        middle = (top + bottom) / 2
        turned = f' transform="rotate(-90 11 {middle:.1f})"'
        parts.append(text(11, middle, y_label, anchor="middle", more=turned))
    return "".join(parts)


def text(x: float, y: float, words: str, anchor: str = "start", css: str = "", more: str = "") -> str:
    """Return words; `anchor` is ``"start"``, ``"middle"`` or ``"end"``."""
    kind = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}{more}>{escape(words)}</text>'


def line(frame: Frame, x: ArrayLike, y: ArrayLike, css: str) -> str:
    """Return a line through points."""
    return f'<path class="{css}" d="{_path(frame.across(x), frame.down(y))}"/>'


def band(frame: Frame, x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> str:
    """Return the area between two lines."""
    across = frame.across(x)
    there, back = _path(across, frame.down(low)), _path(across[::-1], frame.down(high)[::-1])
    return f'<path class="{css}" d="{there}L{back[1:]}Z"/>'


def dots(frame: Frame, x: ArrayLike, y: ArrayLike, css: str, radius: float = 3.5) -> str:
    """Return a dot at each point."""
    pairs = zip(frame.across(x).tolist(), frame.down(y).tolist(), strict=True)
    return "".join(f'<circle class="{css}" cx="{a:.1f}" cy="{d:.1f}" r="{radius:g}"/>' for a, d in pairs)


def bars(frame: Frame, x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> str:
    """Return an upright line between two values at each point."""
    rows = zip(frame.across(x).tolist(), frame.down(low).tolist(), frame.down(high).tolist(), strict=True)
    return "".join(f'<path class="{css}" d="M{a:.1f} {d:.1f}V{u:.1f}"/>' for a, d, u in rows)


def _path(across: np.ndarray, down: np.ndarray) -> str:
    """Return a path to a tenth of a unit, without the points that would not be seen."""
    points = np.round(np.column_stack([across, down]), 1)
    points = points[np.append(True, (np.diff(points, axis=0) != 0).any(axis=1))]
    kept = [points[0]]
    for place in range(1, len(points)):
        last, now = kept[-1], points[place]
        if place + 1 < len(points) and _between(last, now, points[place + 1]):
            continue
        kept.append(now)
    return "M" + "L".join(f"{a:g} {d:g}" for a, d in kept)


def _between(last: np.ndarray, now: np.ndarray, ahead: np.ndarray) -> bool:
    """Say whether a curve goes on in the same direction along an axis."""
    steps = now - last, ahead - now
    return any(
        steps[0][axis] == steps[1][axis] == 0 and steps[0][1 - axis] * steps[1][1 - axis] >= 0 for axis in (0, 1)
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two ends.

    Examples
    --------
    >>> ticks(0, 1), ticks(0.62, 0.97)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.7, 0.8, 0.9])
    """
    for power in range(-6, 7):
        for step in (1, 2, 5):
            size = step * 10.0**power
            first, last = int(np.ceil(low / size - 1e-9)), int(np.floor(high / size + 1e-9))
            if last - first + 1 <= most:
                return [round(each * size, 10) for each in range(first, last + 1)]
    return [low, high]
