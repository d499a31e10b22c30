"""Arithmetic in bfloat16 while a network is trained or predicts: its weights, and what is saved, stay float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def mixed_precision(model: keras.Model, precision: str) -> Iterator[None]:
    """Make the layers of `model` compute in ``"bfloat16"`` inside the block; their weights stay float32.

    The last layer stays float32: a probability has to tell 0.9990 from 0.9995. Layers that have another policy
    than float32 already keep it.

    Parameters
    ----------
    model
        To be compiled, and compiled again afterwards, since Keras traces layers as they are at the first step.
    precision
        ``"bfloat16"`` or ``"float32"``; the latter changes nothing.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> with mixed_precision(model, "bfloat16"):
    ...     model.get_layer("conv_2").compute_dtype, model.get_layer("probability").compute_dtype
    ('bfloat16', 'float32')
    >>> model.get_layer("conv_2").compute_dtype
    'float32'
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, keras.Model)]
    changed = [layer for layer in layers if layer is not model.layers[-1] and layer.dtype_policy.name == "float32"]
    if precision != "bfloat16":
        changed = []
    for layer in changed:
        layer.dtype_policy = "mixed_bfloat16"
    try:
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = "float32"
