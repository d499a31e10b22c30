"""Decision curves: the net benefit of acting on predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import ConfigError
from sentinode.metrics.checks import (
    Floats,
    Integers,
    check_both_classes,
    check_probabilities,
    check_share,
    cluster_codes,
    cluster_count,
)
from sentinode.metrics.intervals.jackknife import displacements, limits

THRESHOLDS = tuple(round(each / 100, 2) for each in range(1, 100))


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit by threshold.

    Attributes
    ----------
    thresholds : ndarray of shape (k,)
        Probabilities from which one would act. Each implies how many false positives are worth one true positive.
    net_benefit, low, high : ndarray of shape (k,)
        True positives per patch, minus false positives weighted by the odds of the threshold, with pointwise 95 %
        limits.
    treat_all : ndarray of shape (k,)
        The net benefit of predicting tumour for every patch. That of predicting none is 0.
    prevalence : float
        The share of tumour that the curve holds for.
    patches : int
        The number of patches.
    clusters : int or None
        The number of clusters; None if patches are treated as independent.
    """

    thresholds: Floats
    net_benefit: Floats
    low: Floats
    high: Floats
    treat_all: Floats
    prevalence: float
    patches: int
    clusters: int | None


def decision_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    clusters: ArrayLike | None = None,
    prevalence: float | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> DecisionCurve:
    """Compute the net benefit at many thresholds [1]_.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, calibrated for the prevalence.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.
    prevalence : float, optional
        The share of tumour where one would act. By default that of the patches.
    thresholds : sequence of float, default 0.01, 0.02, ..., 0.99
        Probabilities between 0 and 1.

    Returns
    -------
    DecisionCurve
        The curve.

    Raises
    ------
    ConfigError
        The prevalence or a threshold is not between 0 and 1.
    DataError
        A prevalence is given and only one class is present; see also `check_probabilities`.

    References
    ----------
    .. [1] Vickers and Elkin (2006), Decision curve analysis: a novel method for evaluating prediction models, Medical
       Decision Making 26.

    Examples
    --------
    >>> found = decision_curve([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], thresholds=[0.5])
    >>> found.net_benefit.tolist(), found.treat_all.tolist()
    ([0.25], [0.0])
    """
    at = np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1 or not len(at) or not np.all((at > 0) & (at < 1)):
        raise ConfigError("a decision curve needs one or more thresholds, each above 0 and below 1")
    truth, probability = check_probabilities(labels, probabilities)
    if prevalence is not None:
        check_share(prevalence, "prevalence")
        check_both_classes(truth, "a decision curve at a given prevalence")
    codes = cluster_codes(clusters, len(truth))
    share = float(truth.mean()) if prevalence is None else prevalence
    odds = at / (1 - at)
    found = [
        _net_benefit(truth, (probability >= threshold).astype(np.float64), codes, prevalence, float(price))
        for threshold, price in zip(at, odds, strict=True)
    ]
    benefit, low, high = (np.array(each) for each in zip(*found, strict=True))
    treat_all = share - (1 - share) * odds
    return DecisionCurve(at, benefit, low, high, treat_all, share, len(truth), cluster_count(codes))


def _net_benefit(
    truth: Integers, predicted: Floats, codes: Integers | None, prevalence: float | None, price: float
) -> tuple[float, float, float]:
    worth = np.where(truth == 1, predicted, -price * predicted)
    if prevalence is None:
        parts = [(np.ones(len(truth)), 1.0)]
    else:
        parts = [((truth == 1).astype(np.float64), prevalence), ((truth == 0).astype(np.float64), 1 - prevalence)]
    estimate, influence = 0.0, np.zeros(len(truth))
    for part, weight in parts:
        mean = float((worth * part).sum() / part.sum())
        estimate += weight * mean
        influence += weight * part * (worth - mean) / part.sum()
    moved = displacements(influence, [part for part, _ in parts], codes)
    found = limits(estimate, moved, "plain")
    if found is None:  # All the same, or one patch or cluster holds a whole class: then nothing is known of the error.
        found = (estimate, estimate) if np.all(np.isfinite(moved)) else (-price, 1.0)
    return estimate, *found
