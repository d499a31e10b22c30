"""The steps of a threshold, for a page to move along: at each the counts that it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from sentinode.metrics.checks import Floats, Integers

# More would make a page slow; of a larger set this many are kept, and each is exact.
MOST = 4000
BINS = 60
# Log-odds beyond these are drawn in the last bin: probabilities of 0.0005 and 0.9995.
FARTHEST = 7.6


@dataclass(frozen=True)
class Steps:
    """Thresholds, and how many patches they call tumour.

    Attributes
    ----------
    thresholds
        Falling, shape ``(k,)``: a patch is called tumour from this probability on.
    true_positives, false_positives
        Counts, shape ``(k,)``.
    normal, tumour
        How many patches there are of each.
    """

    thresholds: Floats
    true_positives: Integers
    false_positives: Integers
    normal: int
    tumour: int

    @classmethod
    def of(cls, predictions: pd.DataFrame, named: Sequence[float] = ()) -> "Steps":
        """Count at every probability that a patch has, or at 4,000 of them, and at those that have a name.

        Examples
        --------
        >>> table = pd.DataFrame({"label": [0, 1, 1], "probability": [0.2, 0.4, 0.9]})
        >>> found = Steps.of(table, named=[0.5])
        >>> found.thresholds.tolist(), found.true_positives.tolist()
        ([0.9, 0.5, 0.4, 0.2], [1, 1, 2, 2])
        """
        labels = predictions["label"].to_numpy(dtype=np.int64)
        scores = predictions["probability"].to_numpy(dtype=np.float64)
        own = np.unique(scores)
        if len(own) > MOST:
            own = own[np.unique(np.linspace(0, len(own) - 1, MOST).astype(int))]
        thresholds = np.unique(np.concatenate([own, np.asarray(named, dtype=np.float64)]))[::-1]

        def at_least(label: int) -> Integers:
            chosen = np.sort(scores[labels == label])
            return len(chosen) - np.searchsorted(chosen, thresholds, side="left")

        tumour = int(labels.sum())
        return cls(thresholds, at_least(1), at_least(0), len(labels) - tumour, tumour)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        arrays = {name: value.tolist() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return {**arrays, "normal": self.normal, "tumour": self.tumour}

    def place(self, threshold: float) -> int:
        """Return which step a threshold that has a name is."""
        return int(np.flatnonzero(self.thresholds == threshold)[0])


@dataclass(frozen=True)
class Histogram:
    """How many patches of each class have which log-odds.

    Attributes
    ----------
    low, high
        The ends in log-odds; what lies beyond is in the last bin.
    normal, tumour
        Counts, shape ``(60,)``.
    """

    low: float
    high: float
    normal: Integers
    tumour: Integers

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> "Histogram":
        """Count.

        Examples
        --------
        >>> table = pd.DataFrame({"label": [0, 1, 1], "logit": [-2.0, 1.0, 30.0]})
        >>> found = Histogram.of(table)
        >>> found.low, found.high, int(found.tumour[-1])
        (-2.0, 7.6, 1)
        """
        labels, logits = (predictions[name].to_numpy(dtype=np.float64) for name in ("label", "logit"))
        clipped = np.clip(logits, -FARTHEST, FARTHEST)
        low, high = float(clipped.min()), float(clipped.max())
        high = high if high > low else low + 1
        normal, tumour = (np.histogram(clipped[labels == label], BINS, (low, high))[0] for label in (0, 1))
        return cls(low, high, normal, tumour)

    def share(self, odds: float) -> float:
        """Return where log-odds lie between the ends, 0 to 1."""
        return float(np.clip((odds - self.low) / (self.high - self.low), 0, 1))

    def marks(self) -> list[tuple[str, float]]:
        """Return probabilities to write below it, and where they lie."""
        shown = [(text, float(logit(float(text)))) for text in _MARKS]
        return [(text, self.share(odds)) for text, odds in shown if self.low <= odds <= self.high]


_MARKS = ("0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999")
