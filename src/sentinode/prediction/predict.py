"""Run a model over patches."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.models.backend import no_word_of_retracing
from sentinode.prediction.logits import logit_model, tumour_logit
from sentinode.prediction.predictions import Predictions
from sentinode.progress import progress_bar

# Fixed: another size of batch may change the last bits of a logit.
BATCH_SIZE = 128


def predict(model: Any, patches: PatchSet, made_by: Mapping[str, Any] | None = None) -> Predictions:
    """Predict every patch of a set.

    Pixels are read batch by batch, so memory does not grow with their number.

    Parameters
    ----------
    model
        A `keras.Model` that ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``; or a `Run`: then log-odds are
        divided by its temperature, and patches get a call and a warning where they look unlike those of its training.
    patches
        Cached or not.
    made_by
        What else the predictions should remember of their making.

    Returns
    -------
    Predictions
        In the order of `patches`.

    Raises
    ------
    DataError
        A patch cannot be read.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> len(predict(build_model("cnn"), patches))
    4
    """
    about = {"data": patches.path, "patches": len(patches)}
    if isinstance(model, keras.Model):
        return Predictions.from_logits(patches.table, predict_logits(model, patches), {**about, **(made_by or {})})
    warnings: list[str] = []
    logits = predict_logits(model.model, patches, lambda pixels: warnings.extend(model.usual.warnings(pixels)))
    predictions = Predictions.from_logits(
        patches.table, logits / model.temperature, {**about, **model.identity, **(made_by or {})}
    )
    predictions.table["warning"] = warnings
    return predictions


def predict_logits(
    model: keras.Model, patches: PatchSet, look: Callable[[np.ndarray], object] = lambda pixels: None
) -> np.ndarray:
    """Return the log-odds of tumour for every patch: float64, shape ``(n,)``.

    Parameters
    ----------
    model
        Ends in one sigmoid or two softmax units.
    patches
        Cached or not.
    look
        Is shown the pixels of every batch.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> predict_logits(build_model("cnn"), patches).shape
    (4,)
    """
    batches = Batches(patches, BATCH_SIZE, outputs=0)
    network = logit_model(model)
    parts = []
    with progress_bar("predicting", total=len(patches)) as advance, no_word_of_retracing():
        for index in range(len(batches)):
            (pixels,) = batches[index]
            look(pixels)
            parts.append(tumour_logit(network.predict_on_batch(pixels)))
            advance(len(pixels))
    return np.concatenate(parts)
