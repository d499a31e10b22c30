"""Find probable label errors by confident learning."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.metrics.checks import check_both_classes, check_probabilities


@dataclass(frozen=True)
class LabelErrors:
    """Probable label errors.

    Attributes
    ----------
    suspect : ndarray of bool of shape (n,)
        Whether the other label is confidently predicted and the more probable one.
    thresholds : tuple of float
        The probabilities from which normal and tumour count as confidently predicted.
    joint : ndarray of int of shape (2, 2)
        The numbers of patches by given label (rows: normal, tumour) and confidently predicted label (columns).
    """

    suspect: NDArray[np.bool_] = field(metadata={"json": False})
    thresholds: tuple[float, float]
    joint: NDArray[np.int64]


def find_label_errors(labels: ArrayLike, probabilities: ArrayLike) -> LabelErrors:
    """Find labels that are probably wrong, by confident learning [1]_.

    A class is confidently predicted if its probability is at least the mean probability of that class over the patches
    labeled with it; of two such classes the more probable one counts. A label is suspect if the other class is
    confidently predicted and, as cleanlab additionally requires, more probable.

    Parameters
    ----------
    labels : array-like of shape (n,)
        Given labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour from a model that was not trained on the patch's own label.

    Returns
    -------
    LabelErrors
        The suspect labels.

    Raises
    ------
    DataError
        Only one class is present; see also `check_probabilities`.

    References
    ----------
    .. [1] Northcutt, Jiang and Chuang (2021), Confident learning: estimating uncertainty in dataset labels, Journal of
       Artificial Intelligence Research 70.

    Examples
    --------
    >>> found = find_label_errors([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.9, 0.1])
    >>> found.suspect.tolist()
    [False, False, True, False, False, True]
    >>> found.joint.tolist()
    [[2, 1], [1, 2]]
    """
    truth, tumour = check_probabilities(labels, probabilities)
    check_both_classes(truth, "confident learning")
    both = np.stack([1 - tumour, tumour], axis=1)
    thresholds = np.array([both[truth == label, label].mean() for label in (0, 1)])
    confident = np.where(both >= thresholds, both, -1)
    predicted = np.where(confident.max(axis=1) < 0, -1, confident.argmax(axis=1))
    joint = np.array([[np.sum((truth == given) & (predicted == label)) for label in (0, 1)] for given in (0, 1)])
    suspect = (predicted == 1 - truth) & (both[np.arange(len(truth)), truth] < 0.5)
    return LabelErrors(suspect, (float(thresholds[0]), float(thresholds[1])), joint)
