"""What a classifier does at one threshold, and how to choose it."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import check_labels_and_scores
from sentinode.metrics.ranking import RocCurve, roc_curve


@dataclass(frozen=True)
class OperatingPoint:
    """Counts at a threshold, and the rates that follow from them.

    Attributes
    ----------
    threshold
        A patch is called tumour when its probability is at least this.
    true_positives, false_positives, true_negatives, false_negatives
        Counts of patches.
    """

    threshold: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def accuracy(self) -> float | None:
        """The share of calls that are right."""
        right = self.true_positives + self.true_negatives
        return _ratio(right, right + self.false_positives + self.false_negatives)

    @property
    def sensitivity(self) -> float | None:
        """The share of tumour patches that are called tumour; also named recall."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float | None:
        """The share of normal patches that are called normal."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precision(self) -> float | None:
        """The share of tumour calls that are right, at the prevalence of these patches."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and sensitivity."""
        wrong = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + wrong)

    def to_json(self) -> dict[str, float | int | None]:
        """Return counts and rates as plain values; a rate without patches is None."""
        rates = ("accuracy", "sensitivity", "specificity", "precision", "f1")
        return {**asdict(self), **{name: getattr(self, name) for name in rates}}


def operating_point(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> OperatingPoint:
    """Count what happens when probabilities of at least `threshold` are called tumour.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    probabilities
        0 to 1, shape ``(n,)``.
    threshold
        0 to 1.

    Raises
    ------
    DataError
        See `check_labels_and_scores`.

    Examples
    --------
    >>> operating_point([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], threshold=0.5).specificity
    0.5
    """
    truth, probability = check_labels_and_scores(labels, probabilities)
    called = probability >= threshold
    return OperatingPoint(
        threshold=float(threshold),
        true_positives=int(np.sum(called & (truth == 1))),
        false_positives=int(np.sum(called & (truth == 0))),
        true_negatives=int(np.sum(~called & (truth == 0))),
        false_negatives=int(np.sum(~called & (truth == 1))),
    )


def youden_threshold(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the threshold with the largest sensitivity + specificity − 1 (Youden 1950).

    It lies half-way between the last probability called tumour and the next lower one, so that it does not hang on
    one patch's last digit. Among equals the highest threshold is taken. Where no threshold is better than calling
    nothing tumour, it is 0: everything is called tumour, which is as good.

    Raises
    ------
    DataError
        See `roc_curve`.

    Examples
    --------
    >>> youden_threshold([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8])
    0.5
    """
    curve = roc_curve(labels, probabilities)
    best = int(np.argmax(curve.true_positive_rate - curve.false_positive_rate))
    if best == 0:
        return 0.0
    return half_way(curve, best)


def half_way(curve: RocCurve, last: int) -> float:
    """Return a threshold that calls what the curve's threshold number `last` calls, half-way to the next lower score.

    Examples
    --------
    >>> half_way(roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8]), 2)
    0.5
    """
    last_called = float(curve.thresholds[last])
    if last + 1 == len(curve.thresholds):
        return last_called
    next_lower = float(curve.thresholds[last + 1])
    middle = (last_called + next_lower) / 2
    return middle if middle > next_lower else last_called  # Between neighbouring floats there is nothing.


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
