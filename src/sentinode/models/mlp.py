"""A fully connected baseline."""

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE
from sentinode.models.cnn import Output, output_layer


def build_mlp(*, dense_units: int = 64, output: Output = "sigmoid") -> keras.Sequential:
    """Build a network with one hidden dense layer on the flattened pixels.

    Parameters
    ----------
    dense_units : int
        Units of the hidden layer.
    output : {"sigmoid", "softmax"}
        One unit, P(tumour), or two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Sequential

    Examples
    --------
    >>> build_mlp(dense_units=8).output_shape
    (None, 1)
    """
    return keras.Sequential(
        [
            keras.Input(PATCH_SHAPE, dtype="uint8", name="patches"),
            layers.Rescaling(1 / 255, name="scale"),
            layers.Flatten(name="flatten"),
            layers.Dense(dense_units, activation="relu", name="dense"),
            output_layer(output),
        ],
        name="mlp",
    )
