"""Shares of patches with Wilson's interval, for independent or clustered patches."""

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import DataError
from sentinode.metrics.checks import Floats, check_groups
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import ROUNDING, degrees_of_freedom, normal_quantile, t_quantile


def wilson(hits: float, patches: float, quantile: float | None = None) -> tuple[float, float]:
    """Compute Wilson's limits of a share [1]_.

    Parameters
    ----------
    hits, patches : float
        How many of how many. A design effect makes them fractional.
    quantile : float, optional
        By default the normal quantile of a 95 % interval.

    Returns
    -------
    low, high : float
        The limits.

    References
    ----------
    .. [1] Wilson (1927), Probable inference, the law of succession, and statistical inference, Journal of the American
       Statistical Association 22.

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
    """Compute a share of patches with its confidence interval.

    Parameters
    ----------
    hits : array-like of bool of shape (n,) or (seeds, n)
        Whether each patch counts. With one row for each seed of a model the mean share is taken; the limits are
        conservative, because patches count once and not once for each seed.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    Interval
        The share; see `proportion_of_counts`.

    Raises
    ------
    DataError
        There are no patches, or a patch has no cluster.

    Examples
    --------
    >>> print(proportion([True] * 9 + [False]))
    0.9000 (0.5958–0.9821)
    >>> proportion([True] * 9 + [False], list("aaabbbcccc")).clusters
    3
    """
    rows = np.atleast_2d(np.asarray(hits, dtype=bool))
    if rows.ndim != 2 or rows.size == 0:
        raise DataError(f"hits need the shape (n,) or (seeds, n) with n of at least 1; got {np.shape(hits)}")
    hit = rows.mean(0)
    if clusters is None:
        return proportion_of_counts([hit.sum()], [len(hit)], clustered=False)
    codes, _ = check_groups(clusters, len(hit))
    return proportion_of_counts(np.bincount(codes, hit), np.bincount(codes), clustered=True)


def proportion_of_counts(hits: ArrayLike, patches: ArrayLike, clustered: bool) -> Interval:
    """Compute a share with its confidence interval from counts.

    Parameters
    ----------
    hits, patches : array-like of shape (clusters,)
        How many of how many in each cluster; clusters without patches are ignored. Without clusters the sums count.
    clustered : bool
        Whether the entries are clusters.

    Returns
    -------
    Interval
        The share with Wilson's limits. With clusters the number of patches is replaced by the effective number,
        p (1 - p) over the jackknife variance between clusters [1]_, at most the actual one, and the normal quantile by
        Student's. If all clusters have a share of 0 or of 1, each counts as one patch, weighted by size [2]_.

    References
    ----------
    .. [1] Korn and Graubard (1998), Confidence intervals for proportions with small expected number of positive counts
       estimated from survey data, Survey Methodology 24.
    .. [2] Kish (1965), Survey sampling.

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
        if np.max(np.abs(moved)) > ROUNDING:
            effective = share * (1 - share) / float(moved @ moved)
            return min(effective, float(total)), t_quantile(degrees_of_freedom(moved))
    return float(total**2 / (count @ count)), t_quantile(max(len(count) - 1, 1))
