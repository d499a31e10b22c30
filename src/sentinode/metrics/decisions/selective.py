"""Selective prediction: errors if the least confident patches are left to a person."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, logit, ndtri, stdtrit

from sentinode.metrics.checks import Floats, Integers, check_probabilities, check_share, cluster_codes, cluster_count
from sentinode.metrics.intervals.interval import LEVEL
from sentinode.metrics.intervals.jackknife import ROUNDING, degrees_of_freedom, displacements

_COVERAGES = 20  # Coverages that are tested: 5 %, 10 %, ..., 100 %.
_SMALLEST = 1e-12  # Probabilities are clipped to this distance from 0 and 1 for their logits.


@dataclass(frozen=True)
class RiskCoverage:
    """A risk-coverage curve.

    Attributes
    ----------
    coverage : ndarray of shape (k,)
        The share of patches that are predicted, the most confident first, in rising order up to 1. Patches of equal
        confidence are added together.
    risk : ndarray of shape (k,)
        The share of wrong predictions among them.
    aurc : float
        The area under the curve: the mean risk over all coverages.
    aurc_optimal : float
        The area if wrong predictions were the least confident ones.
    """

    coverage: Floats
    risk: Floats
    aurc: float
    aurc_optimal: float


def risk_coverage(labels: ArrayLike, probabilities: ArrayLike, threshold: float = 0.5) -> RiskCoverage:
    """Compute the risk-coverage curve [1]_ and the area under it [2]_.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, 0 to 1. The confidence of a prediction is the distance of its logit from that of the
        threshold.
    threshold : float, default 0.5
        Patches with at least this probability are predicted tumour.

    Returns
    -------
    RiskCoverage
        The curve.

    Raises
    ------
    DataError
        See `check_probabilities`.

    References
    ----------
    .. [1] El-Yaniv and Wiener (2010), On the foundations of noise-free selective classification, Journal of Machine
       Learning Research 11.
    .. [2] Geifman, Uziel and El-Yaniv (2019), Bias-reduced uncertainty estimation for deep neural classifiers, ICLR.

    Examples
    --------
    >>> found = risk_coverage([0, 0, 1, 1], [0.1, 0.6, 0.8, 0.99])
    >>> found.risk.tolist(), round(found.aurc, 4)
    ([0.0, 0.0, 0.0, 0.25], 0.0625)
    """
    wrong, confidence = _errors(labels, probabilities, threshold)
    ends, errors = _by_confidence(wrong, confidence)
    patches, total = len(wrong), int(errors[-1])
    starts, before = np.append(0, ends[:-1]), np.append(0.0, errors[:-1])
    # Errors within a tie are spread evenly, which is their mean over all orders.
    place = np.arange(1, patches + 1)
    block = np.searchsorted(ends, place)
    errors_up_to = before[block] + (place - starts[block]) * ((errors - before) / (ends - starts))[block]
    best = np.clip(place - (patches - total), 0, None) / place
    return RiskCoverage(ends / patches, errors / ends, float(np.mean(errors_up_to / place)), float(best.mean()))


@dataclass(frozen=True)
class CoverageAtRisk:
    """The share of patches that can be predicted with a bounded error rate.

    Attributes
    ----------
    risk : float
        The largest acceptable share of wrong predictions.
    coverage : float or None
        The share of patches that can be predicted; None if no coverage is shown to be safe enough.
    confidence : float or None
        The lowest confidence that is predicted: the distance of its logit from that of the threshold.
    patches, wrong : int
        The numbers of predicted patches and of wrong predictions among them.
    upper_limit : float or None
        The 95 % upper limit of the risk, over all coverages that were tested.
    clusters : int or None
        The number of clusters; None if patches are treated as independent.
    """

    risk: float
    coverage: float | None
    confidence: float | None
    patches: int
    wrong: int
    upper_limit: float | None
    clusters: int | None

    def __str__(self) -> str:
        if self.coverage is None:
            return f"an error rate of at most {100 * self.risk:g} %: not attainable"
        share = f"{100 * self.coverage:.1f} % of patches ({self.wrong:,} of {self.patches:,} wrong)"
        return f"an error rate of at most {100 * self.risk:g} %: {share}"


def coverage_at_risk(
    labels: ArrayLike,
    probabilities: ArrayLike,
    risk: float,
    threshold: float = 0.5,
    clusters: ArrayLike | None = None,
) -> CoverageAtRisk:
    """Compute the largest coverage whose risk is shown to be low enough.

    Twenty coverages are tested. One passes if the upper limit of its risk [1]_ is at most the given risk, at 95 %
    confidence shared among the twenty (after [2]_). For a risk of 1 % this takes 600 patches without an error.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, 0 to 1.
    risk : float
        The largest acceptable share of wrong predictions, between 0 and 1.
    threshold : float, default 0.5
        Patches with at least this probability are predicted tumour.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch; the number of patches is then replaced by the effective number. Without it
        patches are treated as independent.

    Returns
    -------
    CoverageAtRisk
        The coverage.

    Raises
    ------
    ConfigError
        The risk is not between 0 and 1.
    DataError
        See `check_probabilities`; or there is only one cluster.

    References
    ----------
    .. [1] Clopper and Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the binomial,
       Biometrika 26.
    .. [2] Geifman and El-Yaniv (2017), Selective classification for deep neural networks, NeurIPS 30.

    Examples
    --------
    >>> print(coverage_at_risk([0, 1] * 20, [0.1, 0.9] * 20, risk=0.01))
    an error rate of at most 1 %: not attainable
    >>> coverage_at_risk([0, 1] * 500, [0.1, 0.9] * 500, risk=0.01).coverage
    1.0
    """
    check_share(risk, "risk")
    wrong, confidence = _errors(labels, probabilities, threshold)
    codes = cluster_codes(clusters, len(wrong))
    ends, errors = _by_confidence(wrong, confidence)
    levels = np.sort(confidence)[::-1]
    steps = np.ceil(len(wrong) * np.arange(1, _COVERAGES + 1) / _COVERAGES)
    for end in ends[np.unique(np.searchsorted(ends, steps))][::-1]:
        count = int(errors[np.searchsorted(ends, end)])
        chosen = confidence >= levels[end - 1]
        limit = _upper_limit(wrong[chosen], None if codes is None else codes[chosen], (1 - LEVEL) / _COVERAGES)
        if limit <= risk:
            coverage, level = float(end / len(wrong)), float(levels[end - 1])
            return CoverageAtRisk(risk, coverage, level, int(end), count, limit, cluster_count(codes))
    return CoverageAtRisk(risk, None, None, 0, 0, None, cluster_count(codes))


def _upper_limit(wrong: Floats, codes: Integers | None, alpha: float) -> float:
    """Return the one-sided upper limit of a share, with clusters for the effective number of patches."""
    share, effective = float(wrong.mean()), float(len(wrong))
    if codes is not None:
        used = np.unique(codes, return_inverse=True)[1]
        counts = np.bincount(used)
        effective, freedom = float(len(wrong) ** 2 / (counts @ counts)), float(max(len(counts) - 1, 1))
        if 0 < share < 1 and len(counts) > 1:
            moved = displacements((wrong - share) / len(wrong), [np.ones(len(wrong))], used)
            if np.max(np.abs(moved)) > ROUNDING:
                effective = min(float(len(wrong)), share * (1 - share) / float(moved @ moved))
                freedom = degrees_of_freedom(moved)
        # The variance between clusters is estimated as well.
        effective *= float(ndtri(1 - alpha) / stdtrit(freedom, 1 - alpha)) ** 2
    if share == 1:
        return 1.0
    return float(betaincinv(share * effective + 1, (1 - share) * effective, 1 - alpha))


def _errors(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> tuple[Floats, Floats]:
    truth, probability = check_probabilities(labels, probabilities)
    wrong = ((probability >= threshold) != (truth == 1)).astype(np.float64)
    odds, at = (logit(np.clip(value, _SMALLEST, 1 - _SMALLEST)) for value in (probability, threshold))
    return wrong, np.round(np.abs(odds - at), 9)


def _by_confidence(wrong: Floats, confidence: Floats) -> tuple[Integers, Floats]:
    """Return the number of patches and of errors up to each distinct confidence, the highest first."""
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    return last + 1, np.cumsum(wrong[order])[last]
