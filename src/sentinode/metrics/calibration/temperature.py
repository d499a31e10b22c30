"""Calibrate logits: temperature and offset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import check_labels_and_scores

_PRIOR_SD = np.array([0.5, 1.0])  # Of the logarithm of the temperature, and of the offset.
_LARGEST = 64.0  # The largest temperature, and its inverse the smallest, for logits of any scale.
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
    """Fit temperature and offset (Platt scaling [1]_) with a prior for few patches.

    The prior is normal for the logarithm of the temperature (mean 0, standard deviation 0.5) and for the offset (0, 1).
    It counts as much as a few patches: without it, a handful of patches that happen to be separable give probabilities
    of 0 and 1. From some hundred patches on, the fit is that of the highest likelihood.

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
    >>> logits = [-4, 4, 4, -4, 4, -4] * 50  # 98 % confident, correct in 4 of 6.
    >>> found = fit_calibration([0, 1, 1, 1, 0, 0] * 50, logits)
    >>> round(found.temperature), abs(round(found.offset, 1))
    (5, 0.0)
    """
    from scipy.optimize import minimize  # Slow to import, and not needed to predict.
    from scipy.special import expit

    truth, scores = check_labels_and_scores(labels, logits)
    sign = np.where(truth == 1, -1.0, 1.0)

    def loss(fit: np.ndarray) -> tuple[float, np.ndarray]:
        log_temperature, offset = fit
        scaled = scores * np.exp(-log_temperature)
        margin = sign * (scaled + offset)
        slope = sign * expit(margin)
        prior = fit / _PRIOR_SD
        value = np.logaddexp(0, margin).sum() + 0.5 * (prior**2).sum()
        slopes = np.array([-(slope * scaled).sum(), slope.sum()]) + prior / _PRIOR_SD
        return float(value / len(truth)), slopes / len(truth)

    limit = np.log(_LARGEST)
    bounds = [(-limit, limit), (-_FARTHEST, _FARTHEST)]
    found = minimize(loss, [0.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12})
    return Calibration(float(np.exp(found.x[0])), float(found.x[1]))
