"""Whether probabilities mean what they say, and how to make them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from sentinode.metrics.ranking import check_labels_and_scores

BINS = 15
_LARGEST = 64.0  # Of a temperature, and one over it: labels that follow the logits without exception would want 0.


def fit_temperature(labels: ArrayLike, logits: ArrayLike) -> float:
    """Return the number by which log-odds have to be divided to be as likely as they can (Guo et al. 2017).

    Neither the order of patches nor the side of one half on which a probability lies is changed by it.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``, of patches that the network was not fitted on.
    logits
        Log-odds of tumour, shape ``(n,)``.

    Returns
    -------
    float
        Above 1 for a network that is too sure of itself; between 1/64 and 64.

    Raises
    ------
    DataError
        See `check_labels_and_scores`.

    Examples
    --------
    >>> round(fit_temperature([0, 1, 1, 1, 0, 0], [-4, 4, 4, -4, 4, -4]), 2)  # Sure to 98 %, and right in 4 of 6.
    5.77
    """
    truth, scores = check_labels_and_scores(labels, logits)
    away = np.where(truth == 1, -scores, scores)
    found = minimize_scalar(
        lambda log_temperature: np.logaddexp(0, away * np.exp(-log_temperature)).mean(),
        bounds=(-np.log(_LARGEST), np.log(_LARGEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


@dataclass(frozen=True)
class ReliabilityBin:
    """Patches of neighbouring probabilities.

    Attributes
    ----------
    patches
        How many.
    probability
        Their mean probability of tumour.
    frequency
        The share of them that is tumour.
    """

    patches: int
    probability: float
    frequency: float


def reliability(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> list[ReliabilityBin]:
    """Sort patches by probability into bins of the same number of patches, give or take one.

    Examples
    --------
    >>> reliability([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], bins=2)[0].frequency
    0.0
    """
    truth, scores = check_labels_and_scores(labels, probabilities)
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [ReliabilityBin(len(part), float(scores[part].mean()), float(truth[part].mean())) for part in parts]


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> float:
    """Return the mean distance of probability and frequency over bins of equal size, without what chance adds to it.

    Even perfect probabilities differ from frequencies in a finite sample. What that adds is estimated from the spread
    of each bin's frequency and taken off (after Kumar et al. 2019, Verified uncertainty calibration). They take the
    distance seen for the true one, which leaves more than half of the addition where the true one is zero; here it is
    the root of what is left of its square without the spread, which leaves a quarter.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    probabilities
        0 to 1, shape ``(n,)``.
    bins
        Fewer when there are fewer patches.

    Returns
    -------
    float
        0 for perfect probabilities, or a little less by chance.

    Examples
    --------
    >>> round(expected_calibration_error([0] * 500 + [1] * 500, [0.25] * 1000, bins=1), 3)
    0.25
    """
    error = 0.0
    for each in reliability(labels, probabilities, bins):
        distance = abs(each.frequency - each.probability)
        variance = each.frequency * (1 - each.frequency) / each.patches
        likely = np.sqrt(max(distance**2 - variance, 0.0))
        error += each.patches * (distance - (_mean_distance(likely, np.sqrt(variance)) - likely))
    return float(error / np.size(labels))


def _mean_distance(mean: float, spread: float) -> float:
    """Return the mean absolute value of a normal variable (folded normal)."""
    if spread == 0:
        return abs(mean)
    return float(2 * spread * norm.pdf(mean / spread) + mean * (1 - 2 * norm.cdf(-mean / spread)))
