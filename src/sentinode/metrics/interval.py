"""A number, and how far it may be off."""

import math
from dataclasses import dataclass
from typing import Any

LEVEL = 0.95  # Of every interval in this package.


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval.

    Attributes
    ----------
    estimate, low, high
        The estimate and its limits; infinite where a ratio has nothing below the line.
    method
        How the limits were found, in words.
    patches
        How many patches the estimate is from: for a sensitivity the tumour patches.
    clusters
        How many clusters (slides, patients) they come from; None where clusters are not known.

    Examples
    --------
    >>> print(Interval(0.9, 0.85, 0.94, "Wilson", 200))
    0.9000 (0.8500–0.9400)
    """

    estimate: float
    low: float
    high: float
    method: str
    patches: int
    clusters: int | None = None

    @property
    def patches_independent(self) -> bool:
        """Whether the limits take patches for independent, which those of one slide are not."""
        return self.clusters is None

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is infinite or not defined is None, since JSON has neither.

        Examples
        --------
        >>> Interval(float("inf"), 3.5, float("inf"), "Simel", 80).to_json()["high"] is None
        True
        """
        numbers = {name: getattr(self, name) for name in ("estimate", "low", "high")}
        return {
            **{name: float(value) if math.isfinite(value) else None for name, value in numbers.items()},
            "level": LEVEL,
            "method": self.method,
            "patches": self.patches,
            "clusters": self.clusters,
            "patches_independent": self.patches_independent,
        }

    def __str__(self) -> str:
        return f"{self.estimate:.4f} ({self.low:.4f}–{self.high:.4f})"
