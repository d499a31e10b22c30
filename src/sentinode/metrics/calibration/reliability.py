"""Calibration in bins: the reliability curve and the expected calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from sentinode.metrics.checks import Floats, check_probabilities, cluster_codes, cluster_count
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import ROUNDING
from sentinode.metrics.intervals.proportions import proportion

BINS = 15


@dataclass(frozen=True)
class CalibrationError:
    """The expected calibration error with its distribution under perfect calibration.

    Attributes
    ----------
    estimate : float
        The mean distance between probability and frequency over bins of equal size, debiased.
    expected_if_calibrated, q95_if_calibrated : float
        The mean and the 95 % quantile of the error if the model were perfectly calibrated.
    p_value : float
        The p-value of perfect calibration.
    bins, patches : int
        The numbers of bins and patches.
    clusters : int or None
        The number of clusters; None if patches are treated as independent.
    """

    estimate: float
    expected_if_calibrated: float
    q95_if_calibrated: float
    p_value: float
    bins: int
    patches: int
    clusters: int | None


def calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    clusters: ArrayLike | None = None,
    bins: int = BINS,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> CalibrationError:
    """Compute the expected calibration error and test for perfect calibration.

    The error has no confidence interval: it cannot be negative, so a bootstrap of it is biased upward. Instead it is
    compared with its distribution under perfect calibration.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, 0 to 1.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.
    bins : int, default 15
        The number of bins with equal numbers of patches; fewer, and less equal ones, where probabilities are equal.
    draws : int, default 1000
        The number of draws from the distribution under perfect calibration.
    seed : int, default 0
        The seed of these draws.

    Returns
    -------
    CalibrationError
        The error, debiased after [1]_. Draws under perfect calibration are labels drawn from the probabilities
        (consistency resampling [2]_); with clusters, residuals of whole clusters with random signs (wild cluster
        bootstrap [3]_).

    Raises
    ------
    DataError
        See `check_probabilities`; or there is only one cluster.

    References
    ----------
    .. [1] Kumar, Liang and Ma (2019), Verified uncertainty calibration, NeurIPS 32.
    .. [2] Bröcker and Smith (2007), Increasing the reliability of reliability diagrams, Weather and Forecasting 22.
    .. [3] Cameron, Gelbach and Miller (2008), Bootstrap-based improvements for inference with clustered errors,
       Review of Economics and Statistics 90.

    Examples
    --------
    >>> found = calibration_error([0] * 500 + [1] * 500, [0.25] * 1000, bins=1)
    >>> round(found.estimate, 3), round(found.q95_if_calibrated, 3), round(found.p_value, 3)
    (0.25, 0.026, 0.001)
    """
    truth, probability = check_probabilities(labels, probabilities)
    codes = cluster_codes(clusters, len(truth))
    parts = _bins(probability, bins)
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    means = np.array([probability[part].mean() for part in parts])
    estimate = float(_debiased(np.array([[truth[part].mean() for part in parts]]), means, sizes)[0])
    rng = np.random.default_rng(seed)
    if codes is None:
        frequencies = np.column_stack([_drawn_frequency(probability[part], draws, rng) for part in parts])
    else:
        residuals = np.array([np.bincount(codes[part], (truth - probability)[part], codes.max() + 1) for part in parts])
        signs = rng.integers(0, 2, (draws, residuals.shape[1])) * 2.0 - 1
        frequencies = np.clip(means + signs @ residuals.T / sizes, 0, 1)
    drawn = _debiased(frequencies, means, sizes)
    return CalibrationError(
        estimate,
        float(drawn.mean()),
        float(np.quantile(drawn, 0.95)),
        # With few clusters many draws equal the estimate up to rounding.
        float((1 + np.sum(drawn >= estimate - ROUNDING)) / (1 + draws)),
        len(parts),
        len(truth),
        cluster_count(codes),
    )


@dataclass(frozen=True)
class ReliabilityPoint:
    """One bin of a reliability curve.

    Attributes
    ----------
    probability : float
        The mean probability of its patches.
    frequency : Interval
        The share of tumour among them.
    """

    probability: float
    frequency: Interval


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None, bins: int = BINS
) -> list[ReliabilityPoint]:
    """Compute the share of tumour by probability, in bins with equal numbers of patches.

    Parameters
    ----------
    labels : array-like of shape (n,)
    probabilities : array-like of shape (n,)
    clusters : array-like of shape (n,), optional
    bins : int, default 15
        See `calibration_error`.

    Returns
    -------
    list of ReliabilityPoint
        One point for each bin, with Wilson's interval.

    Raises
    ------
    DataError
        See `calibration_error`.

    Examples
    --------
    >>> [round(each.frequency.estimate, 2) for each in reliability_curve([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], bins=2)]
    [0.0, 1.0]
    """
    truth, probability = check_probabilities(labels, probabilities)
    codes = cluster_codes(clusters, len(truth))
    return [
        ReliabilityPoint(
            float(probability[part].mean()), proportion(truth[part], None if codes is None else codes[part])
        )
        for part in _bins(probability, bins)
    ]


def _bins(probability: Floats, bins: int) -> list[np.ndarray]:
    """Return the patches of each bin. Equal probabilities share a bin, so that the order of patches does not matter."""
    order = np.argsort(probability, kind="stable")
    sizes = [len(part) for part in np.array_split(order, bins)]
    ends = np.flatnonzero(np.append(np.diff(probability[order]) != 0, True)) + 1
    cuts = ends[np.searchsorted(ends, np.cumsum(sizes))]
    return [part for part in np.split(order, np.unique(cuts)) if len(part)]


def _drawn_frequency(probabilities: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Return the share of tumour among labels drawn from probabilities, shape ``(draws,)``."""
    values, times = np.unique(probabilities, return_counts=True)
    return rng.binomial(times, values, (draws, len(values))).sum(1) / len(probabilities)


def _debiased(frequencies: Floats, means: Floats, sizes: Floats) -> Floats:
    """Return the mean distance of probability and frequency for each row of frequencies, without its bias.

    Even perfect probabilities differ from frequencies in a finite sample. The bias is estimated from the standard
    error of each bin's frequency. Kumar et al. take the observed distance for the true one, which leaves more than
    half of the bias if the true distance is zero. Here the true distance is the root of the squared distance minus the
    squared standard error, which leaves a quarter.
    """
    distance, spread = np.abs(frequencies - means), np.sqrt(frequencies * (1 - frequencies) / sizes)
    likely = np.sqrt(np.clip(distance**2 - spread**2, 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0, likely / spread, np.inf)
    density = np.exp(-(np.minimum(ratio, 40) ** 2) / 2) / np.sqrt(2 * np.pi)
    bias = 2 * spread * density - 2 * likely * ndtr(-ratio)
    return np.asarray((distance - bias) @ sizes / sizes.sum())
