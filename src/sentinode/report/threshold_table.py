"""Counts at each threshold, and histograms of the predictions, for a page whose threshold can be moved."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit

from sentinode.data.types import evenly_spaced
from sentinode.metrics.checks import Floats, Integers

# More would make a page slow.
MAX_THRESHOLDS = 4000
BINS = 60
TICKS = ("0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999")
# Larger log-odds are counted in the last bin: probabilities of 0.0005 and 0.9995.
MAX_LOG_ODDS = 7.6


@dataclass(frozen=True)
class ThresholdTable:
    """True and false positives at each threshold.

    Attributes
    ----------
    thresholds : ndarray of shape (k,)
        Falling: a patch is predicted tumour from this probability on.
    true_positives, false_positives : ndarray of shape (k,)
        Counts.
    normal, tumour : int
        The number of patches of each class.
    """

    thresholds: Floats
    true_positives: Integers
    false_positives: Integers
    normal: int
    tumour: int

    @classmethod
    def of(cls, predictions: pd.DataFrame, named: Sequence[float] = ()) -> "ThresholdTable":
        """Count at every distinct probability and at the named thresholds.

        Of more than 4,000 distinct probabilities 4,000 are taken, evenly spaced in rank.

        Parameters
        ----------
        predictions : pandas.DataFrame
            ``label`` and ``probability``.
        named : sequence of float
            Thresholds to include.

        Returns
        -------
        ThresholdTable
            Exact counts at each threshold.

        Examples
        --------
        >>> predictions = pd.DataFrame({"label": [0, 1, 1], "probability": [0.2, 0.4, 0.9]})
        >>> table = ThresholdTable.of(predictions, named=[0.5])
        >>> table.thresholds.tolist(), table.true_positives.tolist()
        ([0.9, 0.5, 0.4, 0.2], [1, 1, 2, 2])
        """
        labels = predictions["label"].to_numpy(dtype=np.int64)
        scores = predictions["probability"].to_numpy(dtype=np.float64)
        own = np.unique(scores)
        own = own[evenly_spaced(len(own), MAX_THRESHOLDS)]
        thresholds = np.unique(np.concatenate([own, np.asarray(named, dtype=np.float64)]))[::-1]

        def at_least(label: int) -> Integers:
            chosen = np.sort(scores[labels == label])
            return len(chosen) - np.searchsorted(chosen, thresholds, side="left")

        tumour = int(labels.sum())
        return cls(thresholds, at_least(1), at_least(0), len(labels) - tumour, tumour)

    def index(self, threshold: float) -> int:
        """Return the index of a named threshold."""
        return int(np.flatnonzero(self.thresholds == threshold)[0])


@dataclass(frozen=True)
class Histogram:
    """Histograms of the log-odds of each class.

    Attributes
    ----------
    low, high : float
        The ends in log-odds; values beyond them are counted in the last bins.
    normal, tumour : ndarray of shape (60,)
        Counts.
    """

    low: float
    high: float
    normal: Integers
    tumour: Integers

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> "Histogram":
        """Count predictions: ``label`` and ``logit``.

        Examples
        --------
        >>> table = pd.DataFrame({"label": [0, 1, 1], "logit": [-2.0, 1.0, 30.0]})
        >>> histogram = Histogram.of(table)
        >>> histogram.low, histogram.high, int(histogram.tumour[-1])
        (-2.0, 7.6, 1)
        """
        labels, logits = (predictions[name].to_numpy(dtype=np.float64) for name in ("label", "logit"))
        clipped = np.clip(logits, -MAX_LOG_ODDS, MAX_LOG_ODDS)
        low, high = float(clipped.min()), float(clipped.max())
        high = high if high > low else low + 1
        normal, tumour = (np.histogram(clipped[labels == label], BINS, (low, high))[0] for label in (0, 1))
        return cls(low, high, normal, tumour)

    def position(self, log_odds: float) -> float:
        """Return the position of log-odds between the ends, 0 to 1."""
        return float(np.clip((log_odds - self.low) / (self.high - self.low), 0, 1))

    def ticks(self) -> list[tuple[str, float]]:
        """Return probabilities to write below the histogram, with their positions."""
        found = [(text, float(logit(float(text)))) for text in TICKS]
        return [(text, self.position(odds)) for text, odds in found if self.low <= odds <= self.high]
