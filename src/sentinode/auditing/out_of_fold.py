"""Out-of-fold predictions and outlier distances from the features of a network."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from sentinode.inference.ood import OUTLIER_FRACTION, Gaussian
from sentinode.progress import progress_bar
from sentinode.training.linear_probe import fit_linear_head

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OutOfFold:
    """Result of `predict_out_of_fold`.

    Attributes
    ----------
    probability : ndarray of float64, shape (n,)
        Probability of tumour from a logistic regression that was fitted to the other folds.
    distance : ndarray of float64, shape (n,)
        Mahalanobis distance from the features of the other folds, divided by the distance that 0.5 % of those exceed.
    """

    probability: Floats
    distance: Floats


def predict_out_of_fold(
    features: ArrayLike, labels: ArrayLike, fold: ArrayLike, unique: ArrayLike, seed: int = 0
) -> OutOfFold:
    """Predict the patches of each fold from the features and labels of the other folds.

    Parameters
    ----------
    features : array-like of shape (n, k)
        Features of a network, such as from `embed`.
    labels : array-like of shape (n,)
        0 normal, 1 tumour.
    fold : array-like of shape (n,)
        Fold of each patch; at least two different folds.
    unique : array-like of bool, shape (n,)
        Patches to fit; false for all but one of each set of exact duplicates.
    seed : int, default=0
        Seed of the folds by which the penalty of each logistic regression is chosen.

    Returns
    -------
    OutOfFold

    Raises
    ------
    DataError
        The other folds of some fold contain fewer than two patches of a class.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features, fold = rng.normal(size=(300, 2)), np.arange(300) % 3
    >>> found = predict_out_of_fold(features, features[:, 0] > 0, fold, np.ones(300, dtype=bool))
    >>> bool(np.mean((found.probability > 0.5) == (features[:, 0] > 0)) > 0.95)
    True
    """
    values, truth = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    fitted, folds = np.asarray(unique, dtype=bool), np.asarray(fold)
    probability, squared = np.empty(len(values)), np.empty(len(values))
    for here, others in _each_fold(folds, fitted, "fitting"):
        weights, bias, _ = fit_linear_head(values[others], truth[others], seed)
        probability[here] = expit(values[here] @ weights + bias)
        squared[here] = Gaussian.fit(values[others]).squared_distance(values[here])
    threshold = np.empty(len(values))
    # The thresholds are quantiles of out-of-fold distances: distances of fitted values are smaller.
    for here, others in _each_fold(folds, fitted, "thresholds"):
        threshold[here] = np.quantile(squared[others], 1 - OUTLIER_FRACTION)
    return OutOfFold(probability, np.sqrt(squared / np.maximum(threshold, 1e-12)))


def _each_fold(folds: np.ndarray, fitted: Bools, description: str) -> Iterator[tuple[Bools, Bools]]:
    names = np.unique(folds)
    with progress_bar(description, total=len(names), unit="folds") as advance:
        for name in names:
            yield folds == name, (folds != name) & fitted
            advance()
