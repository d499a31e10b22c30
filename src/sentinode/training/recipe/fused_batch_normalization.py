"""Keras' batch normalisations in one operation each while a network is trained: the same numbers, in fewer passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers

from sentinode.layers.fused import normalise


@contextmanager
def fused_batch_normalization(model: keras.Model) -> Iterator[None]:
    """Let batch normalisations use the fused operation of TensorFlow or PyTorch while they train inside the block.

    Keras puts them together from a mean, a difference, a square, a sum and products, each of them a pass over the maps,
    and as many again for the gradients: two fifths of a training step of MobileNetV2
    (`benchmarks/profile_step.py`). XLA, and
    so JAX, fuses by itself and is left alone. What is kept of means and variances is the same.

    Parameters
    ----------
    model
        Any; of its normalisations, those of maps whose channels come last. To be compiled, and compiled again
        afterwards. Layers and weights stay as they are.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("resnet18", width=8)
    >>> with fused_batch_normalization(model):
    ...     model.compile("sgd", "binary_crossentropy")
    """
    norms = [
        layer
        for layer in model._flatten_layers()
        if keras.backend.backend() in ("tensorflow", "torch")
        and type(layer) is layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
        and layer.compute_dtype in ("float32", "bfloat16")
    ]
    for layer in norms:
        layer.call = _at_once(layer, layer.call)
    try:
        yield
    finally:
        for layer in norms:
            del layer.call


def _at_once(layer: layers.BatchNormalization, call: Any) -> Any:
    def fused(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        floating = keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16")
        if not training or not layer.trainable or mask is not None or not floating:
            return call(inputs, training=training, mask=mask)
        ones = keras.ops.ones_like(layer.moving_variance)
        scale = keras.ops.convert_to_tensor(layer.gamma) if layer.scale else ones
        offset = keras.ops.convert_to_tensor(layer.beta) if layer.center else ones * 0
        outputs, mean, variance = normalise(inputs, scale, offset, layer.epsilon)
        for kept, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            kept.assign(kept * layer.momentum + new * (1 - layer.momentum))
        return outputs

    return fused
