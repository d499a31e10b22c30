"""Whether probabilities mean what they say, and how to make them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import check_labels_and_scores

BINS = 15
_LARGEST = 64.0  # Of a temperature, and one over it: labels that follow the logits without exception would want 0.
_FARTHEST = 16.0  # Of an offset, either way.


@dataclass(frozen=True)
class Calibration:
    """What makes of log-odds those that come true.

    Attributes
    ----------
    temperature
        Log-odds are divided by it: above 1 for a network that is too sure of itself.
    offset
        Added then: above 0 for one that calls too little tumour, as on slides that are stained otherwise.
    """

    temperature: float = 1.0
    offset: float = 0.0

    def __call__(self, logits: ArrayLike) -> np.ndarray:
        """Return calibrated log-odds, float64.

        Examples
        --------
        >>> Calibration(2.0, 0.5)([1.0, -1.0]).tolist()
        [1.0, 0.0]
        """
        return np.asarray(logits, dtype=np.float64) / self.temperature + self.offset


def fit_calibration(labels: ArrayLike, logits: ArrayLike) -> Calibration:
    """Return the temperature and the offset that make the labels as likely as they can be (Platt 1999).

    The order of patches is not changed by it.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``, of patches that the network was not fitted on. The offset is right for their share of
        tumour.
    logits
        Log-odds of tumour, shape ``(n,)``.

    Returns
    -------
    Calibration
        A temperature between 1/64 and 64, an offset between −16 and 16.

    Raises
    ------
    DataError
        See `check_labels_and_scores`.

    Examples
    --------
    >>> found = fit_calibration([0, 1, 1, 1, 0, 0], [-4, 4, 4, -4, 4, -4])  # Sure to 98 %, and right in 4 of 6.
    >>> round(found.temperature, 1), abs(round(found.offset, 1))
    (5.8, 0.0)
    """
    from scipy.optimize import minimize  # With SciPy's slow imports, which predicting does without.
    from scipy.special import expit

    truth, scores = check_labels_and_scores(labels, logits)
    sign = np.where(truth == 1, -1.0, 1.0)

    def surprise(line: np.ndarray) -> tuple[float, np.ndarray]:
        away = sign * (line[0] * scores + line[1])
        slope = sign * expit(away)
        return float(np.logaddexp(0, away).mean()), np.array([(slope * scores).mean(), slope.mean()])

    bounds = [(1 / _LARGEST, _LARGEST), (-_FARTHEST, _FARTHEST)]
    found = minimize(surprise, [1.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12})
    return Calibration(float(1 / found.x[0]), float(found.x[1]))


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
    from scipy.stats import norm  # As above.

    if spread == 0:
        return abs(mean)
    return float(2 * spread * norm.pdf(mean / spread) + mean * (1 - 2 * norm.cdf(-mean / spread)))
