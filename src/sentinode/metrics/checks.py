"""Check the arrays that metrics are computed from."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def check_labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[Integers, Floats]:
    """Convert labels and scores to arrays and check them.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Finite scores.

    Returns
    -------
    labels : ndarray of int64 of shape (n,)
    scores : ndarray of float64 of shape (n,)

    Raises
    ------
    DataError
        The arrays are empty or differ in length, a label is not 0 or 1, or a score is not finite.

    Examples
    --------
    >>> check_labels_and_scores([0, 1], [0.2, 0.7])
    (array([0, 1]), array([0.2, 0.7]))
    """
    truth, score = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise DataError(f"labels and scores need the same length; got shapes {truth.shape} and {score.shape}")
    if len(truth) == 0:
        raise DataError("labels and scores are empty")
    for wrong, message in (
        (~np.isin(truth, (0, 1)), "label {} at position {} is not 0 or 1"),
        (~np.isfinite(score), "score {} at position {} is not finite"),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise DataError(message.format(truth[first] if "label" in message else score[first], first))
    return truth.astype(np.int64), score


def check_both_classes(labels: Integers, metric: str) -> None:
    """Raise unless both classes are present.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        True labels, 0 or 1.
    metric : str
        The name of the metric, with its article, for the message.

    Raises
    ------
    DataError
        All labels are the same.
    """
    if labels.min() == labels.max():
        raise DataError(f"all labels are {labels[0]} (n = {len(labels)}); {metric} needs both classes")


def check_probabilities(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Integers, Floats]:
    """Convert labels and probabilities to arrays and check them.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour, 0 to 1.

    Returns
    -------
    labels : ndarray of int64 of shape (n,)
    probabilities : ndarray of float64 of shape (n,)

    Raises
    ------
    DataError
        A probability is below 0 or above 1; see also `check_labels_and_scores`.

    Examples
    --------
    >>> check_probabilities([0, 1], [0.0, 0.5])[1].tolist()
    [0.0, 0.5]
    """
    truth, probability = check_labels_and_scores(labels, probabilities)
    outside = np.flatnonzero((probability < 0) | (probability > 1))
    if len(outside):
        raise DataError(
            f"probability {probability[outside[0]]} at position {outside[0]} is not between 0 and 1; "
            "convert logits with the sigmoid function"
        )
    return truth, probability


def check_share(value: float, name: str) -> None:
    """Raise unless a value lies strictly between 0 and 1.

    Parameters
    ----------
    value : float
        The value.
    name : str
        What it is, with its article, for the message.

    Raises
    ------
    ConfigError
        The value is 0 or less, or 1 or more.
    """
    if not 0 < value < 1:
        raise ConfigError(f"{name} must be above 0 and below 1; got {value}")


def check_groups(groups: ArrayLike, n: int, name: str = "clusters") -> tuple[Integers, list[str]]:
    """Number the groups of patches.

    Parameters
    ----------
    groups : array-like of shape (n,)
        The group of each patch, such as its slide: text or integers.
    n : int
        The number of patches.
    name : str, default "clusters"
        What the groups are called in messages.

    Returns
    -------
    codes : ndarray of int64 of shape (n,)
        The number of each patch's group, from 0.
    names : list of str
        The names of the groups, in the order of their numbers.

    Raises
    ------
    DataError
        The lengths differ, or a patch has no group (None, NaN or pandas' NA).

    Examples
    --------
    >>> check_groups(["b", "a", "b"], 3)
    (array([1, 0, 1]), ['a', 'b'])
    """
    values = np.asarray(groups)
    if values.shape != (n,):
        raise DataError(f"{name} and labels need the same length; got shapes {values.shape} and ({n},)")
    if values.dtype == object or values.dtype.kind == "f":
        # Compared with itself, NaN differs, and pandas' NA gives NA, which is neither true nor false.
        missing = np.flatnonzero([each is None or str(each != each) != "False" for each in values.tolist()])
        if len(missing):
            raise DataError(f"{name}: the patch at position {missing[0]} has no value")
        if values.dtype == object and len({type(each) for each in values.tolist()}) > 1:
            values = values.astype(str)
    names, codes = np.unique(values, return_inverse=True)
    return codes.astype(np.int64), [str(each) for each in names.tolist()]


def cluster_codes(clusters: ArrayLike | None, n: int) -> Integers | None:
    """Number the clusters of patches.

    Parameters
    ----------
    clusters : array-like of shape (n,) or None
        The slide or patient of each patch; None if unknown.
    n : int
        The number of patches.

    Returns
    -------
    ndarray of int64 of shape (n,) or None
        The number of each patch's cluster, from 0; None if `clusters` is None.

    Raises
    ------
    DataError
        There is only one cluster; see also `check_groups`.

    Examples
    --------
    >>> cluster_codes(["slide 2", "slide 1"], 2)
    array([1, 0])
    """
    if clusters is None:
        return None
    codes, names = check_groups(clusters, n)
    if len(names) < 2:
        raise DataError(
            f"all {n} patches belong to cluster {names[0]!r}, but an interval over clusters needs at least two; "
            "omit clusters to treat patches as independent"
        )
    return codes


def cluster_count(codes: Integers | None) -> int | None:
    """Return the number of clusters that `cluster_codes` found; None without clusters."""
    return None if codes is None else int(codes.max()) + 1
