"""Calibration over all patches: Brier score and recalibration line."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from sentinode.metrics.checks import (
    Floats,
    Integers,
    check_both_classes,
    check_probabilities,
    cluster_codes,
    cluster_count,
)
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import displacements, limits
from sentinode.metrics.intervals.proportions import wilson

_SMALLEST = 1e-12  # Probabilities are clipped to this distance from 0 and 1 for their logits.
_STEPS = 100
_REFITS = 200  # With more clusters the first Newton step is accurate enough.
_REFIT_STEPS = 2


@dataclass(frozen=True)
class BrierScore:
    """A Brier score and its decomposition: score = miscalibration - discrimination + uncertainty.

    Attributes
    ----------
    score : Interval
        The mean squared difference of probability and label: 0 for perfect predictions, 0.25 for constant 0.5.
    miscalibration : float
        The part that recalibration could remove.
    discrimination : float
        The part that the ranking removes.
    uncertainty : float
        The score if every probability were the prevalence.
    """

    score: Interval
    miscalibration: float
    discrimination: float
    uncertainty: float


def brier_score(labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None) -> BrierScore:
    """Compute the Brier score [1]_ with its interval and decomposition.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, 0 to 1.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    BrierScore
        The score. It is decomposed by isotonic regression (CORP [2]_), which is exact and needs no bins. In small
        samples the regression overfits, so miscalibration is above 0 for perfect probabilities too.

    Raises
    ------
    DataError
        See `check_probabilities`; or there is only one cluster.

    References
    ----------
    .. [1] Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78.
    .. [2] Dimitriadis, Gneiting and Jordan (2021), Stable reliability diagrams for probabilistic classifiers, PNAS 118.

    Examples
    --------
    >>> found = brier_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
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
    method = f"mean loss{'' if codes is None else ', jackknife over clusters'}, logit scale, Student's t"
    if found is None:
        units = float(cluster_count(codes) or patches)
        found, method = wilson(estimate * units, units), "Wilson, because all losses are equal"
    _, which, times = np.unique(probability, return_inverse=True, return_counts=True)
    best = isotonic_regression(np.bincount(which, truth) / times, sample_weight=times.astype(np.float64))
    recalibrated, uncertainty = float(np.mean((best[which] - truth) ** 2)), share * (1 - share)
    score = Interval(estimate, *found, method, patches, cluster_count(codes))
    return BrierScore(score, estimate - recalibrated, uncertainty - recalibrated, uncertainty)


@dataclass(frozen=True)
class RecalibrationLine:
    """The linear recalibration of logits.

    Attributes
    ----------
    slope : Interval or None
        1 for a calibrated model, below 1 for an overconfident one. None if there is no finite slope: the probabilities
        separate the classes or are all equal, or one cluster holds a whole class.
    intercept : Interval
        What to add to the logits so that as much tumour is expected as there is (calibration in the large): above 0 if
        the model predicts too little.
    """

    slope: Interval | None
    intercept: Interval


def recalibration_line(
    labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None
) -> RecalibrationLine:
    """Regress labels on logits by logistic regression [1]_ [2]_.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, clipped to 1e-12 from 0 and 1.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.

    Returns
    -------
    RecalibrationLine
        Slope, and intercept with the slope fixed at 1. Limits are those of the jackknife: one Newton step without each
        patch or cluster, two more for up to 200 clusters, where one step is too small.

    Raises
    ------
    DataError
        Only one class or one cluster is present; see also `check_probabilities`.

    References
    ----------
    .. [1] Cox (1958), Two further applications of a model for binary regression, Biometrika 45.
    .. [2] Van Calster et al. (2019), Calibration: the Achilles heel of predictive analytics, BMC Medicine 17.

    Examples
    --------
    >>> line = recalibration_line([0, 0, 0, 1] * 50 + [0, 1, 1, 1] * 50, [0.1] * 200 + [0.9] * 200)
    >>> round(line.slope.estimate, 3), abs(round(line.intercept.estimate, 3))
    (0.5, 0.0)
    """
    truth, probability = check_probabilities(labels, probabilities)
    check_both_classes(truth, "a recalibration line")
    codes = cluster_codes(clusters, len(truth))
    odds = logit(np.clip(probability, _SMALLEST, 1 - _SMALLEST))
    ones = np.ones((len(odds), 1))
    intercept = _fit(truth, ones, odds, codes)
    assert intercept  # With both classes there always is one.
    apart = odds[truth == 1].min() >= odds[truth == 0].max() or odds[truth == 1].max() <= odds[truth == 0].min()
    slope = None if apart else _fit(truth, np.column_stack([odds - odds.mean(), ones]), np.zeros(len(odds)), codes)
    return RecalibrationLine(slope, intercept)


def _fit(truth: Integers, columns: Floats, offset: Floats, codes: Integers | None) -> Interval | None:
    """Return the first coefficient of a logistic regression with its limits, by damped Newton steps."""
    found = np.zeros(columns.shape[1])

    def loss(at: Floats) -> float:
        line = columns @ at + offset
        return float(np.sum(np.logaddexp(0, line) - truth * line))

    now = loss(found)
    for _ in range(_STEPS):
        expected = expit(columns @ found + offset)
        slope = columns.T @ (truth - expected)
        hessian = (columns * (expected * (1 - expected))[:, None]).T @ columns
        step = np.linalg.lstsq(hessian, slope, rcond=None)[0]
        step *= min(1.0, 5 / max(np.max(np.abs(step)), 1e-300))
        while loss(found + step) > now + 1e-9 * (1 + now) and np.max(np.abs(step)) > 1e-12:
            step /= 2
        found, now = found + step, loss(found + step)
        if np.max(np.abs(step)) < 1e-10:
            break
    moved = _displacements(truth, columns, offset, codes, found)
    limited = limits(float(found[0]), moved, "plain")
    method = f"logistic regression, jackknife{'' if codes is None else ' over clusters'}, Student's t"
    if limited is None:
        if columns.shape[1] > 1:
            return None
        limited, method = (-np.inf, np.inf), "no limits: one patch or cluster holds a whole class"
    return Interval(float(found[0]), *limited, method, len(truth), cluster_count(codes))


def _displacements(truth: Integers, columns: Floats, offset: Floats, codes: Integers | None, found: Floats) -> Floats:
    """Return how far each patch or cluster moves the first coefficient: by a Newton step, for few clusters a refit."""
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
