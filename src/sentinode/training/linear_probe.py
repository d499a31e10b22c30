"""Linear probe: fit only the last layer of a network, by logistic regression on its features."""

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
from sentinode.inference.logits import check_last_layer
from sentinode.inference.predict import predict_logits
from sentinode.models.build import origin
from sentinode.models.loading import model_from_file
from sentinode.training.config import TrainConfig
from sentinode.training.distributed import ProcessGroup
from sentinode.training.load import load_run
from sentinode.training.logging.history import History, Row
from sentinode.training.results import write_results
from sentinode.training.run import ARCHITECTURE, WEIGHTS, Run
from sentinode.training.splits import training_and_validation
from sentinode.training.state.best_weights import save_weights
from sentinode.training.state.folder import run_folder
from sentinode.training.state.last_run import load_final_weights, set_last_run
from sentinode.training.state.record import describe, find_stage, write_record
from sentinode.training.validation import validation_figures

# Candidates for scikit-learn's C, the inverse strength of the L2 penalty on standardized features.
INVERSE_PENALTIES = tuple(10.0**power for power in range(-5, 3))
FOLDS = 5

log = logging.getLogger("sentinode")


def fit_linear_probe(
    run: Run | keras.Model,
    patches: PatchSet,
    *,
    out: str | Path,
    train_split: str = "train",
    valid_split: str = "valid",
    seed: int = 0,
    cache: str | Path | None = None,
) -> Run:
    """Fit the last layer of a network by logistic regression; all other layers stay as they are.

    The strength of the L2 penalty is chosen by five-fold cross-validation on the training patches. Identical patches
    are used once.

    Parameters
    ----------
    run : Run or keras.Model
        The network. A `keras.Model` is changed in place.
    patches : PatchSet
        Data with a training and a validation split; without the latter, a tenth of the training patches is held out.
    out : str or Path
        The run directory to write.
    train_split, valid_split : str
        Names of the splits.
    seed : int, default 0
        Seed of the folds.
    cache : str or Path, optional
        Folder for decoded patches; see `PatchSet.cached`.

    Returns
    -------
    Run
        The run, with calibration and threshold as after `train`. Its history has one row.

    Raises
    ------
    DataError
        There are fewer than two different patches of a class, or a patch is damaged.
    RunError
        `out` holds something else, cannot be written, or is used by another process.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import load_run, open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> probe = fit_linear_probe(load_run("d4net-m"), few, out=tempfile.mkdtemp())
    >>> probe.config["model"]["trainable_parameters"]
    25
    """
    model = run.starting_model(seed) if isinstance(run, Run) else run
    config = TrainConfig(train_split=train_split, valid_split=valid_split, deduplicate=True, seed=seed)
    check_last_layer(model)
    training, validation, held_out = training_and_validation(patches, config, cache)
    record = describe(model, patches, training, validation, held_out, config, out=Path(out), method="linear probe")
    with run_folder(Path(out), ProcessGroup()) as folder:
        if find_stage(folder, record, config) == "finished":
            log.info("%s: already finished, nothing to do", folder)
            finished = load_run(folder)
            load_final_weights(model, finished, record.origin)
            return finished
        _warn_of_seen_patches(model, training)
        write_record(folder, record, training, validation)
        started = time.perf_counter()
        row = _fit_last_layer(model, training, validation, seed)
        twin = model_from_file(folder / ARCHITECTURE)
        twin.set_weights(model.get_weights())
        for name in WEIGHTS.values():
            save_weights(twin, folder / name)
        history = History(folder, [])
        history.add(row)
        history.close()
        finished = write_results(folder, training, validation, history.rows, time.perf_counter() - started)
        set_last_run(model, finished, record.origin)
        return finished


def _warn_of_seen_patches(model: keras.Model, training: PatchSet) -> None:
    source = origin(model)
    if source is None or source.seen_sha1 is None:
        return
    if known := int(np.isin(sha1_bytes(training.table["sha1"]), source.seen_sha1).sum()):
        log.warning(
            "%s: %s of the %s training patches were used to train the other layers; the features are overfitted to "
            "them, so results of the probe have an optimistic bias",
            training.path,
            f"{known:,}",
            f"{len(training):,}",
        )


def _fit_last_layer(model: keras.Model, training: PatchSet, validation: PatchSet, seed: int) -> Row:
    started = time.perf_counter()
    features = embed(model, training)
    embedded_s = time.perf_counter() - started
    last = model.layers[-1]
    weights, bias, penalty = fit_linear_head(features, training.labels, seed, with_bias=last.use_bias)
    last.set_weights(_layer_weights(weights, bias, last))
    train_logits, valid_logits = features @ weights + bias, predict_logits(model, validation)
    return {
        "epoch": 1,
        "loss": _cross_entropy(training.labels, train_logits),
        "accuracy": validation_figures(training.labels, train_logits)["val_accuracy"],
        **validation_figures(validation.labels, valid_logits),
        "val_loss": _cross_entropy(validation.labels, valid_logits),
        "penalty": penalty,
        "train_s": round(time.perf_counter() - started, 3),
        "patches_per_s": round(len(training) / embedded_s, 1),
    }


def fit_linear_head(
    features: ArrayLike, labels: ArrayLike, seed: int = 0, *, with_bias: bool = True
) -> tuple[NDArray[np.float64], float, float]:
    """Fit a logistic regression; choose its L2 penalty by cross-validation.

    Parameters
    ----------
    features : array-like of shape (n, k)
        One row per patch, no patch twice.
    labels : array-like of shape (n,)
        0 or 1.
    seed : int, default 0
        Seed of the folds.
    with_bias : bool, default True
        Whether to fit an intercept.

    Returns
    -------
    weights : ndarray of shape (k,)
    bias : float
        ``features @ weights + bias`` is the log-odds of tumour.
    penalty : float
        Strength of the penalty: 1 / C of scikit-learn, for standardized features.

    Raises
    ------
    DataError
        There are fewer than two patches of a class.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(400, 3))
    >>> weights, _, _ = fit_linear_head(features, features[:, 0] + rng.normal(size=400) > 0)
    >>> bool(abs(weights[1:]).max() < weights[0] / 5)
    True
    """
    from sklearn.linear_model import LogisticRegression  # Slow to import, and not needed by other training runs.
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    values, truth = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    fewest = int(np.bincount(truth, minlength=2).min())
    if fewest < 2:
        raise DataError(f"a linear probe needs two different patches of each class; one class has {fewest}")
    search = GridSearchCV(
        make_pipeline(
            StandardScaler(with_mean=with_bias), LogisticRegression(fit_intercept=with_bias, max_iter=1000, tol=1e-5)
        ),
        {"logisticregression__C": INVERSE_PENALTIES},
        scoring="neg_log_loss",
        cv=StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed % 2**32),
    )
    # On a busy machine BLAS threads wait for each other: 79 s on 3,000 × 24 features instead of 1.4 s with one thread.
    with threadpool_limits(limits=1):
        search.fit(values, truth)
    scaler, regression = search.best_estimator_[0], search.best_estimator_[1]
    weights = regression.coef_[0] / scaler.scale_
    bias = float(regression.intercept_[0] - weights @ scaler.mean_) if with_bias else 0.0
    return weights, bias, 1 / float(search.best_params_["logisticregression__C"])


def _layer_weights(weights: np.ndarray, bias: float, last: Any) -> list[np.ndarray]:
    """Convert a regression to the weights of one sigmoid unit, or of two softmax units with the same difference."""
    kernel, biases = weights[:, None], np.array([bias])
    if last.units == 2:
        kernel, biases = np.concatenate([-kernel, kernel], axis=1) / 2, np.array([-bias, bias]) / 2
    return [kernel, biases] if last.use_bias else [kernel]


def _cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean())
