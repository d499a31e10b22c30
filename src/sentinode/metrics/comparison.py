"""Areas of several models on the same patches, and what their differences are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc, stdtr

from sentinode.errors import ConfigError
from sentinode.metrics.auc import Area, area_over_seeds
from sentinode.metrics.checks import Floats
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import degrees_of_freedom, limits


@dataclass(frozen=True)
class PairedDifference:
    """Two models on the same patches.

    Attributes
    ----------
    first, second
        Their names.
    difference
        The first's area minus the second's.
    p_value
        Two-sided, of no difference.
    p_holm
        The same, corrected for the number of pairs.
    """

    first: str
    second: str
    difference: Interval
    p_value: float
    p_holm: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.difference.to_json(),
            "p_value": self.p_value,
            "p_holm": self.p_holm,
        }


@dataclass(frozen=True)
class AucComparison:
    """Several models on the same patches.

    Attributes
    ----------
    areas
        Each model's area under the ROC curve.
    pairs
        Each pair's difference, in the order of the models.
    p_value
        Of all areas being the same.
    """

    areas: dict[str, Interval]
    pairs: tuple[PairedDifference, ...]
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "areas": {name: each.to_json() for name, each in self.areas.items()},
            "pairs": [pair.to_json() for pair in self.pairs],
            "p_value": self.p_value,
        }


def compare_aucs(
    labels: ArrayLike, scores: Mapping[str, ArrayLike], clusters: ArrayLike | None = None
) -> AucComparison:
    """Test whether areas under ROC curves differ.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    scores
        By model, each of shape ``(n,)``, or ``(seeds, n)``: then the mean of the seeds' areas is compared. What is
        tested is whether these very networks differ on other patches, not whether other seeds would.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.

    Returns
    -------
    AucComparison
        For independent patches by the covariance of DeLong et al. (1988), by clusters by the jackknife, which
        Obuchowski's (1997) covariance comes to for many clusters. Pairs by Student's t, all at once by Hotelling's
        T², so that few clusters do not look like many; Holm (1979) for the number of pairs.

    Raises
    ------
    DataError
        See `sentinode.metrics.auc.auc`.
    ConfigError
        Fewer than two models.

    Examples
    --------
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> found = compare_aucs(labels, {"a": [1, 2, 3, 5, 4, 6, 7, 8], "b": [1, 6, 3, 5, 4, 2, 7, 8]})
    >>> print(found.pairs[0].difference, round(found.pairs[0].p_value, 3))
    0.2500 (-0.2327–0.7327) 0.26
    """
    if len(scores) < 2:
        raise ConfigError(f"a comparison needs at least two models; got {len(scores)}")
    areas = {name: area_over_seeds(labels, each, clusters) for name, each in scores.items()}
    names = list(areas)
    pairs = [(first, second) for place, first in enumerate(names) for second in names[place + 1 :]]
    tested = [area_difference(areas[first], areas[second]) for first, second in pairs]
    corrected = holm([p_value for _, p_value in tested])
    return AucComparison(
        {name: each.interval() for name, each in areas.items()},
        tuple(
            PairedDifference(*pair, *found, p_holm)
            for pair, found, p_holm in zip(pairs, tested, corrected, strict=True)
        ),
        _all_equal(list(areas.values())),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979): the chance of any false alarm stays what it was.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(each) for each in corrected]


def auc_covariance(labels: ArrayLike, scores: Mapping[str, ArrayLike], clusters: ArrayLike | None = None) -> Floats:
    """Return the covariance of the models' areas: DeLong's (1988), or with clusters Obuchowski's (1997).

    With clusters it is what the literature reports; `compare_aucs` does not use it, because it is too small where
    clusters are few.

    Parameters
    ----------
    labels, scores, clusters
        See `compare_aucs`.

    Returns
    -------
    Floats
        Shape ``(models, models)``.

    Raises
    ------
    DataError
        See `sentinode.metrics.auc.auc`.

    Examples
    --------
    >>> auc_covariance([0, 0, 1, 1], {"a": [1, 3, 2, 4]}).round(4).tolist()
    [[0.125]]
    """
    areas = [area_over_seeds(labels, each, clusters) for each in scores.values()]
    if areas[0].codes is None:
        moved = np.array([each.displacements for each in areas])
        return moved @ moved.T
    truth, codes = areas[0].truth, areas[0].codes
    tumour, normal = (
        np.array([np.bincount(codes, each.influence * (truth == label)) for each in areas]) for label in (1, 0)
    )
    with_tumour, with_normal, all_clusters = len(set(codes[truth == 1])), len(set(codes[truth == 0])), codes.max() + 1
    mixed = tumour @ normal.T
    return (
        with_tumour / (with_tumour - 1) * tumour @ tumour.T
        + with_normal / (with_normal - 1) * normal @ normal.T
        + all_clusters / (all_clusters - 1) * (mixed + mixed.T)
    )


def area_difference(first: Area, second: Area) -> tuple[Interval, float]:
    """Return the first area minus the second, both on the same patches, and the p-value of no difference.

    Examples
    --------
    >>> from sentinode.metrics.auc import area
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> one, other = area(labels, [1, 2, 3, 5, 4, 6, 7, 8]), area(labels, [1, 6, 3, 5, 4, 2, 7, 8])
    >>> area_difference(one, other)[0].estimate
    0.25
    """
    estimate = first.estimate - second.estimate
    moved = first.displacements - second.displacements
    clusters = None if first.codes is None else int(first.codes.max()) + 1
    method = "paired DeLong, Student's t" if clusters is None else "paired jackknife over clusters, Student's t"
    found = limits(estimate, moved, "plain")
    if found:
        deviation = float(np.sqrt(moved @ moved))
        p_value = 2 * float(stdtr(degrees_of_freedom(moved), -abs(estimate) / deviation))
    elif np.array_equal(first.influence, second.influence) and np.any(first.influence):
        found, p_value, method = (0.0, 0.0), 1.0, "the same ranking of every tumour and normal patch"
    else:
        a, b = first.interval(), second.interval()
        low = estimate - np.hypot(first.estimate - a.low, b.high - second.estimate)
        high = estimate + np.hypot(a.high - first.estimate, second.estimate - b.low)
        found, p_value = (float(low), float(high)), 1.0 if low <= 0 <= high else 0.05
        method = "from the limits of both areas (MOVER): there is no paired variance"
    return Interval(estimate, *found, method, len(first.truth), clusters), p_value


def _all_equal(areas: list[Area]) -> float:
    """Return the p-value of Hotelling's T² for the differences to the first area."""
    differences = np.array([each.estimate - areas[0].estimate for each in areas[1:]])
    moved = np.array([each.displacements - areas[0].displacements for each in areas[1:]])
    if not np.all(np.isfinite(moved)):
        return 1.0
    covariance = moved @ moved.T
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    units = moved.shape[1] - 1
    if rank == 0 or units <= rank:
        return 1.0
    statistic = float(differences @ np.linalg.pinv(covariance, hermitian=True) @ differences)
    return float(fdtrc(rank, units - rank + 1, statistic * (units - rank + 1) / (units * rank)))
