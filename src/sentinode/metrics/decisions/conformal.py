"""Prediction sets that contain the true label with a chosen probability (conformal prediction)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.metrics.checks import check_both_classes, check_probabilities, check_share
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.proportions import proportion


@dataclass(frozen=True)
class ConformalSets:
    """Thresholds of prediction sets, from `fit_conformal`.

    Attributes
    ----------
    miscoverage : float
        The share of patches of each class whose set may lack the true label.
    normal_at_least, tumour_at_least : float
        The probability from which each label is in the set; 0 if there were too few patches to exclude it from any.
    """

    miscoverage: float
    normal_at_least: float
    tumour_at_least: float

    def sets(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Return the prediction set of each patch.

        Parameters
        ----------
        probabilities : array-like of shape (n,)
            Probabilities of tumour.

        Returns
        -------
        ndarray of bool of shape (n, 2)
            Whether normal and tumour are in the set.

        Examples
        --------
        >>> ConformalSets(0.1, 0.3, 0.4).sets([0.1, 0.5]).tolist()
        [[True, False], [True, True]]
        """
        tumour = np.asarray(probabilities, dtype=np.float64)
        return np.column_stack([1 - tumour >= self.normal_at_least, tumour >= self.tumour_at_least])


def fit_conformal(labels: ArrayLike, probabilities: ArrayLike, miscoverage: float = 0.05) -> ConformalSets:
    """Fit prediction sets by split conformal prediction, separately for each class [1]_ [2]_.

    Sets of new patches contain the true label with a probability of at least ``1 - miscoverage``, in each class and for
    any network, if the new patches are exchangeable with these. Patches of other slides are not: measure the coverage
    on other slides with `conformal_coverage`.

    Parameters
    ----------
    labels : array-like of shape (n,)
        Labels of validation patches, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, 0 to 1.
    miscoverage : float, default 0.05
        The share of patches whose set may lack the true label, between 0 and 1.

    Returns
    -------
    ConformalSets
        The thresholds.

    Raises
    ------
    ConfigError
        The miscoverage is not between 0 and 1.
    DataError
        Only one class is present; see also `check_probabilities`.

    References
    ----------
    .. [1] Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world.
    .. [2] Vovk (2012), Conditional validity of inductive conformal predictors, ACML.

    Examples
    --------
    >>> fit_conformal([0] * 19 + [1] * 19, [0.1] * 18 + [0.7] + [0.9] * 18 + [0.2], miscoverage=0.1).tumour_at_least
    0.9
    """
    check_share(miscoverage, "miscoverage")
    truth, tumour = check_probabilities(labels, probabilities)
    check_both_classes(truth, "a conformal prediction")
    limits = []
    for own in (np.sort(1 - tumour[truth == 0]), np.sort(tumour[truth == 1])):
        excluded = int(np.floor(miscoverage * (len(own) + 1) + 1e-9))
        limits.append(float(own[excluded - 1]) if excluded else 0.0)
    return ConformalSets(miscoverage, *limits)


@dataclass(frozen=True)
class ConformalCoverage:
    """The measured coverage and size of prediction sets.

    Attributes
    ----------
    nominal : float
        The coverage that the sets were fitted for.
    coverage : Interval
        The share of sets with the true label.
    normal, tumour : Interval or None
        The same for each class; None if it is not present.
    one_label, both_labels, no_label : float
        The shares of patches with a set of this size.
    """

    nominal: float
    coverage: Interval
    normal: Interval | None
    tumour: Interval | None
    one_label: float
    both_labels: float
    no_label: float


def conformal_coverage(
    sets: ConformalSets, labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None
) -> ConformalCoverage:
    """Measure how often prediction sets contain the true label, and how large they are.

    Parameters
    ----------
    sets : ConformalSets
        Sets fitted on other patches by `fit_conformal`.
    labels : array-like of shape (n,)
        True labels, 0 or 1; one class is enough.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, 0 to 1.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    ConformalCoverage
        The coverage.

    Raises
    ------
    DataError
        See `check_probabilities`; or a patch has no cluster.

    Examples
    --------
    >>> found = conformal_coverage(ConformalSets(0.1, 0.3, 0.4), [0, 1, 1], [0.1, 0.5, 0.3])
    >>> round(found.coverage.estimate, 3), round(found.both_labels, 3)
    (0.667, 0.333)
    """
    truth, tumour = check_probabilities(labels, probabilities)
    members = sets.sets(tumour)
    hit = members[np.arange(len(truth)), truth]
    groups = None if clusters is None else np.asarray(clusters)

    def share(chosen: NDArray[np.bool_]) -> Interval | None:
        return proportion(hit[chosen], None if groups is None else groups[chosen]) if chosen.any() else None

    size = members.sum(1)
    return ConformalCoverage(
        1 - sets.miscoverage,
        proportion(hit, clusters),
        share(truth == 0),
        share(truth == 1),
        *(float(np.mean(size == count)) for count in (1, 2, 0)),
    )
