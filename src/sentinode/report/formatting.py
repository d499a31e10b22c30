"""Numbers and names as readers of a page see them."""

import math
import re
import shlex
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import PurePosixPath, PureWindowsPath

from markupsafe import Markup

from sentinode.metrics.intervals.interval import Interval

NONE = "–"


def fixed(value: float | None, digits: int = 3) -> str:
    """Format a number with a fixed number of digits, rounded half up as JavaScript's ``toFixed`` does.

    Examples
    --------
    >>> fixed(0.8125), fixed(2.0, 1), fixed(None), fixed(float("inf"))
    ('0.813', '2.0', '–', '∞')
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞"
    return f"{Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}"


def with_limits(interval: Interval | None) -> Markup:
    """Format an estimate with its confidence limits as HTML that can break between them.

    Examples
    --------
    >>> print(with_limits(Interval(0.9, 0.85, 0.94, "Wilson", 200)))
    0.900 <span class="limits" data-low="0.850" data-high="0.940">0.850–0.940</span>
    """
    if interval is None:
        return Markup(NONE)
    low, high = fixed(interval.low), fixed(interval.high)
    dash = " to " if low.startswith("-") else "–"
    span = Markup('{} <span class="limits" data-low="{}" data-high="{}">{}{}{}</span>')
    return span.format(fixed(interval.estimate), low, high, low, dash, high)


def percent(share: float, digits: int = 1) -> str:
    r"""Format a share as a percentage.

    Examples
    --------
    >>> percent(0.0512), percent(0.5, 0)
    ('5.1\xa0%', '50\xa0%')
    """
    return f"{fixed(100 * share, digits)}\N{NO-BREAK SPACE}%"


def shareable(path: str) -> str:
    r"""Return a path without absolute folders: a page that is shared must not show a home folder.

    Examples
    --------
    >>> shareable("/home/anna/pcam.zip + data/more"), shareable("C:\\Users\\Anna\\pcam"), shareable("runs/first")
    ('pcam.zip + data/more', 'pcam', 'runs/first')
    >>> shareable("images with /home/anna/meta.csv")
    'images with meta.csv'
    """
    return "".join(map(_last_part, re.split(r"( \+ | with (?=[/~\\]|[A-Za-z]:[/\\]))", path)))


def _last_part(path: str) -> str:
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(path).is_absolute() or path.startswith("~"):
            path = kind(path).name
    return path


def shareable_command(words: Sequence[str]) -> str:
    """Return a command, quoted for a shell, whose paths have no absolute folders.

    Examples
    --------
    >>> shareable_command(["train", "/home/anna/my data", "--table", "/home/anna/meta.csv", "--patient-from", "/(p.)/"])
    "train 'my data' --table meta.csv --patient-from '/(p.)/'"
    """
    return shlex.join(
        word if before == "--patient-from" else shareable(word)  # A regular expression may look like a path.
        for before, word in pairwise(["", *words])
    )


def code(text: str) -> Markup:
    """Format a text as code.

    Examples
    --------
    >>> print(code("a < b"))
    <code>a &lt; b</code>
    """
    return Markup("<code>{}</code>").format(text)


def swatch(red: float, green: float, blue: float) -> Markup:
    """Format a color, 0–255 per channel, as a small field of it."""
    color = f"rgb({red:.0f}, {green:.0f}, {blue:.0f})"
    return Markup('<span class="swatch" style="background: {0}" role="img" aria-label="{0}"></span>').format(color)
