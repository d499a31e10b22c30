"""Counts of correct and wrong predictions at one threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import check_labels_and_scores


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of predictions by class.

    Attributes
    ----------
    true_positives, false_positives, true_negatives, false_negatives : int
        Numbers of patches. Tumour is positive.
    """

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def accuracy(self) -> float | None:
        """The share of correct predictions."""
        correct = self.true_positives + self.true_negatives
        return _ratio(correct, correct + self.false_positives + self.false_negatives)

    @property
    def sensitivity(self) -> float | None:
        """The share of tumour patches that are predicted tumour (recall); None without tumour patches."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float | None:
        """The share of normal patches that are predicted normal; None without normal patches."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)


def confusion_matrix(labels: ArrayLike, scores: ArrayLike, threshold: float) -> ConfusionMatrix:
    """Count true and false positives and negatives at a threshold.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Probabilities, or other scores on the scale of the threshold.
    threshold : float
        Patches with at least this score are predicted tumour.

    Returns
    -------
    ConfusionMatrix
        The counts.

    Raises
    ------
    DataError
        See `check_labels_and_scores`.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], threshold=0.5)
    ConfusionMatrix(true_positives=2, false_positives=1, true_negatives=1, false_negatives=0)
    """
    truth, score = check_labels_and_scores(labels, scores)
    positive = score >= threshold
    return ConfusionMatrix(
        *(int(np.sum(positive & (truth == label))) for label in (1, 0)),
        *(int(np.sum(~positive & (truth == label))) for label in (0, 1)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
