"""Bias and ReLU after a max pooling while a network is trained: the same numbers, from fewer values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def activation_after_pooling(model: keras.Model) -> Iterator[None]:
    """Let a convolution's bias and ReLU change places with the max pooling behind it inside the block.

    The larger of two numbers plus a bias is the larger sum, and the larger of two numbers after ReLU is ReLU of the
    larger one, so outputs and gradients stay the same; but after a pooling of 4 × 4 there are sixteen times fewer
    values to add to, to cut off, and to sum up for the bias' gradient. The model itself, its layers and weights stay as
    they are.

    Parameters
    ----------
    model
        A `keras.Sequential` with such pairs; any other is left alone, and so are layers that are used more than once or
        whose outputs are penalised. To be compiled, and compiled again afterwards.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> with activation_after_pooling(model):
    ...     model.get_layer("conv_1").activation.__name__, model.get_layer("conv_1").use_bias
    ('linear', False)
    >>> model.get_layer("conv_1").activation.__name__, model.get_layer("conv_1").use_bias
    ('relu', True)
    """
    pairs = [
        (conv, pool)
        for conv, pool in zip(model.layers, model.layers[1:], strict=False)
        if isinstance(model, keras.Sequential)
        and type(conv) is keras.layers.Conv2D
        and type(pool) is keras.layers.MaxPooling2D
        and conv.activation is keras.activations.relu
        and conv.activity_regularizer is None
        and conv.data_format == pool.data_format == "channels_last"
        and all(model.layers.count(layer) == 1 and len(layer._inbound_nodes) == 1 for layer in (conv, pool))
    ]
    biased = [conv for conv, _ in pairs if conv.use_bias]
    for conv, pool in pairs:
        pool.call = _then_bias_and_relu(pool.call, conv.bias)
        conv.activation, conv.use_bias = keras.activations.linear, False
    try:
        yield
    finally:
        for conv, pool in pairs:
            conv.activation, conv.use_bias = keras.activations.relu, conv in biased
            del pool.call


def _then_bias_and_relu(call: Any, bias: Any) -> Any:
    if bias is None:
        return lambda inputs: keras.ops.relu(call(inputs))
    return lambda inputs: keras.ops.relu(keras.ops.add(call(inputs), bias))
