"""The last layer alone, fitted on what the rest of a network makes of patches: logistic regression, in seconds."""

import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.data.duplicates.hashes import sha1_bytes
from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError
from sentinode.inference.features import embed
from sentinode.inference.predict import predict_logits
from sentinode.models.build import seen_before
from sentinode.models.loading import model_from_file
from sentinode.training.callbacks import History, Row, save_weights
from sentinode.training.run import ARCHITECTURE, WEIGHTS
from sentinode.training.validation import validation_figures

# scikit-learn's C: one over the penalty on the squared weights of features that have deviation 1.
INVERSE_PENALTIES = tuple(10.0**power for power in range(-5, 3))
FOLDS = 5

log = logging.getLogger("sentinode")


def fit_linear_probe(
    model: keras.Model, training: PatchSet, validation: PatchSet, seed: int, folder: Path
) -> tuple[list[Row], float]:
    """Give a model another last layer, and write its weights and its history of one row.

    Parameters
    ----------
    model
        Its other layers stay as they are. It is changed in place.
    training, validation
        Cached. Of exact copies one counts, so none is in two folds.
    seed
        Draws the folds.
    folder
        The run directory, with ``model.json`` in it.

    Returns
    -------
    tuple
        The history, and the seconds it took.

    Raises
    ------
    DataError
        Fewer than two different patches of a class.
    """
    began = time.perf_counter()
    if known := int(np.isin(sha1_bytes(training.table["sha1"]), seen_before(model)).sum()):
        log.warning(
            "%s: %s of these patches have trained the other layers already, whose features know their labels: "
            "a last layer from them looks better than it is",
            training.path,
            f"{known:,}",
        )
    once = training.select(np.flatnonzero(~training.table["sha1"].duplicated()))
    features = embed(model, once)
    embedded_s = time.perf_counter() - began
    last = model.layers[-1]
    weights, bias, penalty = fit_linear_head(features, once.labels, seed, with_bias=last.use_bias)
    last.set_weights(_as_layer(weights, bias, last))
    twin = model_from_file(folder / ARCHITECTURE)
    twin.set_weights(model.get_weights())
    for name in ("best", "final"):
        save_weights(twin, folder / WEIGHTS[name])
    said = validation_figures(once.labels, features @ weights + bias)
    logits = predict_logits(model, validation)
    row = {
        "epoch": 1,
        "loss": _loss(once.labels, features @ weights + bias),
        "accuracy": said["val_accuracy"],
        **validation_figures(validation.labels, logits),
        "val_loss": _loss(validation.labels, logits),
        "penalty": penalty,
        "train_s": round(time.perf_counter() - began, 3),
        "patches_per_s": round(len(once) / embedded_s, 1),
    }
    history = History(folder, [], (len(once), len(once)))
    history.add(row)
    history.close()
    return history.rows, time.perf_counter() - began


def fit_linear_head(
    features: ArrayLike, labels: ArrayLike, seed: int = 0, *, with_bias: bool = True
) -> tuple[NDArray[np.float64], float, float]:
    """Fit a logistic regression; its penalty is the one with the smallest loss over five folds.

    Parameters
    ----------
    features
        Shape ``(n, k)``, no patch twice.
    labels
        0 or 1, shape ``(n,)``.
    seed
        Draws the folds, each with both classes in the same proportion.
    with_bias
        Whether the line may leave the origin.

    Returns
    -------
    tuple
        Weights ``(k,)`` and bias, whose sum with the features is the log-odds of tumour; and the penalty: the number of
        patches whose loss weighs as much as half of the squared weights of features that have deviation 1.

    Raises
    ------
    DataError
        Fewer than two patches of a class.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(400, 3))
    >>> weights, _, _ = fit_linear_head(features, features[:, 0] + rng.normal(size=400) > 0)
    >>> bool(abs(weights[1:]).max() < weights[0] / 5)
    True
    """
    from sklearn.linear_model import LogisticRegression  # Slow imports, that other trainings do without.
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    values, truth = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    fewest = int(np.bincount(truth, minlength=2).min())
    if fewest < 2:
        raise DataError(f"a linear head needs two different patches of each class; of one there are {fewest}")
    search = GridSearchCV(
        make_pipeline(
            StandardScaler(with_mean=with_bias), LogisticRegression(fit_intercept=with_bias, max_iter=1000, tol=1e-5)
        ),
        {"logisticregression__C": INVERSE_PENALTIES},
        scoring="neg_log_loss",
        cv=StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed),
    )
    # On a busy machine its threads wait for each other: 79 s on 3,000 × 24 features, where one thread takes 1.4 s.
    with threadpool_limits(limits=1):
        search.fit(values, truth)
    scaler, line = search.best_estimator_[0], search.best_estimator_[1]
    weights = line.coef_[0] / scaler.scale_
    bias = float(line.intercept_[0] - weights @ scaler.mean_) if with_bias else 0.0
    return weights, bias, 1 / float(search.best_params_["logisticregression__C"])


def _as_layer(weights: np.ndarray, bias: float, last: Any) -> list[np.ndarray]:
    """Return the weights of a layer of one sigmoid, or of two softmax units, whose difference is what counts."""
    kernel, biases = weights[:, None], np.array([bias])
    if last.units == 2:
        kernel, biases = np.concatenate([-kernel, kernel], axis=1) / 2, np.array([-bias, bias]) / 2
    return [kernel, biases] if last.use_bias else [kernel]


def _loss(labels: np.ndarray, logits: np.ndarray) -> float:
    """Return the mean cross-entropy."""
    return float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean())
