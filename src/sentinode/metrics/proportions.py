"""Shares of patches, with Wilson's interval, also where patches come in clusters."""

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import DataError
from sentinode.metrics.checks import Floats, check_groups
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import degrees_of_freedom, normal_quantile, t_quantile


def wilson(hits: float, patches: float, quantile: float | None = None) -> tuple[float, float]:
    """Return the limits of a share (Wilson 1927).

    Parameters
    ----------
    hits, patches
        How many of how many; not always whole: a design effect makes fractions of them.
    quantile
        When left out that of a 95 % interval.

    Examples
    --------
    >>> low, high = wilson(9, 10)
    >>> round(low, 4), round(high, 4)
    (0.5958, 0.9821)
    """
    z = normal_quantile() if quantile is None else quantile
    share = hits / patches
    middle = share + z * z / (2 * patches)
    half = z * np.sqrt(share * (1 - share) / patches + z * z / (4 * patches**2))
    whole = 1 + z * z / patches
    low, high = float((middle - half) / whole), float((middle + half) / whole)
    return (low if share > 0 else 0.0), (high if share < 1 else 1.0)


def proportion(hits: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Return a share of patches with its interval.

    Parameters
    ----------
    hits
        Whether each patch is one, shape ``(n,)``; or ``(seeds, n)``, one row a seed of one model: then the mean of
        the seeds' shares is taken, with limits that are cautious, since patches are not counted as seeds times more.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.

    Raises
    ------
    DataError
        No patches, or clusters that do not fit.

    Examples
    --------
    >>> print(proportion([True] * 9 + [False]))
    0.9000 (0.5958–0.9821)
    >>> proportion([True] * 9 + [False], list("aaabbbcccc")).clusters
    3
    """
    rows = np.atleast_2d(np.asarray(hits, dtype=bool))
    if rows.ndim != 2 or rows.size == 0:
        raise DataError(f"hits {np.shape(hits)} must be a row of at least one patch, or one a seed")
    hit = rows.mean(0)
    if clusters is None:
        return proportion_of_counts([hit.sum()], [len(hit)], clustered=False)
    codes, _ = check_groups(clusters, len(hit))
    return proportion_of_counts(np.bincount(codes, hit), np.bincount(codes), clustered=True)


def proportion_of_counts(hits: ArrayLike, patches: ArrayLike, clustered: bool) -> Interval:
    """Return a share with its interval, from counts.

    Clustered, Wilson's interval is that of the patches that would be as sure if they were independent: their number
    is p(1 − p) over the jackknife variance between clusters (an effective sample size as in Korn and Graubard 1998),
    with Student's quantile for the normal one, and never more than there are. Where all clusters agree on 0 or 1 the
    variance says nothing, and each cluster counts as one patch (those of many patches more than those of few: Kish
    1965).

    Parameters
    ----------
    hits, patches
        How many of how many in each cluster, shape ``(clusters,)``; clusters without patches do not count. Not
        clustered: their sums count.
    clustered
        Whether the units are clusters. With one cluster only, it counts as one patch.

    Examples
    --------
    >>> print(proportion_of_counts([9, 9, 3], [10, 10, 10], clustered=True))
    0.7000 (0.0791–0.9845)
    """
    hit, count = np.asarray(hits, dtype=np.float64), np.asarray(patches, dtype=np.float64)
    total, share = float(count.sum()), float(hit.sum() / count.sum())
    if not clustered:
        low, high = wilson(float(hit.sum()), total)
        return Interval(share, low, high, "Wilson", int(total))
    hit, count = hit[count > 0], count[count > 0]
    effective, quantile = _effective_patches(share, hit, count)
    low, high = wilson(share * effective, effective, quantile)
    return Interval(share, low, high, "Wilson, effective number of patches by clusters", int(total), len(count))


def _effective_patches(share: float, hit: Floats, count: Floats) -> tuple[float, float]:
    total = count.sum()
    if len(count) > 1:
        moved = (hit - share * count) / (total - count)
        if np.max(np.abs(moved)) > 1e-12:  # Less is rounding.
            effective = share * (1 - share) / float(moved @ moved)
            return min(effective, float(total)), t_quantile(degrees_of_freedom(moved))
    return float(total**2 / (count @ count)), t_quantile(max(len(count) - 1, 1))
