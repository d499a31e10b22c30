"""How well scores rank tumour above normal: the ROC curve and its area."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RocCurve:
    """A receiver operating characteristic.

    Attributes
    ----------
    false_positive_rate, true_positive_rate
        float64, shape ``(k,)``, rising from 0 to 1.
    thresholds
        float64, shape ``(k,)``, falling: a patch is called tumour when its score is at least this. The first is
        infinite: nothing is called tumour.
    auc
        The area under it: the chance that a tumour patch scores above a normal one, ties counted half.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats
    auc: float


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Return the ROC curve with every threshold.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    scores
        Finite, shape ``(n,)``; higher speaks for 1.

    Raises
    ------
    DataError
        Lengths differ, a score is not finite, a label is not 0 or 1, or only one class is there.

    Examples
    --------
    >>> roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).auc
    0.75
    """
    from sklearn import metrics  # Slow to import, and predicting does without.

    truth, score = check_labels_and_scores(labels, scores)
    if len(np.unique(truth)) < 2:
        raise DataError(f"all {len(truth)} labels are {truth[0]}: a ROC curve needs both classes")
    fpr, tpr, thresholds = metrics.roc_curve(truth, score, drop_intermediate=False)
    return RocCurve(fpr, tpr, thresholds, float(metrics.roc_auc_score(truth, score)))


def check_labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    """Return both as arrays, once they are known to fit.

    Raises
    ------
    DataError
        Nothing there, lengths differ, a score is not finite, a label is not 0 or 1.

    Examples
    --------
    >>> check_labels_and_scores([0, 1], [0.2, 0.7])
    (array([0, 1]), array([0.2, 0.7]))
    """
    truth, score = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise DataError(f"labels {truth.shape} and scores {score.shape} must be two rows of one length")
    if len(truth) == 0:
        raise DataError("no labels and scores: there is nothing to measure")
    if not np.isin(truth, (0, 1)).all():
        wrong = np.flatnonzero(~np.isin(truth, (0, 1)))[0]
        raise DataError(f"label {truth[wrong]!r} at position {wrong} is neither 0 nor 1")
    if not np.isfinite(score).all():
        wrong = np.flatnonzero(~np.isfinite(score))[0]
        raise DataError(f"score {score[wrong]} at position {wrong} is not finite")
    return truth.astype(np.int64), score
