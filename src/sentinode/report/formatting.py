"""Numbers as a reader of a page sees them."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from markupsafe import Markup

NONE = "–"


def fixed(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits, rounded half up as JavaScript's ``toFixed`` does.

    Examples
    --------
    >>> fixed(0.8125), fixed(2.0, 1), fixed(None)
    ('0.813', '2.0', '–')
    """
    if value is None:
        return NONE
    return f"{Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}"


def with_limits(interval: Mapping[str, Any] | None, digits: int = 3) -> Markup:
    """Return an estimate with its limits, as html that breaks between them.

    Examples
    --------
    >>> str(with_limits({"estimate": 0.9, "low": 0.85, "high": 0.94}))
    '0.900 <span class="limits" data-low="0.850" data-high="0.940">0.850–0.940</span>'
    """
    if interval is None:
        return Markup(NONE)
    interval = {name: None if value == "Infinity" else value for name, value in interval.items()}
    low, high = fixed(interval["low"], digits), fixed(interval["high"], digits)
    # What has no upper limit, as a ratio over nothing, has None.
    to = " to " if low.startswith("-") else "–"
    limits = f"{low}{to}{'∞' if interval['high'] is None else high}"
    estimate = "∞" if interval["estimate"] is None else fixed(interval["estimate"], digits)
    span = '{} <span class="limits" data-low="{}" data-high="{}">{}</span>'
    return Markup(span).format(estimate, low, "∞" if interval["high"] is None else high, limits)


def percent(share: float, digits: int = 1) -> str:
    """Return a share as per cent.

    Examples
    --------
    >>> percent(0.0512), percent(0.5, 0)
    ('5.1 %', '50 %')
    """
    return f"{fixed(100 * share, digits)} %"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> plural(1, "patch"), plural(1200, "patch"), plural(2, "slide")
    ('1 patch', '1,200 patches', '2 slides')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun.endswith("ch") else "s")


def code(text: str) -> Markup:
    """Return a text in the letters of a terminal.

    Examples
    --------
    >>> str(code("a < b"))
    '<code>a &lt; b</code>'
    """
    return Markup("<code>{}</code>").format(text)


def swatch(red: float, green: float, blue: float) -> Markup:
    """Return a small field of a color, 0–255 a channel."""
    color = f"rgb({red:.0f}, {green:.0f}, {blue:.0f})"
    return Markup('<span class="swatch" style="background: {0}" role="img" aria-label="{0}"></span>').format(color)
