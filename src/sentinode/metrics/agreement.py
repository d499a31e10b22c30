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
        Patches that only the first, and only the second, calls right; of several seeds the mean over pairs of them.
    difference
        The first's accuracy minus the second's.
    p_value
        Two-sided, of the same accuracy: McNemar's mid-p; by Student's t where clusters are known, and for several
        seeds.
    p_exact, p_mid
        McNemar's exact p-value and its mid-p, both for independent patches; None for several seeds.
    """

    first_alone: float
    second_alone: float
    difference: Interval
    p_value: float
    p_exact: float | None
    p_mid: float | None

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
        0 or 1, shape ``(n,)``; or ``(seeds, n)``: then the mean accuracies of the seeds are compared.
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
    (truth, first), (_, second) = _calls(labels, first_calls), _calls(labels, second_calls)
    codes, patches, seeds = cluster_codes(clusters, len(truth)), len(truth), len(first) * len(second)
    right, other_right = (first == truth).mean(0), (second == truth).mean(0)
    alone, other = float(np.sum(right * (1 - other_right))), float(np.sum(other_right * (1 - right)))
    exact, mid = _of_discordant(round(alone), round(other))
    exactly = (exact, mid) if seeds == 1 else (None, None)
    if seeds == 1:
        alone, other = round(alone), round(other)
    gain = right - other_right
    estimate = float(gain.mean())
    if codes is not None or seeds > 1:
        moved = displacements((gain - estimate) / patches, [np.ones(patches)], codes)
        found = limits(estimate, moved, "plain")
        if found:
            p_value = 2 * float(stdtr(degrees_of_freedom(moved), -abs(estimate) / np.sqrt(moved @ moved)))
            method = "Student's t" if codes is None else "jackknife over clusters, Student's t"
            count = None if codes is None else int(codes.max()) + 1
            return McNemar(alone, other, Interval(estimate, *found, method, patches, count), p_value, *exactly)
    plus, minus = (alone + 1) / (patches + 2), (other + 1) / (patches + 2)
    half = normal_quantile() * np.sqrt((plus + minus - (plus - minus) ** 2) / (patches + 2))
    limits_found = max(-1.0, float(plus - minus - half)), min(1.0, float(plus - minus + half))
    return McNemar(alone, other, Interval(estimate, *limits_found, "Bonett and Price", patches), mid, *exactly)


def kappa(first_calls: ArrayLike, second_calls: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Return Cohen's (1960) kappa: agreement of two classifiers' calls beyond what chance would give.

    Parameters
    ----------
    first_calls, second_calls
        0 or 1, shape ``(n,)``; or ``(seeds, n)``: then it is the mean over all pairs of a first and a second seed.
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
        Both (or two of the seeds) call every patch the same, or see `mcnemar`.

    Examples
    --------
    >>> round(kappa([0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0]).estimate, 4)
    0.6667
    """
    zeros = np.zeros(np.shape(np.atleast_2d(np.asarray(first_calls)))[-1])
    (_, first), (_, second) = _calls(zeros, first_calls), _calls(zeros, second_calls)
    codes, patches = cluster_codes(clusters, len(zeros)), len(zeros)
    each = [_kappa(a, b) for a in first for b in second]
    estimate = float(np.mean([one for one, _, _ in each]))
    moved = displacements(np.mean([influence for _, influence, _ in each], axis=0), [np.ones(patches)], codes)
    clusters_found = None if codes is None else int(codes.max()) + 1
    found = limits(estimate, moved, "atanh", kind="delta")
    method = f"{'influence function' if codes is None else 'jackknife over clusters'}, atanh scale, Student's t"
    if found is None:
        share, by_chance = proportion(first[0] == second[0], clusters), each[0][2]
        low, high = (float((limit - by_chance) / (1 - by_chance)) for limit in (share.low, share.high))
        found = min(low, estimate), max(high, estimate)
        method = "from the share of equal calls (Wilson)"
    return Interval(estimate, *found, method, patches, clusters_found)


def _of_discordant(alone: int, other: int) -> tuple[float, float]:
    """Return McNemar's exact p-value and its mid-p."""
    less, both = min(alone, other), alone + other
    at_most = float(bdtr(less, both, 0.5)) if both else 1.0
    equal = at_most - (float(bdtr(less - 1, both, 0.5)) if less and both else 0.0)
    return min(1.0, 2 * at_most), min(1.0, 2 * at_most - equal)


def _kappa(first: Floats, second: Floats) -> tuple[float, Floats, float]:
    """Return kappa, its derivative by each patch's weight, and the agreement by chance."""
    a, b, equal = float(first.mean()), float(second.mean()), (first == second).astype(np.float64)
    by_chance = a * b + (1 - a) * (1 - b)
    if by_chance == 1:
        raise DataError(f"both call all {len(first)} patches {first[0]:g}: kappa needs patches of both calls")
    agreed = float(equal.mean())
    chance = (first - a) * (2 * b - 1) + (second - b) * (2 * a - 1)
    influence = (equal - agreed) * (1 - by_chance) - chance * (1 - agreed)
    return (agreed - by_chance) / (1 - by_chance), influence / (1 - by_chance) ** 2 / len(first), by_chance


def _calls(labels: ArrayLike, calls: ArrayLike) -> tuple[Integers, Floats]:
    """Return labels, and calls with one row a seed."""
    rows = np.atleast_2d(np.asarray(calls, dtype=np.float64))
    checked = [check_labels_and_scores(labels, row) for row in rows]
    if not checked:
        raise DataError("calls of no seed: there is nothing to compare")
    called = np.array([row for _, row in checked])
    if not np.isin(called, (0, 1)).all():
        seed, wrong = np.argwhere(~np.isin(called, (0, 1)))[0]
        raise DataError(f"call {called[seed, wrong]} at position {wrong} is neither 0 nor 1")
    return checked[0][0], called
