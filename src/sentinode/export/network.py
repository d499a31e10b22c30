"""The network to export: standard Keras layers, with the calibration in its weights."""

import keras
import numpy as np
from keras import layers

from sentinode.errors import ModelError
from sentinode.inference.logits import check_last_layer
from sentinode.keras_compat.graph import node_within
from sentinode.layers.preprocessing import BackbonePreprocessing
from sentinode.metrics import Calibration
from sentinode.models.plain import plain_network


def exported_network(model: keras.Model, calibration: Calibration | None = None) -> keras.Model:
    """Build the network that computes calibrated probabilities with standard Keras layers.

    Parameters
    ----------
    model : keras.Model
        Ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    calibration : Calibration, optional
        Folded into the weights of the last layer.

    Returns
    -------
    keras.Model
        uint8 patches ``(n, 96, 96, 3)`` in, P(tumour) out: float32 of shape ``(n, 1)``. Networks of the d4net family
        become plain convolutions. Custom layers of other networks stay; Keras needs Sentinode to load them.

    Raises
    ------
    ModelError
        The last layer is another one.

    Examples
    --------
    >>> from sentinode import build_model
    >>> exported_network(build_model("d4net", output="softmax"), Calibration(1.5, 0.2)).output_shape
    (None, 1)
    """
    check_last_layer(model)
    calibration = calibration or Calibration()
    try:
        source = plain_network(model)
    except ModelError:  # Not of that family.
        source = _with_standard_preprocessing(model)
    last = source.layers[-1]
    weights = [np.asarray(weight, dtype=np.float64) for weight in last.get_weights()]
    if last.units == 2:
        weights = [weight[..., 1:] - weight[..., :1] for weight in weights]
    # The name differs, since a functional model refuses two layers of one name.
    tumour = layers.Dense(1, "sigmoid", dtype="float32", name="tumour", kernel_initializer="zeros")
    network = keras.Model(source.inputs[0], tumour(node_within(source, last).input_tensors[0]), name=model.name)
    kernel, bias = weights if last.use_bias else (*weights, np.zeros(1))
    tumour.set_weights([kernel / calibration.temperature, calibration(bias)])
    return network


def _with_standard_preprocessing(model: keras.Model) -> keras.Model:
    """Replace a backbone's preprocessing by standard layers.

    All preprocessings of keras.applications are affine in the colors of a pixel, so four pixels determine them.
    """
    ours = [layer for layer in model.layers if isinstance(layer, BackbonePreprocessing)]
    if not ours:
        return model
    standard = {
        layer.name: keras.Sequential(
            [layers.Rescaling(1 / 255), layers.Conv2D(3, 1, kernel_initializer="zeros", name="colors")],
            name=layer.name,
        )
        for layer in ours
    }

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        return standard.get(layer.name) or layer.__class__.from_config(layer.get_config())

    changed = keras.models.clone_model(model, clone_function=copied)
    for layer in model.layers:
        if layer.weights:
            changed.get_layer(layer.name).set_weights(layer.get_weights())
    for layer in ours:
        gray_levels = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])[:, None, None].astype("float32")
        scaled = keras.ops.convert_to_numpy(layer(gray_levels))[:, 0, 0]
        standard[layer.name].get_layer("colors").set_weights([(scaled[1:] - scaled[0])[None, None], scaled[0]])
    return changed
