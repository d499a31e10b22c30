"""Numbers as a reader of a page sees them."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from typing import Any

from sentinode.report.page import Html

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


def with_limits(interval: Mapping[str, Any] | None, digits: int = 3) -> Html:
    """Return an estimate with its limits, as html that breaks between them.

    Examples
    --------
    >>> with_limits({"estimate": 0.9, "low": 0.85, "high": 0.94})
    '0.900 <span class="limits">0.850–0.940</span>'
    """
    if interval is None:
        return Html(NONE)
    low, high = fixed(interval["low"], digits), fixed(interval["high"], digits)
    # What has no upper limit, as a ratio over nothing, has None.
    to = " to " if low.startswith("-") else "–"
    limits = f"{low}{to}{'∞' if interval['high'] is None else high}"
    estimate = "∞" if interval["estimate"] is None else fixed(interval["estimate"], digits)
    return Html(f'{estimate} <span class="limits">{limits}</span>')


def percent(share: float, digits: int = 1) -> str:
    """Return a share as per cent.

    Examples
    --------
    >>> percent(0.0512), percent(0.5, 0)
    ('5.1 %', '50 %')
    """
    return f"{fixed(100 * share, digits)} %"


def many(count: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun.

    Examples
    --------
    >>> many(1, "patch", "patches"), many(1200, "epoch")
    ('1 patch', '1,200 epochs')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def code(text: str) -> Html:
    """Return a text in the letters of a terminal.

    Examples
    --------
    >>> code("a < b")
    '<code>a &lt; b</code>'
    """
    return Html(f"<code>{escape(text)}</code>")
