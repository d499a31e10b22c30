"""Whether probabilities come true, over all patches: the Brier score and the recalibration line."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from sentinode.metrics.checks import Floats, Integers, check_both_classes, check_probabilities, cluster_codes
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import displacements, limits
from sentinode.metrics.proportions import wilson

_SUREST = 1e-12  # Log-odds of 0 and 1 are those of this and of its complement.
_STEPS = 100
_REFITS = 200  # Clusters: with more the first step is as good.
_REFIT_STEPS = 2


@dataclass(frozen=True)
class Brier:
    """The mean squared distance of probability and label, and what it is made of.

    Attributes
    ----------
    score
        0 for certainty that is always right, 0.25 for one half throughout.
    miscalibration
        How much of it recalibration could take away.
    discrimination
        How much the ranking takes away from `uncertainty`.
    uncertainty
        The score of the prevalence as everyone's probability. Score = miscalibration − discrimination + uncertainty.
    """

    score: Interval
    miscalibration: float
    discrimination: float
    uncertainty: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**self.__dict__, "score": self.score.to_json()}


def brier(labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None) -> Brier:
    """Return the Brier (1950) score with its interval and its decomposition.

    The decomposition is that by isotonic regression (CORP: Dimitriadis, Gneiting and Jordan 2021), which adds up
    exactly and needs no bins. In small samples the regression follows chance, and miscalibration is above 0 for
    perfect probabilities too.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    probabilities
        0 to 1, shape ``(n,)``.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.

    Raises
    ------
    DataError
        See `check_probabilities`; clusters that do not fit.

    Examples
    --------
    >>> found = brier([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> round(found.score.estimate, 4), found.uncertainty
    (0.1581, 0.25)
    """
    from sklearn.isotonic import isotonic_regression  # Slow to import.

    truth, probability = check_probabilities(labels, probabilities)
    codes, patches = cluster_codes(clusters, len(truth)), len(truth)
    loss = (probability - truth) ** 2
    estimate, share = float(loss.mean()), float(truth.mean())
    moved = displacements((loss - estimate) / patches, [np.ones(patches)], codes)
    found = limits(estimate, moved, "logit", kind="delta" if codes is None else "delete")
    method = f"mean of patches' losses{'' if codes is None else ', jackknife over clusters'}, logit scale, Student's t"
    clusters_found = None if codes is None else int(codes.max()) + 1
    if found is None:
        units = float(clusters_found or patches)
        found, method = wilson(estimate * units, units), "Wilson, all losses being the same"
    _, which, times = np.unique(probability, return_inverse=True, return_counts=True)
    best = isotonic_regression(np.bincount(which, truth) / times, sample_weight=times.astype(np.float64))
    recalibrated, uncertainty = float(np.mean((best[which] - truth) ** 2)), share * (1 - share)
    score = Interval(estimate, *found, method, patches, clusters_found)
    return Brier(score, estimate - recalibrated, uncertainty - recalibrated, uncertainty)


@dataclass(frozen=True)
class RecalibrationLine:
    """What would have to be done to the log-odds.

    Attributes
    ----------
    slope
        1 when probabilities are as far apart as they should be, below 1 when they are too sure; None where the
        probabilities separate the classes without exception, so that no slope is steep enough, or are all the same, or
        one cluster holds all of a class.
    intercept
        What is to be added to the log-odds as they are, so that as much tumour is expected as there is (calibration in
        the large): above 0 when too little is.
    """

    slope: Interval | None
    intercept: Interval

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"slope": self.slope.to_json() if self.slope else None, "intercept": self.intercept.to_json()}


def recalibration_line(
    labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None
) -> RecalibrationLine:
    """Fit labels on log-odds by logistic regression (Cox 1958; Van Calster et al. 2019).

    The intercept is fitted with the slope held at 1. Limits by the jackknife: by Newton's step without each patch
    or cluster, and for up to 200 clusters by two more, since the step alone falls short where clusters are few.

    Parameters
    ----------
    labels, probabilities, clusters
        See `brier`. Probabilities of 0 and 1 count as 1e-12 away from it.

    Raises
    ------
    DataError
        One class only, else see `brier`.

    Examples
    --------
    >>> line = recalibration_line([0, 0, 0, 1] * 50 + [0, 1, 1, 1] * 50, [0.1] * 200 + [0.9] * 200)
    >>> round(line.slope.estimate, 3), abs(round(line.intercept.estimate, 3))
    (0.5, 0.0)
    """
    truth, probability = check_probabilities(labels, probabilities)
    check_both_classes(truth, "a recalibration line")
    codes = cluster_codes(clusters, len(truth))
    odds = logit(np.clip(probability, _SUREST, 1 - _SUREST))
    ones = np.ones((len(odds), 1))
    intercept = _fit(truth, ones, odds, codes)
    assert intercept  # With both classes there always is one.
    apart = odds[truth == 1].min() >= odds[truth == 0].max() or odds[truth == 1].max() <= odds[truth == 0].min()
    slope = None if apart else _fit(truth, np.column_stack([odds - odds.mean(), ones]), np.zeros(len(odds)), codes)
    return RecalibrationLine(slope, intercept)


def _fit(truth: Integers, columns: Floats, offset: Floats, codes: Integers | None) -> Interval | None:
    """Return the first coefficient of a logistic regression with its limits, by Newton's method with halved steps."""
    found = np.zeros(columns.shape[1])

    def surprise(at: Floats) -> float:
        line = columns @ at + offset
        return float(np.sum(np.logaddexp(0, line) - truth * line))

    now = surprise(found)
    for _ in range(_STEPS):
        expected = expit(columns @ found + offset)
        slope = columns.T @ (truth - expected)
        hessian = (columns * (expected * (1 - expected))[:, None]).T @ columns
        step = np.linalg.lstsq(hessian, slope, rcond=None)[0]
        step *= min(1.0, 5 / max(np.max(np.abs(step)), 1e-300))
        while surprise(found + step) > now + 1e-9 * (1 + now) and np.max(np.abs(step)) > 1e-12:
            step /= 2
        found, now = found + step, surprise(found + step)
        if np.max(np.abs(step)) < 1e-10:
            break
    moved = _displacements(truth, columns, offset, codes, found)
    limited = limits(float(found[0]), moved, "plain")
    method = f"logistic regression, jackknife{'' if codes is None else ' over clusters'}, Student's t"
    if limited is None:
        if columns.shape[1] > 1:
            return None
        limited, method = (-np.inf, np.inf), "no limits: one patch or cluster holds all of a class"
    return Interval(float(found[0]), *limited, method, len(truth), None if codes is None else int(codes.max()) + 1)


def _displacements(truth: Integers, columns: Floats, offset: Floats, codes: Integers | None, found: Floats) -> Floats:
    """Return how far the first coefficient moves by each patch or cluster: a Newton step, or for few clusters a fit."""
    expected = expit(columns @ found + offset)
    slopes = columns * (truth - expected)[:, None]
    hessians = columns[:, :, None] * columns[:, None, :] * (expected * (1 - expected))[:, None, None]
    whole = hessians.sum(0)
    if codes is not None:
        slopes, hessians = _sums(slopes, codes), _sums(hessians, codes)
    left = whole - hessians
    alone = np.linalg.det(left) <= 1e-12 * np.linalg.det(whole)
    left[alone] = whole
    steps = np.linalg.solve(left, slopes[:, :, None])[:, :, 0]
    if codes is not None and len(steps) <= _REFITS:
        for cluster, step in enumerate(steps):
            rest = codes != cluster
            alone[cluster] |= truth[rest].min() == truth[rest].max()
            for _ in range(_REFIT_STEPS):
                expected = expit(columns[rest] @ (found - step) + offset[rest])
                hessian = (columns[rest] * (expected * (1 - expected))[:, None]).T @ columns[rest]
                more = np.linalg.lstsq(hessian, columns[rest].T @ (truth[rest] - expected), rcond=None)[0]
                step -= more * min(1.0, 1 / max(float(np.max(np.abs(more))), 1e-300))
    return np.asarray(np.where(alone, np.inf, steps[:, 0]), dtype=np.float64)


def _sums(values: Floats, codes: Integers) -> Floats:
    flat = values.reshape(len(values), -1)
    sums = np.column_stack([np.bincount(codes, column) for column in flat.T]).astype(np.float64)
    return sums.reshape(-1, *values.shape[1:])
