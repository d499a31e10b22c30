"""The classic baseline: two convolutions, two max poolings, two dense layers."""

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
    """Build the classic convolutional network.

    Parameters
    ----------
    first_filters, second_filters : int
        Filters of the two convolutions.
    kernel_size : int
        Side of both kernels, in px.
    pool_size : int
        Side and stride of both max poolings, in px.
    dense_units : int
        Units of the hidden dense layer.
    output : {"sigmoid", "softmax"}
        One unit, P(tumour), or two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Sequential

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
    """Create the output layer that all networks share.

    Parameters
    ----------
    output : {"sigmoid", "softmax"}
        One unit, P(tumour), or two units, P(normal) and P(tumour).

    Examples
    --------
    >>> output_layer("softmax").units
    2
    """
    return layers.Dense(2 if output == "softmax" else 1, activation=output, name="probability")
