"""Confidence intervals as values."""

import math
from dataclasses import dataclass

LEVEL = 0.95  # The confidence level of every interval in this package.


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval.

    Attributes
    ----------
    estimate, low, high : float
        The estimate and its confidence limits. A ratio with a zero denominator is infinite.
    method : str
        How the limits were computed.
    patches : int
        The number of patches behind the estimate; for a sensitivity the number of tumour patches.
    clusters : int or None
        The number of clusters (slides or patients) that the limits treat as independent. None if they treat patches
        as independent.

    Examples
    --------
    >>> interval = Interval(0.9, 0.85, 0.94, "Wilson", 200)
    >>> print(interval)
    0.9000 (0.8500–0.9400)
    >>> f"{interval:.2f}"
    '0.90 (0.85–0.94)'
    """

    estimate: float
    low: float
    high: float
    method: str
    patches: int
    clusters: int | None = None

    def __str__(self) -> str:
        return format(self, ".4f")

    def __format__(self, spec: str) -> str:
        estimate, low, high = (_format(value, spec or ".4f") for value in (self.estimate, self.low, self.high))
        return f"{estimate} ({low}{' to ' if low.startswith('-') else '–'}{high})"


def _format(value: float, spec: str) -> str:
    if math.isinf(value):
        return "-∞" if value < 0 else "∞"
    text = format(value, spec)
    return text.removeprefix("-") if float(text) == 0 else text
