"""Forest plots: intervals one below the other, their names beside them or, in a single panel, above each."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sentinode.plots.style import shorten_start
from sentinode.report import svg
from sentinode.report.formatting import fixed

ROW = 24
# With its name above the interval.
NAMED_ROW = 40
TOP, BOTTOM = 26, 24

Limits = Mapping[str, Any] | None


def forest(
    names: Sequence[tuple[str, str]],
    panels: Mapping[str, tuple[Sequence[str], Sequence[Limits], float | None]],
    width: float = 240,
) -> str:
    """Return panels of intervals: one with names above intervals, several beside a list of the names.

    Parameters
    ----------
    names
        Of each row: its name and a remark, as text.
    panels
        By title: for each row the class of its colour, and its interval as in ``metrics.json``, None where there is
        none; and where a line stands to compare them with, or None.
    width
        Of a panel, in px.
    """
    if len(panels) == 1:
        ((title, each),) = panels.items()
        return f'<div class="forest-alone">{_panel(title, *each, width, names)}</div>'
    rows = "".join(f"<li><b>{escape(name)}</b> <span>{escape(remark)}</span></li>" for name, remark in names)
    drawn = "".join(_panel(title, *each, width) for title, each in panels.items())
    around = '<div class="forests" tabindex="0" role="group" aria-label="intervals">'
    return f'<div class="forest"><ol style="--row:{ROW}px;--top:{TOP}px">{rows}</ol>{around}{drawn}</div></div>'


def _panel(
    title: str,
    colours: Sequence[str],
    intervals: Sequence[Limits],
    mark: float | None,
    width: float,
    names: Sequence[tuple[str, str]] = (),
) -> str:
    row_px = NAMED_ROW if names else ROW
    known = [each for each in intervals if each is not None]
    ends = [each[end] for each in known for end in ("low", "high")] + ([] if mark is None else [mark])
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.06 * (high - low or 0.1)
    # What cannot be below 0 or above 1 has no room there.
    left, right = (
        (max(low - room, 0.0) if low >= 0 else low - room),
        (min(high + room, 1.0) if high <= 1 else high + room),
    )
    frame = svg.Frame(
        x=(left, right),
        y=(max(len(intervals), 1), 0),
        width=width,
        height=row_px * len(intervals) + TOP + BOTTOM,
        left=8,
        right=12,
        top=TOP,
        bottom=BOTTOM,
    )
    parts = [svg.text(frame.left, 14, title, css="title")]
    for tick in svg.ticks(*frame.x, most=5):
        at = float(frame.across(tick))
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{frame.height - BOTTOM:g}"/>'
            + svg.text(at, frame.height - 8, f"{tick:g}", "middle")
        )
    if mark is not None:
        parts.append(svg.line(frame, [mark, mark], frame.y, "chance"))
    for row, (css, each) in enumerate(zip(colours, intervals, strict=True)):
        at = float(frame.down(row + (0.72 if names else 0.5)))
        if names:
            name, remark = names[row]
            # No longer than the panel is wide.
            label = shorten_start(f"{name}  {remark}".rstrip(), int(width / 7))
            parts.append(svg.text(frame.left, float(frame.down(row + 0.36)), label, css="name"))
        if each is None:
            parts.append(svg.text(frame.left, at + 4, "–"))
            continue
        first, middle, last = frame.across([each["low"], each["estimate"], each["high"]])
        parts.append(f'<path class="limit {css}" d="M{first:.1f} {at:.1f}H{last:.1f}"/>')
        parts.append(f'<circle class="dot {css}" cx="{middle:.1f}" cy="{at:.1f}" r="4.5"/>')
    alt = f"{title}: each with its limits, from {fixed(low)} to {fixed(high)}."
    return svg.drawing(frame, alt, *parts, css="fixed-size")
