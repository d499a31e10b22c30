"""What is said of each patch by those of the other folds alone."""

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
    """What `predict_out_of_fold` found.

    Attributes
    ----------
    probability
        Of tumour, float64, shape ``(n,)``, by a last layer that was fitted on the other folds.
    distance
        From the middle of the other folds' features, float64, shape ``(n,)``, 1 where 99.5 % of theirs are below
        (Mahalanobis, not squared).
    """

    probability: Floats
    distance: Floats


def predict_out_of_fold(
    features: ArrayLike, labels: ArrayLike, fold: ArrayLike, distinct: ArrayLike, seed: int = 0
) -> OutOfFold:
    """Fit a last layer and a cloud of usual features on all folds but one, and ask them about that one, fold by fold.

    Parameters
    ----------
    features
        Shape ``(n, k)``.
    labels
        0 or 1, shape ``(n,)``.
    fold
        The name of each patch's fold, shape ``(n,)``, two or more different ones.
    distinct
        bool, shape ``(n,)``: what is fitted on; false for all copies of a patch but one.
    seed
        Draws the folds within which the penalty of each layer is chosen.

    Raises
    ------
    DataError
        Without one fold, fewer than two patches of a class are left.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features, fold = rng.normal(size=(300, 2)), np.arange(300) % 3
    >>> found = predict_out_of_fold(features, features[:, 0] > 0, fold, np.ones(300, dtype=bool))
    >>> bool(np.mean((found.probability > 0.5) == (features[:, 0] > 0)) > 0.95)
    True
    """
    values, truth = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    one, folds = np.asarray(distinct, dtype=bool), np.asarray(fold)
    probability, squared = np.empty(len(values)), np.empty(len(values))
    for here, others in _each(folds, one, "fitting"):
        weights, bias, _ = fit_linear_head(values[others], truth[others], seed)
        probability[here] = expit(values[here] @ weights + bias)
        squared[here] = Gaussian.fit(values[others]).squared_distance(values[here])
    limit = np.empty(len(values))
    # By distances that were themselves measured from outside: a cloud lies closer to what it was fitted on.
    for here, others in _each(folds, one, "limits"):
        limit[here] = np.quantile(squared[others], 1 - OUTLIER_FRACTION)
    return OutOfFold(probability, np.sqrt(squared / np.maximum(limit, 1e-12)))


def _each(folds: np.ndarray, distinct: Bools, what: str) -> Iterator[tuple[Bools, Bools]]:
    names = np.unique(folds)
    with progress_bar(what, total=len(names), unit="folds") as advance:
        for name in names:
            yield folds == name, (folds != name) & distinct
            advance()
