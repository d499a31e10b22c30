"""What areas would have been with other patches, or other slides, drawn from these."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import DataError
from sentinode.metrics.auc import area_over_seeds
from sentinode.metrics.checks import Floats, Integers, check_labels_and_scores, cluster_codes
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import TAIL

REPLICATES = 2000
_CHUNK_BYTES = 2**25


@dataclass(frozen=True)
class BootstrapAucs:
    """Areas of several models, each time on the same patches drawn with replacement.

    Attributes
    ----------
    names
        The models.
    areas
        float64, shape ``(replicates, models)``; without draws of one class only.
    estimates
        The areas on all patches, shape ``(models,)``.
    patches, clusters
        How many there are; clusters None where patches were drawn.
    """

    names: tuple[str, ...]
    areas: Floats
    estimates: Floats
    patches: int
    clusters: int | None

    def interval(self, name: str) -> Interval:
        """Return a model's area with percentile limits, which are too narrow for few clusters: see `auc`."""
        return self._limits(self.areas[:, self.names.index(name)], self.estimates[self.names.index(name)])

    def difference(self, first: str, second: str) -> Interval:
        """Return the first model's area minus the second's, with percentile limits."""
        a, b = self.names.index(first), self.names.index(second)
        return self._limits(self.areas[:, a] - self.areas[:, b], self.estimates[a] - self.estimates[b])

    def p_value(self, first: str, second: str) -> float:
        """Return the two-sided p-value of no difference: twice the share of draws beyond 0 (Davison and Hinkley 1997).

        It is not below two in the number of draws.
        """
        drawn = self.areas[:, self.names.index(first)] - self.areas[:, self.names.index(second)]
        beyond = min(int(np.sum(drawn <= 0)), int(np.sum(drawn >= 0)))
        return min(1.0, 2 * (1 + beyond) / (1 + len(drawn)))

    def _limits(self, drawn: Floats, estimate: float) -> Interval:
        low, high = np.quantile(drawn, [1 - TAIL, TAIL])
        method = f"percentiles of {len(drawn)} bootstrap draws of {'patches' if self.clusters is None else 'clusters'}"
        return Interval(float(estimate), float(low), float(high), method, self.patches, self.clusters)


def bootstrap_aucs(
    labels: ArrayLike,
    scores: Mapping[str, ArrayLike],
    clusters: ArrayLike | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> BootstrapAucs:
    """Draw patches, or whole clusters, with replacement, and measure each model's area on every draw.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    scores
        By model, each of shape ``(n,)``, or ``(seeds, n)``: then the mean of the seeds' areas is taken.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches are drawn.
    replicates
        How many draws.
    seed
        The same seed gives the same draws.

    Raises
    ------
    DataError
        See `sentinode.metrics.auc.auc`; or no draw has both classes.

    Examples
    --------
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> drawn = bootstrap_aucs(labels, {"a": [1, 2, 3, 5, 4, 6, 7, 8], "b": [1, 6, 3, 5, 4, 2, 7, 8]}, seed=1)
    >>> drawn.difference("a", "b").estimate
    0.25
    """
    estimates = np.array([area_over_seeds(labels, each, clusters).estimate for each in scores.values()])
    truth = np.asarray(labels)
    codes = cluster_codes(clusters, len(truth))
    ranked = [[_Sorted.of(truth, row) for row in np.atleast_2d(np.asarray(each))] for each in scores.values()]
    at_once = max(1, _CHUNK_BYTES // (8 * len(truth)))
    draws = _draws(codes, len(truth), replicates, at_once, seed)
    drawn = np.concatenate(
        [np.column_stack([np.mean([row.areas(times) for row in rows], axis=0) for rows in ranked]) for times in draws]
    )
    drawn = drawn[np.isfinite(drawn).all(1)]
    if len(drawn) == 0:
        raise DataError(f"none of {replicates} draws has both classes: too few clusters have tumour or normal patches")
    return BootstrapAucs(tuple(scores), drawn, estimates, len(truth), None if codes is None else int(codes.max()) + 1)


def weighted_auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> float:
    """Return the area under the ROC curve where each patch counts as many times as its weight says.

    Parameters
    ----------
    labels, scores
        See `sentinode.metrics.auc.auc`.
    weights
        Not below 0, shape ``(n,)``.

    Examples
    --------
    >>> weighted_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [1, 2, 1, 1])
    0.6666666666666666
    """
    truth, score = check_labels_and_scores(labels, scores)
    return float(_Sorted.of(truth, score).areas(np.asarray(weights, dtype=np.float64)[None])[0])


def _draws(codes: Integers | None, patches: int, replicates: int, rows: int, seed: int) -> Iterator[Floats]:
    """Yield how often each patch is drawn, shape ``(rows, n)``."""
    rng = np.random.default_rng(seed)
    units = patches if codes is None else int(codes.max()) + 1
    for start in range(0, replicates, rows):
        count = min(rows, replicates - start)
        picked = rng.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
        times = np.bincount(picked.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
        yield times if codes is None else times[:, codes]


@dataclass(frozen=True)
class _Sorted:
    """Where each tumour patch stands among the normal ones, so that a draw needs sums and no sorting."""

    tumour: Integers  # Positions of tumour patches.
    normal: Integers  # Positions of normal patches, by score.
    below: Integers  # For each tumour patch: how many normal ones are below it,
    up_to: Integers  # and how many are not above it.

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike) -> "_Sorted":
        truth, score = np.asarray(labels), np.asarray(scores, dtype=np.float64)
        tumour, normal = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
        normal = normal[np.argsort(score[normal], kind="stable")]
        sides = (np.searchsorted(score[normal], score[tumour], side=side) for side in ("left", "right"))
        return cls(tumour, normal, *sides)

    def areas(self, weights: Floats) -> Floats:
        """Return the area under each row of weights."""
        normal = np.zeros((len(weights), len(self.normal) + 1))
        np.cumsum(weights[:, self.normal], axis=1, out=normal[:, 1:])
        tumour = weights[:, self.tumour]
        won = np.einsum("ij,ij->i", tumour, normal[:, self.below])
        if not np.array_equal(self.below, self.up_to):
            won = (won + np.einsum("ij,ij->i", tumour, normal[:, self.up_to])) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return won / (tumour.sum(1) * normal[:, -1])
