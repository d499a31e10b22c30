"""Agreement of two classifiers on the same patches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtr

from sentinode.errors import DataError
from sentinode.metrics.checks import Floats, Integers, check_labels_and_scores, cluster_codes, cluster_count
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import degrees_of_freedom, displacements, limits, normal_quantile
from sentinode.metrics.intervals.proportions import proportion


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two classifiers.

    Attributes
    ----------
    first_only, second_only : float
        The numbers of patches that only the first, or only the second, classifier predicts correctly; for several seeds
        the mean over pairs of seeds.
    difference : Interval
        The first accuracy minus the second.
    p_value : float
        The two-sided p-value of equal accuracies: the mid-p-value, or with clusters or several seeds that of Student's
        t.
    p_exact, p_mid : float or None
        The exact p-value and the mid-p-value for independent patches; None for several seeds.
    """

    first_only: float
    second_only: float
    difference: Interval
    p_value: float
    p_exact: float | None
    p_mid: float | None


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike, clusters: ArrayLike | None = None) -> McNemar:
    """Test whether two classifiers have the same accuracy on the same patches.

    Pass the patches of one class to compare sensitivities or specificities.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    first, second : array-like of shape (n,) or (seeds, n)
        Predicted classes, 0 or 1. With one row for each seed the mean accuracies of the seeds are compared.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    McNemar
        The test [1]_. The exact p-value is conservative; the mid-p-value has the nominal level [2]_. The interval for
        independent patches is that of Bonett and Price [3]_.

    Raises
    ------
    DataError
        A prediction is not 0 or 1; see also `check_labels_and_scores`.

    References
    ----------
    .. [1] McNemar (1947), Note on the sampling error of the difference between correlated proportions or percentages,
       Psychometrika 12.
    .. [2] Fagerland, Lydersen and Laake (2013), The McNemar test for binary matched-pairs data, BMC Medical Research
       Methodology 13.
    .. [3] Bonett and Price (2012), Adjusted Wald confidence interval for a difference of binomial proportions based on
       paired data, Journal of Educational and Behavioral Statistics 37.

    Examples
    --------
    >>> found = mcnemar([1] * 10, [1] * 9 + [0], [0] * 6 + [1] * 3 + [0])
    >>> found.first_only, found.second_only, found.p_exact, found.p_mid
    (6, 0, 0.03125, 0.015625)
    """
    (truth, a), (_, b) = _predictions(labels, first), _predictions(labels, second)
    codes, patches, seeds = cluster_codes(clusters, len(truth)), len(truth), len(a) * len(b)
    correct, other_correct = (a == truth).mean(0), (b == truth).mean(0)
    alone = float(np.sum(correct * (1 - other_correct)))
    other = float(np.sum(other_correct * (1 - correct)))
    exact, mid = _of_discordant(round(alone), round(other))
    p_values = (exact, mid) if seeds == 1 else (None, None)
    if seeds == 1:
        alone, other = round(alone), round(other)
    gain = correct - other_correct
    estimate = float(gain.mean())
    if codes is not None or seeds > 1:
        moved = displacements((gain - estimate) / patches, [np.ones(patches)], codes)
        found = limits(estimate, moved, "plain")
        if found:
            p_value = 2 * float(stdtr(degrees_of_freedom(moved), -abs(estimate) / np.sqrt(moved @ moved)))
            method = "Student's t" if codes is None else "jackknife over clusters, Student's t"
            difference = Interval(estimate, *found, method, patches, cluster_count(codes))
            return McNemar(alone, other, difference, p_value, *p_values)
    # If all clusters have the same difference, each counts as one patch.
    units, method = cluster_count(codes) or patches, "Bonett and Price"
    better, worse = alone * units / patches, other * units / patches
    if codes is not None:
        _, mid = _of_discordant(round(better), round(worse))
        method += ", each cluster counted as one patch"
    plus, minus = (better + 1) / (units + 2), (worse + 1) / (units + 2)
    half = normal_quantile() * np.sqrt((plus + minus - (plus - minus) ** 2) / (units + 2))
    ends = max(-1.0, float(plus - minus - half)), min(1.0, float(plus - minus + half))
    return McNemar(alone, other, Interval(estimate, *ends, method, patches, cluster_count(codes)), mid, *p_values)


def kappa(first: ArrayLike, second: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Compute Cohen's kappa [1]_: the agreement of two classifiers beyond chance.

    Parameters
    ----------
    first, second : array-like of shape (n,) or (seeds, n)
        Predicted classes, 0 or 1. With one row for each seed kappa is averaged over all pairs of seeds.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    Interval
        1 for full agreement, 0 for agreement by chance. The limits come from the influence function, whose variance is
        that of [2]_; for full agreement from the share of equal predictions.

    Raises
    ------
    DataError
        Both classifiers predict the same class for every patch; see also `mcnemar`.

    References
    ----------
    .. [1] Cohen (1960), A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20.
    .. [2] Fleiss, Cohen and Everitt (1969), Large sample standard errors of kappa and weighted kappa, Psychological
       Bulletin 72.

    Examples
    --------
    >>> round(kappa([0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0]).estimate, 4)
    0.6667
    """
    zeros = np.zeros(np.shape(np.atleast_2d(np.asarray(first)))[-1])
    (_, a), (_, b) = _predictions(zeros, first), _predictions(zeros, second)
    codes, patches = cluster_codes(clusters, len(zeros)), len(zeros)
    each = [_kappa(one, other) for one in a for other in b]
    estimate = float(np.mean([value for value, _, _ in each]))
    moved = displacements(np.mean([influence for _, influence, _ in each], axis=0), [np.ones(patches)], codes)
    found = limits(estimate, moved, "atanh", kind="delta")
    method = f"{'influence function' if codes is None else 'jackknife over clusters'}, atanh scale, Student's t"
    if found is None:
        share, by_chance = proportion(a[0] == b[0], clusters), each[0][2]
        low, high = (float((limit - by_chance) / (1 - by_chance)) for limit in (share.low, share.high))
        found, method = (min(low, estimate), max(high, estimate)), "Wilson limits of the share of equal predictions"
    return Interval(estimate, *found, method, patches, cluster_count(codes))


def _of_discordant(alone: int, other: int) -> tuple[float, float]:
    """Return McNemar's exact p-value and its mid-p-value."""
    less, both = min(alone, other), alone + other
    at_most = float(bdtr(less, both, 0.5)) if both else 1.0
    equal = at_most - (float(bdtr(less - 1, both, 0.5)) if less and both else 0.0)
    return min(1.0, 2 * at_most), min(1.0, 2 * at_most - equal)


def _kappa(first: Floats, second: Floats) -> tuple[float, Floats, float]:
    """Return kappa, its influence function, and the agreement by chance."""
    a, b, equal = float(first.mean()), float(second.mean()), (first == second).astype(np.float64)
    by_chance = a * b + (1 - a) * (1 - b)
    if by_chance == 1:
        raise DataError(f"both classifiers predict {first[0]:g} for all {len(first)} patches; kappa needs both classes")
    agreed = float(equal.mean())
    chance = (first - a) * (2 * b - 1) + (second - b) * (2 * a - 1)
    influence = (equal - agreed) * (1 - by_chance) - chance * (1 - agreed)
    return (agreed - by_chance) / (1 - by_chance), influence / (1 - by_chance) ** 2 / len(first), by_chance


def _predictions(labels: ArrayLike, predictions: ArrayLike) -> tuple[Integers, Floats]:
    """Return labels, and predicted classes with one row for each seed."""
    rows = np.atleast_2d(np.asarray(predictions, dtype=np.float64))
    checked = [check_labels_and_scores(labels, row) for row in rows]
    if not checked:
        raise DataError("predictions have no row: at least one seed is needed")
    predicted = np.array([row for _, row in checked])
    if not np.isin(predicted, (0, 1)).all():
        seed, wrong = np.argwhere(~np.isin(predicted, (0, 1)))[0]
        raise DataError(f"prediction {predicted[seed, wrong]} at position {wrong} is not 0 or 1")
    return checked[0][0], predicted
