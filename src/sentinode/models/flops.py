"""How much a network computes for one patch."""

from math import prod
from typing import Any

import keras
from keras import layers

from sentinode.layers.d4 import ORDER, D4Conv

# DepthwiseConv2D is of its own kind; Conv2DTranspose, a Conv2D to Python, is in no classifier here.
CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)


def flops(model: keras.Model) -> int:
    """Count the floating-point operations of a forward pass over one patch.

    A multiplication and an addition for each weight of a convolution or a dense layer at each position of its output.
    The turned kernels of a `D4Conv` count as what they are then, those of an ordinary convolution. Normalisation, ReLU
    and pooling are left out, as usual: they are a few operations a value, where a convolution has hundreds.

    Parameters
    ----------
    model
        With a fixed size of its input.

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
    """Return the layers that multiply, also those of a network within the network."""
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, (*CONVOLUTIONS, layers.Dense, D4Conv))
    ]


def _weights(layer: Any) -> int:
    """Return with how many numbers each value of a layer's input or output is multiplied, all channels together."""
    if isinstance(layer, D4Conv):
        # Each free weight stands in the kernel of each of the eight blocks that go out.
        return ORDER * prod(layer.kernel.shape)
    if isinstance(layer, layers.SeparableConv2D):
        return prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape)
    return prod(layer.kernel.shape)
