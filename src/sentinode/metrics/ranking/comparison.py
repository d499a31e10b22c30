"""Compare the areas under the ROC curves of several models on the same patches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc, stdtr

from sentinode.errors import ConfigError, DataError
from sentinode.metrics.checks import Floats, cluster_count
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import ROUNDING, degrees_of_freedom, limits
from sentinode.metrics.ranking.roc_auc import Area, mean_area_over_seeds


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two models on the same patches.

    Attributes
    ----------
    first, second : str
        The names of the models.
    difference : Interval
        The first area minus the second.
    p_value : float
        The two-sided p-value of no difference.
    p_holm : float
        The p-value adjusted for the number of pairs.
    """

    first: str
    second: str
    difference: Interval
    p_value: float
    p_holm: float


@dataclass(frozen=True)
class AucComparison:
    """Areas of several models on the same patches.

    Attributes
    ----------
    areas : dict of str to Interval
        The area of each model.
    pairs : tuple of PairedDifference
        The difference of each pair, in the order of the models.
    p_value : float
        The p-value for equality of all AUCs.
    """

    areas: dict[str, Interval]
    pairs: tuple[PairedDifference, ...]
    p_value: float


def compare_aucs(
    labels: ArrayLike, scores: Mapping[str, ArrayLike], clusters: ArrayLike | None = None
) -> AucComparison:
    """Test whether the areas under the ROC curves of several models differ.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : mapping of str to array-like of shape (n,) or (seeds, n)
        The scores of each model, or one row for each seed; then mean areas are compared. The test asks whether these
        trained networks differ on other patches, not whether other seeds would.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    AucComparison
        The covariance is DeLong's [1]_, with clusters that of the jackknife, which approaches Obuchowski's [2]_ for
        many clusters. Pairs are tested by Student's t and adjusted for their number [3]_, all models at once by
        Hotelling's T², so few clusters are not taken for many.

    Raises
    ------
    ConfigError
        There are fewer than two models.
    DataError
        See `auc`.

    References
    ----------
    .. [1] DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver
       operating characteristic curves, Biometrics 44.
    .. [2] Obuchowski (1997), Nonparametric analysis of clustered ROC curve data, Biometrics 53.
    .. [3] Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> found = compare_aucs(labels, {"a": [1, 2, 3, 5, 4, 6, 7, 8], "b": [1, 6, 3, 5, 4, 2, 7, 8]})
    >>> print(found.pairs[0].difference, round(found.pairs[0].p_value, 3))
    0.2500 (-0.2327 to 0.7327) 0.26
    """
    if len(scores) < 2:
        raise ConfigError(f"a comparison needs at least two models; got {len(scores)}")
    areas = {name: mean_area_over_seeds(labels, each, clusters) for name, each in scores.items()}
    pairs = list(combinations(areas, 2))
    tested = [area_difference(areas[first], areas[second]) for first, second in pairs]
    adjusted = holm([p_value for _, p_value in tested])
    return AucComparison(
        {name: each.interval() for name, each in areas.items()},
        tuple(
            PairedDifference(*pair, *found, p_holm) for pair, found, p_holm in zip(pairs, tested, adjusted, strict=True)
        ),
        _p_value_of_all_equal(list(areas.values())),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple testing by Holm's method [1]_.

    Parameters
    ----------
    p_values : sequence of float
        The p-values.

    Returns
    -------
    list of float
        The adjusted p-values, in the same order.

    References
    ----------
    .. [1] Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(each) for each in adjusted]


def auc_covariance(labels: ArrayLike, scores: Mapping[str, ArrayLike], clusters: ArrayLike | None = None) -> Floats:
    """Compute the covariance of the models' areas after DeLong [1]_, with clusters after Obuchowski [2]_.

    `compare_aucs` does not use the latter because it is too small for few clusters.

    Parameters
    ----------
    labels : array-like of shape (n,)
    scores : mapping of str to array-like of shape (n,) or (seeds, n)
    clusters : array-like of shape (n,), optional
        See `compare_aucs`.

    Returns
    -------
    ndarray of shape (models, models)
        The covariance matrix.

    Raises
    ------
    DataError
        All patches of a class are in one cluster; see also `auc`.

    References
    ----------
    .. [1] DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver
       operating characteristic curves, Biometrics 44.
    .. [2] Obuchowski (1997), Nonparametric analysis of clustered ROC curve data, Biometrics 53.

    Examples
    --------
    >>> auc_covariance([0, 0, 1, 1], {"a": [1, 3, 2, 4]}).round(4).tolist()
    [[0.125]]
    """
    areas = [mean_area_over_seeds(labels, each, clusters) for each in scores.values()]
    if areas[0].codes is None:
        moved = np.array([each.displacements for each in areas])
        return moved @ moved.T
    truth, codes = areas[0].labels, areas[0].codes
    tumour, normal = (
        np.array([np.bincount(codes, each.influence * (truth == label)) for each in areas]) for label in (1, 0)
    )
    with_tumour, with_normal, all_clusters = len(set(codes[truth == 1])), len(set(codes[truth == 0])), codes.max() + 1
    if min(with_tumour, with_normal) == 1:
        name = "tumour" if with_tumour == 1 else "normal"
        raise DataError(f"all {name} patches are in one cluster; the covariance needs two or more of each class")
    mixed = tumour @ normal.T
    return (
        with_tumour / (with_tumour - 1) * tumour @ tumour.T
        + with_normal / (with_normal - 1) * normal @ normal.T
        + all_clusters / (all_clusters - 1) * (mixed + mixed.T)
    )


def area_difference(first: Area, second: Area) -> tuple[Interval, float]:
    """Compute the first area minus the second on the same patches, and the p-value of no difference.

    Parameters
    ----------
    first, second : Area
        Areas of two models; see `sentinode.metrics.ranking.roc_auc.area`.

    Returns
    -------
    Interval
        The difference.
    float
        The two-sided p-value.

    Examples
    --------
    >>> from sentinode.metrics.ranking.roc_auc import area
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> one, other = area(labels, [1, 2, 3, 5, 4, 6, 7, 8]), area(labels, [1, 6, 3, 5, 4, 2, 7, 8])
    >>> area_difference(one, other)[0].estimate
    0.25
    """
    estimate = first.estimate - second.estimate
    with np.errstate(invalid="ignore"):  # Infinite displacements are handled below.
        moved = first.displacements - second.displacements
    clusters = cluster_count(first.codes)
    method = "paired DeLong, Student's t" if clusters is None else "paired jackknife over clusters, Student's t"
    found = limits(estimate, moved, "plain")
    if found:
        deviation = float(np.sqrt(moved @ moved))
        p_value = 2 * float(stdtr(degrees_of_freedom(moved), -abs(estimate) / deviation))
    elif abs(estimate) < ROUNDING and np.array_equal(first.influence, second.influence) and np.any(first.influence):
        found, p_value, method = (0.0, 0.0), 1.0, "equal rankings"
    else:
        a, b = first.interval(), second.interval()
        low = estimate - np.hypot(first.estimate - a.low, b.high - second.estimate)
        high = estimate + np.hypot(a.high - first.estimate, second.estimate - b.low)
        found, p_value = (float(low), float(high)), 1.0 if low <= 0 <= high else 0.05
        method = "limits of both areas (MOVER), because the paired variance is zero or infinite"
    return Interval(estimate, *found, method, len(first.labels), clusters), p_value


def _p_value_of_all_equal(areas: list[Area]) -> float:
    """Return the p-value of Hotelling's T² test of the differences from the first area."""
    differences = np.array([each.estimate - areas[0].estimate for each in areas[1:]])
    with np.errstate(invalid="ignore"):
        moved = np.array([each.displacements - areas[0].displacements for each in areas[1:]])
    if not np.all(np.isfinite(moved)):
        return 1.0
    if np.max(np.abs(moved)) < ROUNDING:  # Nothing varies; the areas themselves may differ.
        return min(1.0, len(areas[1:]) * min(area_difference(areas[0], each)[1] for each in areas[1:]))
    covariance = moved @ moved.T
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    units = moved.shape[1] - 1
    if rank == 0 or units <= rank:
        return 1.0
    statistic = float(differences @ np.linalg.pinv(covariance, hermitian=True) @ differences)
    return float(fdtrc(rank, units - rank + 1, statistic * (units - rank + 1) / (units * rank)))
