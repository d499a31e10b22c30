"""Bootstrap distributions of areas and ROC curves over patches or slides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import DataError
from sentinode.metrics.checks import (
    Floats,
    Integers,
    check_both_classes,
    check_labels_and_scores,
    cluster_codes,
    cluster_count,
)
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import ROUNDING, TAIL
from sentinode.metrics.ranking.roc_auc import mean_area_over_seeds

DRAWS = 2000
_CHUNK_BYTES = 2**25


@dataclass(frozen=True)
class BootstrapAucs:
    """Areas under the ROC curves of several models on the same bootstrap samples.

    Attributes
    ----------
    names : tuple of str
        The models.
    areas : ndarray of shape (draws, models)
        The area on each bootstrap sample that has both classes.
    estimates : ndarray of shape (models,)
        The area on all patches.
    patches : int
        The number of patches.
    clusters : int or None
        The number of clusters; None if patches were drawn.
    """

    names: tuple[str, ...]
    areas: Floats
    estimates: Floats
    patches: int
    clusters: int | None

    def interval(self, name: str) -> Interval:
        """Compute the percentile interval of a model's area; it is too narrow for few clusters."""
        index = self.names.index(name)
        return self._limits(self.areas[:, index], self.estimates[index])

    def difference(self, first: str, second: str) -> Interval:
        """Compute the percentile interval of the first model's area minus the second's.

        Parameters
        ----------
        first, second : str
            Names of two models.

        Returns
        -------
        Interval
        """
        a, b = self.names.index(first), self.names.index(second)
        return self._limits(self.areas[:, a] - self.areas[:, b], self.estimates[a] - self.estimates[b])

    def p_value(self, first: str, second: str) -> float:
        """Compute the two-sided p-value of equal areas [1]_; it is at least 2 / (draws + 1).

        Parameters
        ----------
        first, second : str
            Names of two models.

        Returns
        -------
        float

        References
        ----------
        .. [1] Davison and Hinkley (1997), Bootstrap methods and their application.
        """
        drawn = self.areas[:, self.names.index(first)] - self.areas[:, self.names.index(second)]
        # Draws equal to 0 up to rounding are on both sides.
        beyond = min(int(np.sum(drawn <= ROUNDING)), int(np.sum(drawn >= -ROUNDING)))
        return min(1.0, 2 * (1 + beyond) / (1 + len(drawn)))

    def _limits(self, drawn: Floats, estimate: float) -> Interval:
        low, high = np.quantile(drawn, [1 - TAIL, TAIL])
        units = "patches" if self.clusters is None else "clusters"
        method = f"percentiles of {len(drawn)} bootstrap samples of {units}"
        return Interval(float(estimate), float(low), float(high), method, self.patches, self.clusters)


def bootstrap_aucs(
    labels: ArrayLike,
    scores: Mapping[str, ArrayLike],
    clusters: ArrayLike | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> BootstrapAucs:
    """Compute each model's area under the ROC curve on bootstrap samples of the patches.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : mapping of str to array-like of shape (n,) or (seeds, n)
        The scores of each model, or one row for each seed; then the mean area of the seeds is taken.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Whole clusters are drawn if it is given, otherwise patches.
    draws : int, default 2000
        The number of bootstrap samples.
    seed : int, default 0
        The seed of the random draws.

    Returns
    -------
    BootstrapAucs
        The areas.

    Raises
    ------
    DataError
        See `auc`; or no bootstrap sample has both classes.

    Examples
    --------
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> found = bootstrap_aucs(labels, {"a": [1, 2, 3, 5, 4, 6, 7, 8], "b": [1, 6, 3, 5, 4, 2, 7, 8]}, seed=1)
    >>> found.difference("a", "b").estimate
    0.25
    """
    estimates = np.array([mean_area_over_seeds(labels, each, clusters).estimate for each in scores.values()])
    truth = np.asarray(labels)
    codes = cluster_codes(clusters, len(truth))
    ranked = [[_Sorted.of(truth, row) for row in np.atleast_2d(np.asarray(each))] for each in scores.values()]
    chunks = [
        np.column_stack([np.mean([row.areas(weights) for row in rows], axis=0) for rows in ranked])
        for weights in _weights(codes, len(truth), draws, seed)
    ]
    drawn = np.concatenate(chunks)
    drawn = drawn[np.isfinite(drawn).all(1)]
    _check_any(len(drawn), draws)
    return BootstrapAucs(tuple(scores), drawn, estimates, len(truth), cluster_count(codes))


@dataclass(frozen=True)
class RocBand:
    """A pointwise 95 % confidence band of a ROC curve.

    Attributes
    ----------
    false_positive_rate : ndarray of shape (k,)
        Rates from 0 to 1.
    low, high : ndarray of shape (k,)
        Limits of the true positive rate at each of them.
    """

    false_positive_rate: Floats
    low: Floats
    high: Floats


def roc_band(
    labels: ArrayLike,
    scores: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    points: int = 101,
    draws: int = 500,
    seed: int = 0,
) -> RocBand:
    """Compute a pointwise confidence band of the ROC curve by the bootstrap.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Finite scores; higher means more probably 1.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Whole clusters are drawn if it is given, otherwise patches.
    points : int, default 101
        The number of false positive rates, equally spaced from 0 to 1.
    draws : int, default 500
        The number of bootstrap samples.
    seed : int, default 0
        The seed of the random draws.

    Returns
    -------
    RocBand
        The 2.5 % and 97.5 % percentiles of the true positive rate at each false positive rate.

    Raises
    ------
    DataError
        See `roc_curve`; or no bootstrap sample has both classes.

    Examples
    --------
    >>> band = roc_band([0, 0, 1, 1] * 25, [0.1, 0.4, 0.35, 0.8] * 25, points=3)
    >>> band.false_positive_rate.tolist(), bool((band.low <= band.high).all())
    ([0.0, 0.5, 1.0], True)
    """
    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "a ROC curve")
    codes, order = cluster_codes(clusters, len(truth)), np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # The last patch of each distinct score.
    tumour, grid = truth[order].astype(np.float64), np.linspace(0, 1, points)
    rates = []
    for weights in (row[order] for chunk in _weights(codes, len(truth), draws, seed) for row in chunk):
        true, false = np.cumsum(weights * tumour)[last], np.cumsum(weights * (1 - tumour))[last]
        if true[-1] and false[-1]:
            rates.append(np.interp(grid, np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])))
    _check_any(len(rates), draws)
    low, high = np.quantile(rates, [1 - TAIL, TAIL], axis=0)
    return RocBand(grid, low, high)


def _check_any(usable: int, draws: int) -> None:
    if not usable:
        raise DataError(
            f"none of {draws} bootstrap samples has both classes: too few clusters have tumour or normal patches"
        )


def _weights(codes: Integers | None, n: int, draws: int, seed: int) -> Iterator[Floats]:
    """Yield chunks of bootstrap samples: how often each patch was drawn, shape ``(rows, n)``."""
    rng, units = np.random.default_rng(seed), n if codes is None else int(codes.max()) + 1
    rows = max(1, _CHUNK_BYTES // (8 * n))
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        picked = rng.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
        times = np.bincount(picked.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
        yield times if codes is None else times[:, codes]


@dataclass(frozen=True)
class _Sorted:
    """The rank of each tumour patch among the normal ones, so that a draw needs sums but no sorting."""

    tumour: Integers  # Positions of tumour patches.
    normal: Integers  # Positions of normal patches, by score.
    below: Integers  # For each tumour patch the number of normal ones with a lower score,
    up_to: Integers  # and with at most its score.

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike) -> "_Sorted":
        truth, score = np.asarray(labels), np.asarray(scores, dtype=np.float64)
        tumour, normal = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
        normal = normal[np.argsort(score[normal], kind="stable")]
        sides = (np.searchsorted(score[normal], score[tumour], side=side) for side in ("left", "right"))
        return cls(tumour, normal, *sides)

    def areas(self, weights: Floats) -> Floats:
        """Return the area for each row of weights."""
        normal = np.zeros((len(weights), len(self.normal) + 1))
        np.cumsum(weights[:, self.normal], axis=1, out=normal[:, 1:])
        tumour = weights[:, self.tumour]
        won = np.einsum("ij,ij->i", tumour, normal[:, self.below])
        if not np.array_equal(self.below, self.up_to):
            won = (won + np.einsum("ij,ij->i", tumour, normal[:, self.up_to])) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return won / (tumour.sum(1) * normal[:, -1])
