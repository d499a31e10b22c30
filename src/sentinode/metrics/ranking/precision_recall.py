"""Precision and recall by threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import Floats, check_both_classes, check_labels_and_scores, cluster_codes, cluster_count
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import displacements, limits
from sentinode.metrics.intervals.proportions import wilson


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision by recall.

    Attributes
    ----------
    recall : ndarray of shape (k,)
        Recall in rising order, up to 1.
    precision : ndarray of shape (k,)
        Precision at the prevalence of the patches.
    thresholds : ndarray of shape (k,)
        Falling thresholds: a patch counts as predicted tumour if its score is at least this.
    prevalence : float
        The share of tumour, which is the precision of a random ranking.
    """

    recall: Floats
    precision: Floats
    thresholds: Floats
    prevalence: float


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Compute precision and recall at every distinct threshold.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Finite scores; higher means more probably 1.

    Returns
    -------
    PrecisionRecallCurve
        The curve.

    Raises
    ------
    DataError
        Only one class is present; see also `check_labels_and_scores`.

    Examples
    --------
    >>> precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).recall.tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "a precision-recall curve")
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    found = np.cumsum(truth[order])[last]
    return PrecisionRecallCurve(found / truth.sum(), found / (last + 1), score[order][last], float(truth.mean()))


def average_precision(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Compute the average precision with its confidence interval.

    This is the mean, over tumour patches, of the precision at their score, as in scikit-learn. It depends on the
    prevalence.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Finite scores; higher means more probably 1.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    Interval
        The average precision, with limits on the logit scale [1]_ from the influence function.

    Raises
    ------
    DataError
        Only one class or one cluster is present; see also `check_labels_and_scores`.

    References
    ----------
    .. [1] Boyd, Eng and Page (2013), Area under the precision-recall curve: point estimates and confidence intervals,
       ECML PKDD.

    Examples
    --------
    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).estimate, 4)
    0.8333
    """
    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "average precision")
    codes = cluster_codes(clusters, len(truth))
    order = np.argsort(-score, kind="stable")
    sign = truth[order]
    ends = np.append(np.diff(score[order]) != 0, True)
    last = np.flatnonzero(ends)
    group = np.cumsum(ends) - ends
    tumour, predicted = np.cumsum(sign)[last], last + 1.0
    new = np.diff(tumour, prepend=0)  # Tumour patches at each score.
    precision = tumour / predicted
    estimate = float(np.sum(new * precision) / tumour[-1])
    # A patch counts in the precision at its own score and at all lower ones.
    gain = np.cumsum((new * (predicted - tumour) / predicted**2)[::-1])[::-1][group]
    loss = np.cumsum((new * tumour / predicted**2)[::-1])[::-1][group]
    influence = np.empty(len(truth))
    influence[order] = np.where(sign == 1, precision[group] - estimate + gain, -loss) / tumour[-1]
    moved = displacements(influence, [np.ones(len(truth))], codes)
    found = limits(estimate, moved, "logit", kind="delta" if codes is None else "delete")
    method = f"{'influence function' if codes is None else 'jackknife over clusters'}, logit scale, Student's t"
    units = float(len(np.unique((np.arange(len(truth)) if codes is None else codes)[truth == 1])))
    if found is None or units < 2:
        found, method = wilson(estimate * units, units), "Wilson, for the number of tumour patches or clusters"
    return Interval(min(estimate, 1.0), *found, method, len(truth), cluster_count(codes))
