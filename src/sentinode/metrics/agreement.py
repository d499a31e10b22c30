"""Whether two classifiers, at their thresholds, are right on the same patches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtr

from sentinode.errors import DataError
from sentinode.metrics.checks import Floats, Integers, check_labels_and_scores, cluster_codes
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import degrees_of_freedom, displacements, limits, normal_quantile
from sentinode.metrics.proportions import proportion


@dataclass(frozen=True)
class McNemar:
    """Two classifiers' calls of the same patches.

    Attributes
    ----------
    first_alone, second_alone
        Patches that only the first, and only the second, calls right.
    difference
        The first's accuracy minus the second's.
    p_value
        Two-sided, of the same accuracy: McNemar's mid-p; between clusters by Student's t where clusters are known.
    p_exact, p_mid
        McNemar's exact p-value and its mid-p, both for independent patches.
    """

    first_alone: int
    second_alone: int
    difference: Interval
    p_value: float
    p_exact: float
    p_mid: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**self.__dict__, "difference": self.difference.to_json()}


def mcnemar(
    labels: ArrayLike, first_calls: ArrayLike, second_calls: ArrayLike, clusters: ArrayLike | None = None
) -> McNemar:
    """Test whether two classifiers have the same accuracy on the same patches (McNemar 1947).

    The exact p-value is cautious; its mid-p is not, and holds its level (Fagerland, Lydersen and Laake 2013). The
    interval for independent patches is that of Bonett and Price (2012). Give the patches of one class alone to
    compare sensitivities or specificities.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    first_calls, second_calls
        0 or 1, shape ``(n,)``.
    clusters
        Each patch's slide or patient, shape ``(n,)``.

    Raises
    ------
    DataError
        A call is neither 0 nor 1, lengths differ; see `check_labels_and_scores`.

    Examples
    --------
    >>> found = mcnemar([1] * 10, [1] * 9 + [0], [0] * 6 + [1] * 3 + [0])
    >>> found.first_alone, found.second_alone, found.p_exact, found.p_mid
    (6, 0, 0.03125, 0.015625)
    """
    truth, first = _calls(labels, first_calls)
    _, second = _calls(labels, second_calls)
    codes = cluster_codes(clusters, len(truth))
    gain = (first == truth).astype(np.float64) - (second == truth)
    alone, other, patches = int(np.sum(gain > 0)), int(np.sum(gain < 0)), len(truth)
    less, both = min(alone, other), alone + other
    at_most = float(bdtr(less, both, 0.5)) if both else 1.0
    equal = at_most - (float(bdtr(less - 1, both, 0.5)) if less and both else 0.0)
    exact, mid = min(1.0, 2 * at_most), min(1.0, 2 * at_most - equal)
    estimate = float(gain.mean())
    if codes is not None:
        moved = displacements((gain - estimate) / patches, [np.ones(patches)], codes)
        found = limits(estimate, moved, "plain")
        if found:
            p_value = 2 * float(stdtr(degrees_of_freedom(moved), -abs(estimate) / np.sqrt(moved @ moved)))
            interval = Interval(estimate, *found, "jackknife over clusters, Student's t", patches, int(codes.max()) + 1)
            return McNemar(alone, other, interval, p_value, exact, mid)
    plus, minus = (alone + 1) / (patches + 2), (other + 1) / (patches + 2)
    half = normal_quantile() * np.sqrt((plus + minus - (plus - minus) ** 2) / (patches + 2))
    limits_found = max(-1.0, float(plus - minus - half)), min(1.0, float(plus - minus + half))
    return McNemar(alone, other, Interval(estimate, *limits_found, "Bonett and Price", patches), mid, exact, mid)


def kappa(first_calls: ArrayLike, second_calls: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Return Cohen's (1960) kappa: agreement of two classifiers' calls beyond what chance would give.

    Parameters
    ----------
    first_calls, second_calls
        0 or 1, shape ``(n,)``.
    clusters
        Each patch's slide or patient, shape ``(n,)``.

    Returns
    -------
    Interval
        1 for the same calls, 0 for agreement by chance; limits by the influence function (its variance is that of
        Fleiss, Cohen and Everitt 1969). Full agreement has limits by the share of equal calls alone.

    Raises
    ------
    DataError
        Both call every patch the same, or see `mcnemar`.

    Examples
    --------
    >>> round(kappa([0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0]).estimate, 4)
    0.6667
    """
    first, second = _calls(first_calls, second_calls)
    codes, patches = cluster_codes(clusters, len(first)), len(first)
    a, b, equal = float(first.mean()), float(second.mean()), (first == second).astype(np.float64)
    by_chance = a * b + (1 - a) * (1 - b)
    if by_chance == 1:
        raise DataError(f"both call all {patches} patches {first[0]}: kappa needs patches of both calls")
    estimate = (float(equal.mean()) - by_chance) / (1 - by_chance)
    chance = (first - a) * (2 * b - 1) + (second - b) * (2 * a - 1)
    influence = (equal - equal.mean()) * (1 - by_chance) - chance * (1 - float(equal.mean()))
    moved = displacements(influence / (1 - by_chance) ** 2 / patches, [np.ones(patches)], codes)
    clusters_found = None if codes is None else int(codes.max()) + 1
    found = limits(estimate, moved, "atanh", kind="delta")
    method = f"{'influence function' if codes is None else 'jackknife over clusters'}, atanh scale, Student's t"
    if found is None:
        share = proportion(equal, clusters)
        low, high = (float((each - by_chance) / (1 - by_chance)) for each in (share.low, share.high))
        found = min(low, estimate), max(high, estimate)
        method = "from the share of equal calls (Wilson)"
    return Interval(estimate, *found, method, patches, clusters_found)


def _calls(labels: ArrayLike, calls: ArrayLike) -> tuple[Integers, Floats]:
    truth, called = check_labels_and_scores(labels, calls)
    if not np.isin(called, (0, 1)).all():
        wrong = np.flatnonzero(~np.isin(called, (0, 1)))[0]
        raise DataError(f"call {called[wrong]} at position {wrong} is neither 0 nor 1")
    return truth, called
