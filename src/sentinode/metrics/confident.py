"""Confident learning: which labels contradict what was predicted of them without their help."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.metrics.checks import check_both_classes, check_probabilities


@dataclass(frozen=True)
class Confidence:
    """What `confident_learning` found.

    Attributes
    ----------
    suspect
        bool, shape ``(n,)``: the other label is confidently predicted, and the more probable one.
    thresholds
        The probability from which normal, and from which tumour, counts as confidently predicted.
    joint
        How many patches of each given label (rows: normal, tumour) are confidently predicted as each (columns).
    """

    suspect: NDArray[np.bool_]
    thresholds: tuple[float, float]
    joint: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"thresholds": list(self.thresholds), "joint": self.joint.tolist()}


def confident_learning(labels: ArrayLike, probabilities: ArrayLike) -> Confidence:
    """Find labels that are probably wrong.

    A class counts as confidently predicted for a patch whose probability of it is at least the mean probability of that
    class over the patches that bear its label; where both are, the more probable one. A label is suspect where the
    other class is confidently predicted, off the diagonal of the confident joint of Northcutt, Jiang and Chuang,
    Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, 2021, and the more probable one as well,
    which the authors' cleanlab asks in addition.

    Parameters
    ----------
    labels
        As they were given: 0 or 1, shape ``(n,)``.
    probabilities
        Of tumour, 0 to 1, shape ``(n,)``, from a model that has not seen the patch's own label.

    Raises
    ------
    DataError
        Other labels or lengths, one class alone, or a value that is no probability.

    Examples
    --------
    >>> found = confident_learning([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.9, 0.1])
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
    seems = np.where(confident.max(axis=1) < 0, -1, confident.argmax(axis=1))
    joint = np.array([[np.sum((truth == given) & (seems == seen)) for seen in (0, 1)] for given in (0, 1)])
    suspect = (seems == 1 - truth) & (both[np.arange(len(truth)), truth] < 0.5)
    return Confidence(suspect, (float(thresholds[0]), float(thresholds[1])), joint)
