"""Whether probabilities come true, bin by bin: the reliability curve and the expected calibration error."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from sentinode.metrics.checks import Floats, check_probabilities, cluster_codes
from sentinode.metrics.interval import Interval
from sentinode.metrics.proportions import proportion

BINS = 15


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error, beside what it would be for probabilities that are right.

    Attributes
    ----------
    estimate
        The mean distance of probability and frequency over bins of equal size, debiased.
    if_perfect_mean, if_perfect_95
        The mean, and the value that 95 % stay below, if the probabilities were right.
    p_value
        The share of those draws, and this one, with an error as large.
    bins, patches
        How many.
    clusters
        How many; None where patches count as independent.
    """

    estimate: float
    if_perfect_mean: float
    if_perfect_95: float
    p_value: float
    bins: int
    patches: int
    clusters: int | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**self.__dict__, "patches_independent": self.clusters is None}


def calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    clusters: ArrayLike | None = None,
    bins: int = BINS,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> CalibrationError:
    """Return the calibration error with its distribution under perfect calibration.

    The error itself has no interval: it cannot be below zero, so a bootstrap of it lies to the right of the truth and
    often misses it. What can be said is how large it would be if all were well (Bröcker and Smith 2007; Vaicenavicius
    et al. 2019): for independent patches with labels drawn from the probabilities (consistency resampling), with
    clusters by giving what each cluster has of tumour above its probabilities a random sign (wild cluster bootstrap;
    Cameron, Gelbach and Miller 2008).

    Parameters
    ----------
    labels, probabilities, clusters
        See `sentinode.metrics.calibration_quality.brier`.
    bins
        Of the same number of patches each, give or take one; fewer when there are fewer patches.
    draws
        Of labels, or of signs.
    seed
        The same seed gives the same draws.

    Raises
    ------
    DataError
        See `check_probabilities`; clusters that do not fit.

    Examples
    --------
    >>> found = calibration_error([0] * 500 + [1] * 500, [0.25] * 1000, bins=1)
    >>> round(found.estimate, 3), round(found.if_perfect_95, 3), round(found.p_value, 3)
    (0.25, 0.026, 0.001)
    """
    truth, probability = check_probabilities(labels, probabilities)
    codes = cluster_codes(clusters, len(truth))
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    means = np.array([probability[part].mean() for part in parts])
    estimate = float(_debiased(np.array([[truth[part].mean() for part in parts]]), means, sizes)[0])
    rng = np.random.default_rng(seed)
    if codes is None:
        frequencies = np.column_stack([_drawn_frequency(probability[part], draws, rng) for part in parts])
    else:
        more = np.array([np.bincount(codes[part], (truth - probability)[part], codes.max() + 1) for part in parts])
        signs = rng.integers(0, 2, (draws, more.shape[1])) * 2.0 - 1
        frequencies = np.clip(means + signs @ more.T / sizes, 0, 1)
    drawn = _debiased(frequencies, means, sizes)
    return CalibrationError(
        estimate,
        float(drawn.mean()),
        float(np.quantile(drawn, 0.95)),
        float((1 + np.sum(drawn >= estimate)) / (1 + draws)),
        len(parts),
        len(truth),
        None if codes is None else int(codes.max()) + 1,
    )


def _drawn_frequency(probabilities: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Return the share of tumour among labels drawn from probabilities, shape ``(draws,)``."""
    values, times = np.unique(probabilities, return_counts=True)
    return rng.binomial(times, values, (draws, len(values))).sum(1) / len(probabilities)


def _debiased(frequencies: Floats, means: Floats, sizes: Floats) -> Floats:
    """Return the mean distance of probability and frequency, without what chance adds, for each row of frequencies.

    Even perfect probabilities differ from frequencies in a finite sample. What that adds is estimated from the spread
    of each bin's frequency and taken off (after Kumar et al. 2019, Verified uncertainty calibration). They take the
    distance seen for the true one, which leaves more than half of the addition where the true one is zero; here it is
    the root of what is left of its square without the spread, which leaves a quarter.
    """
    distance, spread = np.abs(frequencies - means), np.sqrt(frequencies * (1 - frequencies) / sizes)
    likely = np.sqrt(np.clip(distance**2 - spread**2, 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0, likely / spread, np.inf)
    density = np.exp(-(np.minimum(ratio, 40) ** 2) / 2) / np.sqrt(2 * np.pi)
    added = 2 * spread * density - 2 * likely * ndtr(-ratio)
    return np.asarray((distance - added) @ sizes / sizes.sum())


@dataclass(frozen=True)
class ReliabilityPoint:
    """Patches of neighbouring probabilities: what was said, and what came true.

    Attributes
    ----------
    probability
        Their mean probability.
    frequency
        The share of tumour, with its interval.
    """

    probability: float
    frequency: Interval

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"probability": self.probability, "frequency": self.frequency.to_json()}


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None, bins: int = BINS
) -> list[ReliabilityPoint]:
    """Return probability against frequency over bins of equal size, with Wilson's interval for each.

    Raises
    ------
    DataError
        See `check_probabilities`; clusters that do not fit.

    Examples
    --------
    >>> [round(each.frequency.estimate, 2) for each in reliability_curve([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], bins=2)]
    [0.0, 1.0]
    """
    truth, probability = check_probabilities(labels, probabilities)
    codes = cluster_codes(clusters, len(truth))
    order = np.argsort(probability, kind="stable")
    return [
        ReliabilityPoint(
            float(probability[part].mean()), proportion(truth[part], None if codes is None else codes[part])
        )
        for part in np.array_split(order, bins)
        if len(part)
    ]
