"""The seed's network: two convolutions, two poolings, two dense layers."""

from typing import Literal

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE

Output = Literal["sigmoid", "softmax"]


def build_cnn(
    *,
    first_filters: int = 32,
    second_filters: int = 64,
    kernel_size: int = 3,
    pool_size: int = 4,
    dense_units: int = 64,
    output: Output = "sigmoid",
) -> keras.Sequential:
    """Build the seed's convolutional network.

    Parameters
    ----------
    first_filters, second_filters
        Filters of the two convolutions.
    kernel_size
        Side of both kernels, in px.
    pool_size
        Side and stride of both poolings, in px.
    dense_units
        Units of the hidden dense layer.
    output
        ``"sigmoid"``: one unit, P(tumour). ``"softmax"``: two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Sequential
        uint8 ``(n, 96, 96, 3)`` in; float32 ``(n, 1)`` or ``(n, 2)`` out; 166,977 parameters at the defaults.

    Examples
    --------
    >>> build_cnn().count_params()
    166977
    """
    return keras.Sequential(
        [
            keras.Input(PATCH_SHAPE, dtype="uint8", name="patches"),
            layers.Rescaling(1 / 255, name="scale"),
            layers.Conv2D(first_filters, kernel_size, padding="same", activation="relu", name="conv_1"),
            layers.MaxPooling2D(pool_size, name="pool_1"),
            layers.Conv2D(second_filters, kernel_size, padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D(pool_size, name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(dense_units, activation="relu", name="dense"),
            output_layer(output),
        ],
        name="cnn",
    )


def output_layer(output: Output) -> layers.Dense:
    """Return the last layer of every classifier here: one sigmoid or two softmax units.

    Examples
    --------
    >>> output_layer("softmax").units
    2
    """
    return layers.Dense(2 if output == "softmax" else 1, activation=output, name="probability")
