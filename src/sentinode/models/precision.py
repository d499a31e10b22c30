"""Mixed precision for an existing model."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from sentinode.keras_compat.graph import flatten_layers


@contextmanager
def mixed_precision(model: keras.Model, precision: str) -> Iterator[None]:
    """Compute in bfloat16 while the block runs; weights stay float32.

    The last layer keeps float32, since bfloat16 cannot distinguish probabilities such as 0.9990 and 0.9995. Layers
    whose policy is not float32 keep it.

    Parameters
    ----------
    model : keras.Model
        Compile it inside the block, and again after it: a compiled model keeps the functions that it was traced with.
    precision : {"float32", "bfloat16"}
        ``"float32"`` changes nothing.

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
    changed = [
        layer
        for layer in (flatten_layers(model, include_models=False) if precision == "bfloat16" else [])
        if layer is not model.layers[-1] and layer.dtype_policy.name == "float32"
    ]
    for layer in changed:
        layer.dtype_policy = "mixed_bfloat16"
    try:
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = "float32"
