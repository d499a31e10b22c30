"""Keras models as predictors: the functions that compute logits, and a model without a run around it."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import keras
import numpy as np

from sentinode.errors import ConfigError, ModelError
from sentinode.inference.engines import check_options
from sentinode.inference.logits import check_last_layer, logit_model, tumour_logit
from sentinode.inference.predictor import Floats, Predictor, Session
from sentinode.layers.d4 import ORDER, apply_symmetry
from sentinode.metrics import Calibration
from sentinode.models.backend import silence_retracing_warning
from sentinode.models.plain import plain_network
from sentinode.models.precision import mixed_precision
from sentinode.models.symmetry import is_symmetric


def keras_session(source: Predictor, tta: str = "none", precision: str = "float32") -> Session:
    """Return a session that computes with `source.model` and calibrates its logits.

    With test-time augmentation ``"d4"`` the logits are the mean over the eight orientations of a patch. A network that
    gives the same logit for all of them runs once; ``settings["tta"]`` records what was done.
    """
    orientations = ORDER if tta == "d4" and not is_symmetric(source.model) else 1
    network, calibration = inference_network(source.model), source.calibration

    def compute(pixels: Any) -> Floats:
        turned = [apply_symmetry(pixels, symmetry) if symmetry else pixels for symmetry in range(orientations)]
        with silence_retracing_warning(), mixed_precision(network, precision):  # Layers are traced as they are then.
            logits = [tumour_logit(network.predict_on_batch(each)) for each in turned]
        return calibration(np.mean(logits, axis=0))

    settings: dict[str, Any] = {} if precision == "float32" else {"precision": precision}
    if tta != "none":
        settings["tta"] = {"requested": tta, "effective": tta if orientations > 1 else "none"}
    return Session(source, compute, settings)


def inference_network(model: keras.Model) -> keras.Model:
    """Return the network that computes the logits of a model.

    Parameters
    ----------
    model : keras.Model
        Ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.

    Returns
    -------
    keras.Model
        For the d4net family its plain convolutional form, which is faster; for others the model without its last
        activation. The weights are copies.
    """
    check_last_layer(model)
    try:
        return plain_network(model)
    except ModelError:  # Not of the d4net family.
        return logit_model(model)


class KerasPredictor(Predictor):
    """A Keras model in memory; nothing is known of its training.

    Parameters
    ----------
    model : keras.Model
        Takes uint8 patches; ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    threshold : float
        The probability from which a patch is predicted to be tumour.
    calibration : Calibration, optional
        Applied to the logits of the model; by default they stay as they are.

    Examples
    --------
    >>> from sentinode import build_model, open_patches, predict
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> predict(KerasPredictor(build_model("cnn"), threshold=0.999), patches).table["prediction"].sum()
    np.int64(0)
    """

    def __init__(self, model: keras.Model, threshold: float = 0.5, calibration: Calibration | None = None) -> None:
        self._model, self._threshold, self._calibration = model, threshold, calibration or Calibration()

    @property
    def model(self) -> keras.Model:  # noqa: D102
        return self._model

    @property
    def name(self) -> str:  # noqa: D102
        return str(self._model.name)

    @property
    def threshold(self) -> float:  # noqa: D102
        return self._threshold

    @property
    def calibration(self) -> Calibration:  # noqa: D102
        return self._calibration

    @cached_property
    def identity(self) -> dict[str, Any]:  # noqa: D102
        weights = weights_sha256(self._model.get_weights())
        numbers = {"calibration": asdict(self._calibration), "threshold": self._threshold}
        return {"model": self.name, "weights_sha256": weights, **numbers}

    def describe(self) -> str:  # noqa: D102
        return f"{self.name}: a Keras model, {self._model.count_params():,} parameters, threshold {self._threshold:g}"

    def session(self, engine: str = "keras", *, tta: str = "none", precision: str = "float32") -> Session:  # noqa: D102
        check_options(engine, tta, precision)
        if engine != "keras":
            raise ConfigError(f"engine {engine} needs a run, which it exports; {self.name} is a Keras model: use keras")
        return keras_session(self, tta, precision)


def weights_sha256(weights: Sequence[np.ndarray]) -> str:
    """Return a hash of weights in memory."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
