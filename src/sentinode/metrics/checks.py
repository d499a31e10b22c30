"""What every measure asks of its arrays, in one place."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def check_labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[Integers, Floats]:
    """Return both as arrays, once they are known to fit.

    Raises
    ------
    DataError
        Nothing there, lengths differ, a score is not finite, a label is not 0 or 1.

    Examples
    --------
    >>> check_labels_and_scores([0, 1], [0.2, 0.7])
    (array([0, 1]), array([0.2, 0.7]))
    """
    truth, score = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise DataError(f"labels {truth.shape} and scores {score.shape} must be two rows of one length")
    if len(truth) == 0:
        raise DataError("no labels and scores: there is nothing to measure")
    if not np.isin(truth, (0, 1)).all():
        wrong = np.flatnonzero(~np.isin(truth, (0, 1)))[0]
        raise DataError(f"label {truth[wrong]!r} at position {wrong} is neither 0 nor 1")
    if not np.isfinite(score).all():
        wrong = np.flatnonzero(~np.isfinite(score))[0]
        raise DataError(f"score {score[wrong]} at position {wrong} is not finite")
    return truth.astype(np.int64), score


def check_both_classes(truth: Integers, what: str) -> None:
    """Refuse labels of one class.

    Parameters
    ----------
    truth
        0 or 1, shape ``(n,)``.
    what
        What needs both, such as ``"a ROC curve"``.

    Raises
    ------
    DataError
        All labels are the same.

    Examples
    --------
    >>> check_both_classes(np.array([0, 1]), "a ROC curve")
    """
    if truth.min() == truth.max():
        raise DataError(f"all {len(truth)} labels are {truth[0]}: {what} needs both classes")


def check_probabilities(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Integers, Floats]:
    """Return both as arrays, as `check_labels_and_scores` does, once the scores are known to lie between 0 and 1.

    Raises
    ------
    DataError
        A probability is below 0 or above 1; else see `check_labels_and_scores`.

    Examples
    --------
    >>> check_probabilities([0, 1], [0.0, 0.5])[1].tolist()
    [0.0, 0.5]
    """
    truth, probability = check_labels_and_scores(labels, probabilities)
    outside = (probability < 0) | (probability > 1)
    if outside.any():
        wrong = np.flatnonzero(outside)[0]
        raise DataError(
            f"probability {probability[wrong]} at position {wrong} is not between 0 and 1 (logits? take their sigmoid)"
        )
    return truth, probability


def check_groups(groups: ArrayLike, patches: int, what: str = "clusters") -> tuple[Integers, list[str]]:
    """Return a number from 0 for each patch's group, and the groups' names.

    Parameters
    ----------
    groups
        What each patch belongs to, such as its slide: text or whole numbers, shape ``(n,)``.
    patches
        n.
    what
        Their name in errors.

    Raises
    ------
    DataError
        Lengths differ, or a patch has no group (None or NaN).

    Examples
    --------
    >>> check_groups(["b", "a", "b"], 3)
    (array([1, 0, 1]), ['a', 'b'])
    """
    values = np.asarray(groups)
    if values.shape != (patches,):
        raise DataError(f"{what} {values.shape} and labels ({patches},) must be two rows of one length")
    if values.dtype == object or values.dtype.kind == "f":
        missing = np.array([each is None or each != each for each in values.tolist()], dtype=bool)
        if missing.any():
            raise DataError(f"the patch at position {np.flatnonzero(missing)[0]} has no value in {what}")
        if values.dtype == object and len({type(each) for each in values.tolist()}) > 1:
            values = values.astype(str)
    names, codes = np.unique(values, return_inverse=True)
    return codes.astype(np.int64), [str(name) for name in names.tolist()]


def cluster_codes(clusters: ArrayLike | None, patches: int) -> Integers | None:
    """Return a number from 0 for each patch's cluster, or None where clusters are not known.

    Raises
    ------
    DataError
        See `check_groups`; or all patches are of one cluster: then nothing can be said about other clusters.

    Examples
    --------
    >>> cluster_codes(["slide 2", "slide 1"], 2)
    array([1, 0])
    """
    if clusters is None:
        return None
    codes, names = check_groups(clusters, patches)
    if len(names) < 2:
        raise DataError(
            f"all {patches} patches are of cluster {names[0]!r}: an interval over clusters needs two (leave clusters "
            "out to treat patches as independent)"
        )
    return codes
