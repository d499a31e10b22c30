"""Whether probabilities mean what they say, and how to make them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import check_labels_and_scores

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
