"""Outcome and confidence of each prediction."""

import numpy as np
from scipy.special import logit

FALSE_NEGATIVE, FALSE_POSITIVE = "false negative", "false positive"
TRUE_POSITIVE, TRUE_NEGATIVE = "true positive", "true negative"
# The logit of a threshold of 0 or 1 is infinite.
_LARGEST_LOGIT = 50


def outcomes(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Classify predictions as true or false positives or negatives.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        True labels, 0 or 1.
    probabilities : ndarray of shape (n,)
        Probabilities of tumour.
    threshold : float
        Patches with at least this probability are predicted tumour.

    Returns
    -------
    ndarray of str of shape (n,)
        ``"true positive"``, ``"false positive"``, ``"true negative"`` or ``"false negative"``.

    Examples
    --------
    >>> outcomes(np.array([1, 0, 1]), np.array([0.2, 0.8, 0.5]), 0.5).tolist()
    ['false negative', 'false positive', 'true positive']
    """
    positive = probabilities >= threshold
    return np.where(
        labels == 1,
        np.where(positive, TRUE_POSITIVE, FALSE_NEGATIVE),
        np.where(positive, FALSE_POSITIVE, TRUE_NEGATIVE),
    )


def confidence(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Compute the confidence of predictions: the distance of the logit from that of the threshold.

    Distances of probabilities would not do: near 0 and 1 they are all about the same.

    Parameters
    ----------
    logits : ndarray of shape (n,)
        Logits of tumour.
    threshold : float
        The threshold as a probability.

    Returns
    -------
    ndarray of shape (n,)
        The confidence.

    Examples
    --------
    >>> confidence(np.array([-2.0, 1.0]), 0.5).tolist()
    [2.0, 1.0]
    """
    return np.abs(logits - np.clip(logit(threshold), -_LARGEST_LOGIT, _LARGEST_LOGIT))
