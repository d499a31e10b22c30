"""Run a model over patches."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError
from sentinode.layers.d4 import ORDER, turn
from sentinode.metrics.calibration import Calibration
from sentinode.models.backend import no_word_of_retracing
from sentinode.models.symmetry import is_symmetric
from sentinode.prediction.logits import logit_model, tumour_logit
from sentinode.prediction.predictions import Predictions
from sentinode.progress import progress_bar

# Fixed: another size of batch may change the last bits of a logit.
BATCH_SIZE = 128
TTA = ("none", "d4")

log = logging.getLogger("sentinode")


def predict(
    model: Any, patches: PatchSet, made_by: Mapping[str, Any] | None = None, *, tta: str = "none"
) -> Predictions:
    """Predict every patch of a set.

    Pixels are read batch by batch, so memory does not grow with their number.

    Parameters
    ----------
    model
        A `keras.Model` that ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``; a `Run`, whose log-odds are
        calibrated and whose patches get a call, and a warning where they look unlike those of its
        training; or an `Ensemble` of runs, which gives the mean of what its runs give.
    patches
        Cached or not.
    made_by
        What else the predictions should remember of their making.
    tta
        Test-time augmentation. ``"d4"``: the mean of a patch's log-odds over its eight orientations, for eight times
        the work. A network that is symmetric by construction gives the same for all of them, and is run once.

    Returns
    -------
    Predictions
        In the order of `patches`.

    Raises
    ------
    DataError
        A patch cannot be read.
    ConfigError
        No such `tta`.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> len(predict(build_model("cnn"), patches))
    4
    >>> predict(build_model("cnn"), patches, tta="d4").made_by["tta"]
    {'asked': 'd4', 'used': 'd4'}
    """
    if tta not in TTA:
        raise ConfigError(f"tta must be one of {', '.join(TTA)}; got {tta!r}")
    about = {"data": patches.path, "patches": len(patches)}
    networks, is_run = [(model, Calibration())], not isinstance(model, keras.Model)
    if is_run:
        about, networks = {**about, **model.identity}, model.networks
    turned = [tta == "d4" and not is_symmetric(network) for network, _ in networks]
    if tta != "none":
        log.info(_what_tta_does(turned))
        about["tta"] = {"asked": tta, "used": tta if any(turned) else "none"}
    orientations = [range(ORDER) if often else (0,) for often in turned]
    ready = [(*network, seen) for network, seen in zip(networks, orientations, strict=True)]
    warnings: list[str] = []
    logits = _log_odds(ready, patches, lambda pixels: warnings.extend(model.warnings(pixels) if is_run else ()))
    predictions = Predictions.from_logits(patches.table, logits, {**about, **(made_by or {})})
    if is_run:
        predictions.table["warning"] = warnings
    return predictions


def predict_logits(model: keras.Model, patches: PatchSet) -> np.ndarray:
    """Return the log-odds of tumour for every patch: float64, shape ``(n,)``.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> predict_logits(build_model("cnn"), patches).shape
    (4,)
    """
    return _log_odds([(model, Calibration(), (0,))], patches)


def _log_odds(
    networks: Sequence[tuple[keras.Model, Calibration, Sequence[int]]],
    patches: PatchSet,
    look: Callable[[np.ndarray], object] = lambda pixels: None,
) -> np.ndarray:
    """Return the mean log-odds over networks, each with its calibration and the orientations that it sees.

    `look` is shown the pixels of every batch.
    """
    ready = [(logit_model(network), calibration, seen) for network, calibration, seen in networks]
    batches = Batches(patches, BATCH_SIZE, outputs=0)
    parts = []
    with progress_bar("predicting", total=len(patches)) as advance, no_word_of_retracing():
        for index in range(len(batches)):
            (pixels,) = batches[index]
            look(pixels)
            each = [calibration(_seen(network, pixels, seen)) for network, calibration, seen in ready]
            parts.append(np.mean(each, axis=0))
            advance(len(pixels))
    return np.concatenate(parts)


def _seen(network: keras.Model, pixels: np.ndarray, orientations: Sequence[int]) -> np.ndarray:
    """Return a batch's log-odds, the mean over orientations."""
    turns = (turn(pixels, symmetry) if symmetry else pixels for symmetry in orientations)
    return np.mean([tumour_logit(network.predict_on_batch(turned)) for turned in turns], axis=0)


def _what_tta_does(turned: Sequence[bool]) -> str:
    """Say in a line what test-time augmentation costs, or why it is left out."""
    if not any(turned):
        return "tta d4 left out: by construction the network gives the same for all eight orientations of a patch"
    some = "" if all(turned) else f" by {sum(turned)} of {len(turned)} networks (the others give the same for all)"
    return f"tta d4: each patch is predicted in its eight orientations{some}, for eight times the work"
