"""The receiver operating characteristic (ROC) curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import Floats, check_both_classes, check_labels_and_scores


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve.

    Attributes
    ----------
    false_positive_rate, true_positive_rate : ndarray of shape (k,)
        Rates in rising order, from 0 to 1.
    thresholds : ndarray of shape (k,)
        Falling thresholds: a patch counts as predicted tumour if its score is at least this. The first is infinite.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats

    @property
    def auc(self) -> float:
        """The area under the curve."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Compute the ROC curve with every distinct threshold.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Finite scores; higher means more probably 1.

    Returns
    -------
    RocCurve
        The curve.

    Raises
    ------
    DataError
        Only one class is present; see also `check_labels_and_scores`.

    Examples
    --------
    >>> roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).auc
    0.75
    """
    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "a ROC curve")
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # The last patch of each distinct score.
    true_positives = np.cumsum(truth[order])[last]
    false_positives = last + 1 - true_positives
    return RocCurve(
        np.append(0.0, false_positives / false_positives[-1]),
        np.append(0.0, true_positives / true_positives[-1]),
        np.append(np.inf, score[order][last]),
    )
