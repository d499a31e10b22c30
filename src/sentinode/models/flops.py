"""Count the floating-point operations of a network."""

from math import prod
from typing import Any

import keras
from keras import layers

from sentinode.keras_compat.graph import flatten_layers
from sentinode.layers.d4 import ORDER, D4Conv

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)


def flops(model: keras.Model) -> int:
    """Count the floating-point operations of a forward pass over one patch.

    Counts two operations, a multiplication and an addition, for each weight of a convolution or dense layer at each
    output position. A `D4Conv` counts as the ordinary convolution that it computes. Normalization, activations and
    pooling are not counted, as is usual: they take a few operations per value.

    Parameters
    ----------
    model : keras.Model
        A model with a fixed input size.

    Returns
    -------
    int
        Twice the number of multiply-adds.

    Examples
    --------
    >>> from sentinode import build_model
    >>> flops(build_model("cnn"))
    37453952
    """
    return sum(2 * _weights(layer) * prod(layer.output.shape[1:-1]) for layer in _layers(model))


def _layers(model: keras.Model) -> list[Any]:
    return [layer for layer in flatten_layers(model) if isinstance(layer, (*CONVOLUTIONS, layers.Dense, D4Conv))]


def _weights(layer: Any) -> int:
    if isinstance(layer, D4Conv):
        # Each weight is used in the kernels of all eight orientations.
        return ORDER * prod(layer.kernel.shape)
    if isinstance(layer, layers.SeparableConv2D):
        return prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape)
    return prod(layer.kernel.shape)
