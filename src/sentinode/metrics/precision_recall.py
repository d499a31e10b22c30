"""Precision and recall at every threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import Floats, check_both_classes, check_labels_and_scores, cluster_codes
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import displacements, limits
from sentinode.metrics.proportions import wilson


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision against recall.

    Attributes
    ----------
    recall
        float64, shape ``(k,)``, rising to 1.
    precision
        float64, shape ``(k,)``, at the prevalence of these patches.
    thresholds
        float64, shape ``(k,)``, falling: a patch is called tumour when its score is at least this.
    prevalence
        The share of tumour, which is the precision of a ranking by chance.
    """

    recall: Floats
    precision: Floats
    thresholds: Floats
    prevalence: float


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Return precision and recall at every threshold.

    Raises
    ------
    DataError
        See `sentinode.metrics.auc.auc`.

    Examples
    --------
    >>> precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).recall.tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "a precision–recall curve")
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    found = np.cumsum(truth[order])[last]
    return PrecisionRecallCurve(found / truth.sum(), found / (last + 1), score[order][last], float(truth.mean()))


def average_precision(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Return the mean over tumour patches of the precision at their score, with its interval.

    It is scikit-learn's ``average_precision_score``: the area under the curve in steps. It depends on the prevalence.
    The interval is on the logit scale (Boyd, Eng and Page 2013), its variance by the influence function.

    Parameters
    ----------
    labels, scores, clusters
        See `sentinode.metrics.auc.auc`.

    Raises
    ------
    DataError
        See `sentinode.metrics.auc.auc`.

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
    tumour, called = np.cumsum(sign)[last], last + 1.0
    new = np.diff(tumour, prepend=0)  # Tumour patches at each score.
    precision = tumour / called
    estimate = float(np.sum(new * precision) / tumour[-1])
    # A patch is in the precision at its own score and at all lower ones.
    gain = np.cumsum((new * (called - tumour) / called**2)[::-1])[::-1][group]
    loss = np.cumsum((new * tumour / called**2)[::-1])[::-1][group]
    influence = np.empty(len(truth))
    influence[order] = np.where(sign == 1, precision[group] - estimate + gain, -loss) / tumour[-1]
    moved = displacements(influence, [np.ones(len(truth))], codes)
    found = limits(estimate, moved, "logit", kind="delta" if codes is None else "delete")
    method = f"{'influence function' if codes is None else 'jackknife over clusters'}, logit scale, Student's t"
    units = float(len(np.unique((np.arange(len(truth)) if codes is None else codes)[truth == 1])))
    if found is None or units < 2:
        found, method = wilson(estimate * units, units), "Wilson, by the number of tumour patches or clusters"
    clusters_found = None if codes is None else int(codes.max()) + 1
    return Interval(min(estimate, 1.0), *found, method, len(truth), clusters_found)
