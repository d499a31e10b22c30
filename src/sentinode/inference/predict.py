"""Predict patches with any predictor."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinode.errors import ConfigError
from sentinode.inference.engines import check_options
from sentinode.inference.inputs import Patches
from sentinode.inference.predictions import Predictions
from sentinode.inference.predictor import Predictor, Session

# Engines other than Keras work without it.
if TYPE_CHECKING:
    import keras

    from sentinode.data.patchset import PatchSet

log = logging.getLogger("sentinode")


def predict(
    model: "Predictor | Session | keras.Model",
    x: Patches,
    made_by: Mapping[str, Any] | None = None,
    *,
    tta: str = "none",
    engine: str = "keras",
    precision: str = "float32",
) -> Predictions:
    """Predict every patch.

    Parameters
    ----------
    model : Run, Ensemble, keras.Model, or Session
        A Keras model ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``; its logits are not calibrated and its
        threshold is 0.5. For many calls with few patches keep a `Session`: ``session = run.session()``.
    x : PatchSet, ndarray, PIL.Image.Image, bytes, str, Path, or a list of these
        Arrays are uint8 RGB of shape ``(96, 96, 3)`` or ``(n, 96, 96, 3)``; bytes are an encoded image file; a path is
        anything that `open_patches` opens. Patches are read batch by batch, so memory does not grow with their number.
    made_by : mapping, optional
        Further entries for ``Predictions.made_by``.
    tta : {"none", "d4"}
        Test-time augmentation. ``"d4"``: the mean logit over the eight orientations of a patch, at eight times the
        cost. A network that is symmetric by construction gives the same logit for all eight and runs once.
    engine : {"keras", "onnxruntime", "openvino"}
        What computes. ONNX Runtime and OpenVINO compute on the CPU and need a `Run`, which is exported once into the
        cache of the user; from then on neither Keras nor its backend is imported.
    precision : {"float32", "bfloat16", "int8"}
        ``"bfloat16"`` is faster on processors that support it, for a small loss of AUC; not with ONNX Runtime.
        ``"int8"`` is faster, with ONNX Runtime and OpenVINO alone.

    Returns
    -------
    Predictions
        In the order of the patches.

    Raises
    ------
    DataError
        A patch cannot be read.
    ConfigError
        An option is unknown, or the engine cannot do it or is not installed.
    ModelError
        The network has another last layer.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> len(predict(load_run("d4net-m"), patches))
    4
    >>> predict(load_run("d4net-m"), patches.read([0])[0]).table["prediction"].tolist()
    [0]
    """
    if isinstance(model, Session):
        return model.predict(x, made_by)
    check_options(engine, tta, precision)
    session = as_predictor(model).session(engine, tta=tta, precision=precision)
    if tta != "none":
        log.info(
            "tta %s: the mean over the eight orientations of each patch, at eight times the cost"
            if session.settings["tta"]["effective"] == tta
            else "tta %s has no effect: the network gives the same logit for all eight orientations of a patch",
            tta,
        )
    return session.predict(x, made_by)


def predict_logits(model: "keras.Model", patches: "PatchSet") -> np.ndarray:
    """Return the uncalibrated logit of tumour for each patch.

    Parameters
    ----------
    model : keras.Model
        Ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    patches : PatchSet

    Returns
    -------
    ndarray of shape (n,)
        float64.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> predict_logits(build_model("cnn"), patches).shape
    (4,)
    """
    return as_predictor(model).session().logits(patches)


def as_predictor(model: "Predictor | keras.Model") -> Predictor:
    """Return a predictor as it is, and a Keras model wrapped into one.

    Raises
    ------
    ConfigError
        `model` is neither.

    Examples
    --------
    >>> as_predictor("d4net-m")
    Traceback (most recent call last):
    sentinode.errors.ConfigError: model must be a Run, an Ensemble or a keras.Model; got str: load_run("d4net-m") ...
    """
    loaded = sys.modules.get("keras")  # Without it there can be no Keras model.
    if loaded is not None and isinstance(model, loaded.Model):
        from sentinode.inference.keras_predictor import KerasPredictor

        return KerasPredictor(model)
    if not callable(getattr(model, "session", None)):
        hint = f': load_run("{model}") opens a run' if isinstance(model, str | Path) else ""
        raise ConfigError(f"model must be a Run, an Ensemble or a keras.Model; got {type(model).__name__}{hint}")
    return model
