"""Run a model over patches."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError
from sentinode.prediction.engines import ENGINES, Logits, open_engine
from sentinode.prediction.logits import logit_model, tumour_logit
from sentinode.prediction.predictions import Predictions
from sentinode.progress import progress_bar

# Engines other than Keras start without it.
if TYPE_CHECKING:
    import keras

# Fixed: another size of batch may change the last bits of a logit.
BATCH_SIZE = 128


def predict(
    model: Any, patches: PatchSet, made_by: Mapping[str, Any] | None = None, *, engine: str = "keras"
) -> Predictions:
    """Predict every patch of a set.

    Pixels are read batch by batch, so memory does not grow with their number.

    Parameters
    ----------
    model
        A `keras.Model` that ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``, or a `Run`, whose log-odds are
        divided by its temperature.
    patches
        Cached or not.
    made_by
        What else the predictions should remember of their making.
    engine
        What computes: ``"keras"``, or, for a `Run`, ``"onnxruntime"`` or ``"openvino"``, on the CPU. The run is then
        exported once, into the user's cache, and neither Keras nor its backend is imported when that file is there.

    Returns
    -------
    Predictions
        In the order of `patches`.

    Raises
    ------
    DataError
        A patch cannot be read.
    ConfigError
        No such engine, or one that needs a `Run`.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> len(predict(build_model("cnn"), patches))
    4
    """
    is_run = hasattr(model, "identity")
    about = {"data": patches.path, "patches": len(patches), **(model.identity if is_run else {}), **(made_by or {})}
    if engine not in ENGINES:
        raise ConfigError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    if engine != "keras":
        if not is_run:
            raise ConfigError(f"engine {engine} runs what was exported of a run; give a Run, or engine keras")
        logits = _in_batches(open_engine(engine, model.engine_file(engine)), patches)
        return Predictions.from_logits(patches.table, logits, {**about, "engine": engine})
    logits = predict_logits(model.model, patches) / model.temperature if is_run else predict_logits(model, patches)
    return Predictions.from_logits(patches.table, logits, about)


def predict_logits(model: "keras.Model", patches: PatchSet) -> np.ndarray:
    """Return the log-odds of tumour for every patch: float64, shape ``(n,)``.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> predict_logits(build_model("cnn"), patches).shape
    (4,)
    """
    from sentinode.models.backend import no_word_of_retracing

    network = logit_model(model)
    with no_word_of_retracing():
        return _in_batches(lambda pixels: tumour_logit(network.predict_on_batch(pixels)), patches)


def _in_batches(logits: Logits, patches: PatchSet) -> np.ndarray:
    parts = []
    with progress_bar("predicting", total=len(patches)) as advance:
        for first in range(0, len(patches), BATCH_SIZE):
            pixels = patches.read(slice(first, first + BATCH_SIZE))
            parts.append(logits(pixels))
            advance(len(pixels))
    return np.concatenate(parts)
