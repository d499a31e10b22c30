"""ReLU after a max pooling instead of before it while a network is trained: the same numbers, from fewer values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def relu_after_pooling(model: keras.Model) -> Iterator[None]:
    """Let pairs of a convolution with ReLU and a max pooling change places inside the block.

    The larger of two numbers after ReLU is ReLU of the larger one, so outputs and gradients stay the same; but after a
    pooling of 4 × 4 there are sixteen times fewer values. The model itself, its layers and weights stay as they are.

    Parameters
    ----------
    model
        A `keras.Sequential` with such pairs; any other is left alone, and so are layers that are used more than once or
        whose outputs are penalised. To be compiled, and compiled again afterwards.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> with relu_after_pooling(model):
    ...     model.get_layer("conv_1").activation.__name__
    'linear'
    >>> model.get_layer("conv_1").activation.__name__
    'relu'
    """
    pairs = [
        (conv, pool)
        for conv, pool in zip(model.layers, model.layers[1:], strict=False)
        if isinstance(model, keras.Sequential)
        and type(conv) is keras.layers.Conv2D
        and type(pool) is keras.layers.MaxPooling2D
        and conv.activation is keras.activations.relu
        and conv.activity_regularizer is None
        and all(model.layers.count(layer) == 1 and len(layer._inbound_nodes) == 1 for layer in (conv, pool))
    ]
    for conv, pool in pairs:
        conv.activation = keras.activations.linear
        pool.call = _then_relu(pool.call)
    try:
        yield
    finally:
        for conv, pool in pairs:
            conv.activation = keras.activations.relu
            del pool.call


def _then_relu(call: Any) -> Any:
    return lambda inputs: keras.ops.relu(call(inputs))
