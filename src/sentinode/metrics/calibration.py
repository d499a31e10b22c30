"""Calibrate logits: temperature and offset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import check_labels_and_scores

_LARGEST = 64.0  # The largest temperature, and its inverse the smallest: separable labels have no finite optimum.
_FARTHEST = 16.0  # The largest offset in either direction.


@dataclass(frozen=True)
class Calibration:
    """A linear map from logits to calibrated logits.

    Attributes
    ----------
    temperature : float
        The divisor of logits: above 1 for an overconfident network.
    offset : float
        What is added afterwards: above 0 for a network that predicts too little tumour.
    """

    temperature: float = 1.0
    offset: float = 0.0

    def __call__(self, logits: ArrayLike) -> np.ndarray:
        """Calibrate logits.

        Examples
        --------
        >>> Calibration(2.0, 0.5)([1.0, -1.0]).tolist()
        [1.0, 0.0]
        """
        return np.asarray(logits, dtype=np.float64) / self.temperature + self.offset


def fit_calibration(labels: ArrayLike, logits: ArrayLike) -> Calibration:
    """Fit the temperature and offset with the highest likelihood (Platt scaling [1]_).

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1, of patches that the network was not trained on. The offset holds for their share of tumour.
    logits : array-like of shape (n,)
        Logits of tumour.

    Returns
    -------
    Calibration
        A temperature from 1/64 to 64 and an offset from -16 to 16.

    Raises
    ------
    DataError
        See `check_labels_and_scores`.

    References
    ----------
    .. [1] Platt (1999), Probabilistic outputs for support vector machines and comparisons to regularized likelihood
       methods.

    Examples
    --------
    >>> found = fit_calibration([0, 1, 1, 1, 0, 0], [-4, 4, 4, -4, 4, -4])  # 98 % confident, correct in 4 of 6.
    >>> round(found.temperature, 1), abs(round(found.offset, 1))
    (5.8, 0.0)
    """
    from scipy.optimize import minimize  # Slow to import, and not needed to predict.
    from scipy.special import expit

    truth, scores = check_labels_and_scores(labels, logits)
    sign = np.where(truth == 1, -1.0, 1.0)

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (line[0] * scores + line[1])
        slope = sign * expit(margin)
        return float(np.logaddexp(0, margin).mean()), np.array([(slope * scores).mean(), slope.mean()])

    bounds = [(1 / _LARGEST, _LARGEST), (-_FARTHEST, _FARTHEST)]
    found = minimize(loss, [1.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12})
    return Calibration(float(1 / found.x[0]), float(found.x[1]))
