"""The area under the ROC curve, or under its left part, with intervals that hold for good networks and few slides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import ConfigError, DataError
from sentinode.metrics.checks import Floats, Integers, check_both_classes, check_labels_and_scores, cluster_codes
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import displacements, limits, normal_quantile


@dataclass(frozen=True)
class Area:
    """An area and what each patch contributes to it.

    Attributes
    ----------
    estimate
        The mean true-positive rate over false-positive rates from 0 to `up_to`.
    influence
        Its derivative by each patch's weight, float64, shape ``(n,)``.
    truth
        Labels, int64, shape ``(n,)``.
    codes
        Each patch's cluster as a number from 0, shape ``(n,)``, or None.
    up_to
        The largest false-positive rate; 1 for the whole curve.
    """

    estimate: float
    influence: Floats
    truth: Integers
    codes: Integers | None
    up_to: float

    @property
    def displacements(self) -> Floats:
        """How far the area moves by each patch or cluster, see `sentinode.metrics.jackknife.displacements`."""
        tumour = self.truth.astype(np.float64)
        return displacements(self.influence, [tumour, 1 - tumour], self.codes)

    @property
    def units(self) -> tuple[float, float]:
        """How many patches, or clusters that have such, there are of tumour and of normal below `up_to`."""
        each = np.arange(len(self.truth)) if self.codes is None else self.codes
        tumour, normal = (float(len(np.unique(each[self.truth == label]))) for label in (1, 0))
        return tumour, max(1.0, normal * self.up_to)

    def interval(self) -> Interval:
        """Return the area with its limits."""
        kind = "delta" if self.codes is None else "delete"
        found = limits(self.estimate, self.displacements, "logit", kind=kind)
        clusters = None if self.codes is None else int(self.codes.max()) + 1
        method = "DeLong" if clusters is None else "jackknife over clusters"
        method = f"{method}, logit scale, Student's t"
        if found is None:
            found = newcombe(self.estimate, *self.units)
            method = "Newcombe's method 5" + ("" if clusters is None else ", a cluster counting as one patch")
        return Interval(self.estimate, *found, method, len(self.truth), clusters)


def area(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None, up_to: float = 1.0) -> Area:
    """Return the area under the ROC curve, and each patch's influence on it, in O(n log n).

    Raises
    ------
    DataError
        See `auc`.

    Examples
    --------
    >>> area([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).estimate
    0.75
    """
    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "an area under the ROC curve")
    codes = cluster_codes(clusters, len(truth))
    tumour, normal = np.sort(score[truth == 1]), np.sort(score[truth == 0])
    # Of false positives: the share of normal patches above each patch, and at it or above.
    above, from_here = _shares_above(normal, score)
    within = np.clip(np.minimum(from_here, up_to) - above, 0, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        triangle = np.where(from_here > above, within**2 / (2 * (from_here - above)), 0.0)
        part = np.where(from_here > above, within / (from_here - above), above < up_to)
    gained = triangle + np.clip(up_to - np.maximum(from_here, above), 0, None)
    estimate = float(gained[truth == 1].mean())
    # Of true positives: the same, and the rate where the part ends.
    mid = np.mean(_shares_above(tumour, score), axis=0)
    at_end = float(np.mean(np.where(up_to >= from_here, 1.0, part)[truth == 1])) if up_to < 1 else 1.0
    lost = (mid - at_end) * part
    centred = np.where(truth == 1, gained - estimate, lost - lost[truth == 0].mean())
    influence = centred / np.where(truth == 1, len(tumour), len(normal)) / up_to
    return Area(min(estimate / up_to, 1.0), influence, truth, codes, up_to)


def mean_area(areas: Sequence[Area]) -> Area:
    """Return the mean of areas on the same patches: influences have the mean that areas have.

    Examples
    --------
    >>> labels = [0, 0, 1, 1]
    >>> mean_area([area(labels, [0.1, 0.4, 0.35, 0.8]), area(labels, [0.1, 0.2, 0.3, 0.4])]).estimate
    0.875
    """
    estimate = float(np.mean([each.estimate for each in areas]))
    return replace(areas[0], estimate=estimate, influence=np.mean([each.influence for each in areas], axis=0))


def area_over_seeds(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> Area:
    """Return the area of one model, or the mean of the areas of several seeds of it.

    Parameters
    ----------
    labels, clusters
        See `auc`.
    scores
        Shape ``(n,)``, or ``(seeds, n)``.

    Raises
    ------
    DataError
        See `auc`; or no seed.

    Examples
    --------
    >>> area_over_seeds([0, 0, 1, 1], [[0.1, 0.4, 0.35, 0.8], [0.1, 0.2, 0.3, 0.4]]).estimate
    0.875
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if len(rows) == 0:
        raise DataError("scores of no seed: there is nothing to measure")
    return mean_area([area(labels, row, clusters) for row in rows])


def auc(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Return the area under the ROC curve with its interval.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    scores
        Finite, shape ``(n,)``; higher speaks for 1. Log-odds tie less than probabilities.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.

    Returns
    -------
    Interval
        For independent patches by the variance of DeLong et al. (1988), by clusters by the jackknife, which
        Obuchowski's (1997) variance comes to for many clusters; both on the logit scale (Pepe 2003). An area of 1, or
        scores that are all equal, have no variance to go by: there Newcombe's (2006) method 5 gives the limits.

    Raises
    ------
    DataError
        Lengths differ, a score is not finite, a label is not 0 or 1, only one class or one cluster is there.

    Examples
    --------
    >>> print(auc([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.8, 0.9]))
    0.8889 (0.1181–0.9979)
    >>> print(auc([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.5, 0.8, 0.9]))
    1.0000 (0.5010–1.0000)
    """
    return area(labels, scores, clusters).interval()


def partial_auc(
    labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None, specificity: float = 0.9
) -> Interval:
    """Return the mean sensitivity over specificities from `specificity` to 1.

    It is the partial area divided by its width: 1 for a perfect ranking, half of the width (0.05) for a ranking by
    chance. McClish's standardised area, which scikit-learn gives as ``roc_auc_score(max_fpr=…)``, is
    ``(1 + (estimate − width / 2) / (1 − width / 2)) / 2``. The variance has a part from where the specificity lies,
    by the influence function (after Dodd and Pepe 2003).

    Parameters
    ----------
    labels, scores, clusters
        See `auc`.
    specificity
        Above 0 and below 1.

    Raises
    ------
    DataError
        See `auc`.
    ConfigError
        No such specificity.

    Examples
    --------
    >>> partial_auc([0] * 10 + [1] * 4, [*range(10), 8.5, 9.5, 10, 11], specificity=0.9).estimate
    0.75
    """
    if not 0 < specificity < 1:
        raise ConfigError(f"a partial area begins at a specificity between 0 and 1; got {specificity}")
    return area(labels, scores, clusters, 1 - specificity).interval()


def newcombe(estimate: float, tumour: float, normal: float) -> tuple[float, float]:
    """Return limits of an area from counts alone (Newcombe 2006, method 5).

    They are the areas that differ from the estimate by their own normal quantile times standard error, the latter by
    Hanley and McNeil (1982) with both counts replaced by their mean.

    Parameters
    ----------
    estimate
        0 to 1.
    tumour, normal
        Counts, at least 1.

    Examples
    --------
    >>> low, high = newcombe(1.0, 50, 50)
    >>> round(low, 3), high
    (0.96, 1.0)
    """
    z, more = normal_quantile(), (tumour + normal) / 2 - 1

    def too_far(theta: float) -> bool:
        inner = 1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (estimate - theta) ** 2 > z * z * theta * (1 - theta) * inner / (tumour * normal)

    found = []
    for end in (0.0, 1.0):
        outside, inside = end, estimate
        for _ in range(60):
            middle = (outside + inside) / 2
            outside, inside = (middle, inside) if too_far(middle) else (outside, middle)
        found.append(float(inside) if estimate != end else end)
    return found[0], found[1]


def _shares_above(sorted_scores: Floats, scores: Floats) -> tuple[Floats, Floats]:
    count = len(sorted_scores)
    above = count - np.searchsorted(sorted_scores, scores, side="right")
    from_here = count - np.searchsorted(sorted_scores, scores, side="left")
    return above / count, from_here / count
