"""The area under the ROC curve with confidence limits that hold for good models and few slides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import DataError
from sentinode.metrics.checks import (
    Floats,
    Integers,
    check_both_classes,
    check_labels_and_scores,
    check_share,
    cluster_codes,
    cluster_count,
)
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import displacements, limits, normal_quantile


@dataclass(frozen=True)
class Area:
    """An area under a ROC curve with the influence of each patch on it.

    Attributes
    ----------
    estimate : float
        The mean true positive rate over false positive rates from 0 to `max_fpr`.
    influence : ndarray of shape (n,)
        The derivative of the estimate with respect to the weight of each patch.
    labels : ndarray of shape (n,)
        True labels, 0 or 1.
    codes : ndarray of shape (n,) or None
        The number of each patch's cluster, from 0; None if patches are independent.
    max_fpr : float
        The largest false positive rate; 1 for the whole curve.
    """

    estimate: float
    influence: Floats
    labels: Integers
    codes: Integers | None
    max_fpr: float

    @property
    def displacements(self) -> Floats:
        """How far each patch or cluster moves the area; see `sentinode.metrics.intervals.jackknife.displacements`."""
        tumour = self.labels.astype(np.float64)
        return displacements(self.influence, [tumour, 1 - tumour], self.codes)

    def interval(self) -> Interval:
        """Compute the confidence interval of the area."""
        kind, clusters = "delta" if self.codes is None else "delete", cluster_count(self.codes)
        found = limits(self.estimate, self.displacements, "logit", kind=kind)
        method = f"{'DeLong' if clusters is None else 'jackknife over clusters'}, logit scale, Student's t"
        if found is None:
            units = np.arange(len(self.labels)) if self.codes is None else self.codes
            tumour, normal = (float(len(np.unique(units[self.labels == label]))) for label in (1, 0))
            found = newcombe(self.estimate, tumour, max(1.0, normal * self.max_fpr))
            method = "Newcombe's method 5" + ("" if clusters is None else ", each cluster counted as one patch")
        return Interval(self.estimate, *found, method, len(self.labels), clusters)


def area(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None, max_fpr: float = 1.0) -> Area:
    """Compute the area under the ROC curve and the influence of each patch on it, in O(n log n).

    Parameters
    ----------
    labels : array-like of shape (n,)
    scores : array-like of shape (n,)
    clusters : array-like of shape (n,), optional
        See `auc`.
    max_fpr : float, default 1
        The largest false positive rate.

    Returns
    -------
    Area
        The area.

    Examples
    --------
    >>> area([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).estimate
    0.75
    """
    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "the area under a ROC curve")
    codes = cluster_codes(clusters, len(truth))
    tumour, normal = np.sort(score[truth == 1]), np.sort(score[truth == 0])
    # The shares of normal patches with a higher score than each patch, and with at least its score.
    above, from_here = _shares_above(normal, score)
    within = np.clip(np.minimum(from_here, max_fpr) - above, 0, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        triangle = np.where(from_here > above, within**2 / (2 * (from_here - above)), 0.0)
        part = np.where(from_here > above, within / (from_here - above), above < max_fpr)
    gained = triangle + np.clip(max_fpr - np.maximum(from_here, above), 0, None)
    estimate = float(gained[truth == 1].mean())
    # The same shares of tumour patches, and the true positive rate at `max_fpr`.
    mid = np.mean(_shares_above(tumour, score), axis=0)
    at_end = float(np.mean(np.where(max_fpr >= from_here, 1.0, part)[truth == 1])) if max_fpr < 1 else 1.0
    lost = (mid - at_end) * part
    centered = np.where(truth == 1, gained - estimate, lost - lost[truth == 0].mean())
    influence = centered / np.where(truth == 1, len(tumour), len(normal)) / max_fpr
    return Area(min(estimate / max_fpr, 1.0), influence, truth, codes, max_fpr)


def mean_area(areas: Sequence[Area]) -> Area:
    """Average areas on the same patches.

    Examples
    --------
    >>> labels = [0, 0, 1, 1]
    >>> mean_area([area(labels, [0.1, 0.4, 0.35, 0.8]), area(labels, [0.1, 0.2, 0.3, 0.4])]).estimate
    0.875
    """
    estimate = float(np.mean([each.estimate for each in areas]))
    return replace(areas[0], estimate=estimate, influence=np.mean([each.influence for each in areas], axis=0))


def mean_area_over_seeds(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> Area:
    """Compute the area of one model, or the mean area of several seeds of it.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,) or (seeds, n)
        Scores of the model, or one row for each seed.
    clusters : array-like of shape (n,), optional
        See `auc`.

    Returns
    -------
    Area
        The mean area.

    Examples
    --------
    >>> mean_area_over_seeds([0, 0, 1, 1], [[0.1, 0.4, 0.35, 0.8], [0.1, 0.2, 0.3, 0.4]]).estimate
    0.875
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if len(rows) == 0:
        raise DataError("scores have no row: at least one seed is needed")
    return mean_area([area(labels, row, clusters) for row in rows])


def auc(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Compute the area under the ROC curve with its confidence interval.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Finite scores; higher means more probably 1. Logits have fewer ties than probabilities.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    Interval
        The area with its limits on the logit scale [3]_. The variance is DeLong's [1]_, with clusters that of the
        jackknife, which approaches Obuchowski's [2]_ for many clusters. If the variance is zero (an area of 1, or
        equal scores), the limits are those of Newcombe's method 5 [4]_.

    Raises
    ------
    DataError
        Only one class or one cluster is present; see also `check_labels_and_scores`.

    See Also
    --------
    roc_curve : Compute the curve.
    compare_aucs : Test whether areas differ.

    References
    ----------
    .. [1] DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver
       operating characteristic curves, Biometrics 44.
    .. [2] Obuchowski (1997), Nonparametric analysis of clustered ROC curve data, Biometrics 53.
    .. [3] Pepe (2003), The statistical evaluation of medical tests for classification and prediction.
    .. [4] Newcombe (2006), Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
       part 2, Statistics in Medicine 25.

    Examples
    --------
    >>> print(auc([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.8, 0.9]))
    0.8889 (0.1181–0.9979)
    >>> print(auc([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.5, 0.8, 0.9]))
    1.0000 (0.5010–1.0000)
    """
    return area(labels, scores, clusters).interval()


def partial_auc(
    labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None, min_specificity: float = 0.9
) -> Interval:
    """Compute the mean sensitivity over specificities from `min_specificity` to 1.

    This is the partial area under the ROC curve divided by its width: 1 for a perfect ranking, half of the width
    (0.05 by default) for a random one.

    Parameters
    ----------
    labels : array-like of shape (n,)
    scores : array-like of shape (n,)
    clusters : array-like of shape (n,), optional
        See `auc`.
    min_specificity : float, default 0.9
        The lowest specificity, between 0 and 1.

    Returns
    -------
    Interval
        The mean sensitivity. The variance comes from the influence function and includes the uncertainty of where
        the specificity lies [1]_.

    Raises
    ------
    ConfigError
        The specificity is not between 0 and 1.
    DataError
        See `auc`.

    Notes
    -----
    McClish's standardized area, which is scikit-learn's ``roc_auc_score(max_fpr=width)``, is
    ``(1 + (estimate - width / 2) / (1 - width / 2)) / 2``.

    References
    ----------
    .. [1] Dodd and Pepe (2003), Partial AUC estimation and regression, Biometrics 59.

    Examples
    --------
    >>> partial_auc([0] * 10 + [1] * 4, [*range(10), 8.5, 9.5, 10, 11]).estimate
    0.75
    """
    check_share(min_specificity, "min_specificity")
    return area(labels, scores, clusters, 1 - min_specificity).interval()


def newcombe(estimate: float, tumour: float, normal: float) -> tuple[float, float]:
    """Compute limits of an area from the numbers of patches alone.

    This is Newcombe's method 5 [1]_: a limit is an area whose distance from the estimate is the normal quantile times
    the standard error of Hanley and McNeil [2]_ at that area, with both counts replaced by their mean.

    Parameters
    ----------
    estimate : float
        The area, 0 to 1.
    tumour, normal : float
        The numbers of patches of each class, at least 1.

    Returns
    -------
    low, high : float
        The limits.

    References
    ----------
    .. [1] Newcombe (2006), Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
       part 2, Statistics in Medicine 25.
    .. [2] Hanley and McNeil (1982), The meaning and use of the area under a receiver operating characteristic (ROC)
       curve, Radiology 143.

    Examples
    --------
    >>> low, high = newcombe(1.0, 50, 50)
    >>> round(low, 3), high
    (0.96, 1.0)
    """
    z, more = normal_quantile(), (tumour + normal) / 2 - 1

    def is_outside(theta: float) -> bool:
        inner = 1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (estimate - theta) ** 2 > z * z * theta * (1 - theta) * inner / (tumour * normal)

    found = []
    for end in (0.0, 1.0):
        outside, inside = end, estimate
        for _ in range(60):  # Bisection.
            middle = (outside + inside) / 2
            outside, inside = (middle, inside) if is_outside(middle) else (outside, middle)
        found.append(float(inside) if estimate != end else end)
    return found[0], found[1]


def _shares_above(sorted_scores: Floats, scores: Floats) -> tuple[Floats, Floats]:
    count = len(sorted_scores)
    above = count - np.searchsorted(sorted_scores, scores, side="right")
    from_here = count - np.searchsorted(sorted_scores, scores, side="left")
    return above / count, from_here / count
