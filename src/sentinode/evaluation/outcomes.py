"""What became of each patch at a threshold, and how sure the call was."""

import numpy as np
from scipy.special import logit

# A threshold of 0 or 1 has log-odds without end.
FARTHEST = 50


def outcomes(tumour: np.ndarray, probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return for each patch ``"missed"``, ``"alarm"``, ``"found"`` or ``"right"`` (normal, and called so).

    Examples
    --------
    >>> outcomes(np.array([1, 0, 1]), np.array([0.2, 0.8, 0.5]), 0.5).tolist()
    ['missed', 'alarm', 'found']
    """
    called = probability >= threshold
    return np.where(tumour == 1, np.where(called, "found", "missed"), np.where(called, "alarm", "right"))


def confidence(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Return how far log-odds lie from those of the threshold.

    Probabilities near 0 and 1 lie close together, and would make the surest calls those across from the threshold.

    Examples
    --------
    >>> confidence(np.array([-2.0, 1.0]), 0.5).tolist()
    [2.0, 1.0]
    """
    return np.abs(logits - np.clip(logit(threshold), -FARTHEST, FARTHEST))
