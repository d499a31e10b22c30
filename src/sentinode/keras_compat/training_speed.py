"""Replace operations of a network by faster ones with the same results, in training only."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras import layers, ops

from sentinode.keras_compat.batch_normalization import batch_normalization
from sentinode.keras_compat.graph import flatten_layers


@contextmanager
def activation_after_pooling(model: keras.Model) -> Iterator[None]:
    """Apply bias and ReLU after max pooling instead of before it while the block runs.

    Both orders give the same outputs and gradients, since adding a constant and ReLU are monotonic. After pooling over
    4 × 4 px there are sixteen times fewer values to compute, which makes training of the `cnn` network faster.

    Parameters
    ----------
    model : keras.Model
        A `keras.Sequential` with pairs of a ReLU convolution and a max pooling. Other models, and layers that are used
        more than once or have an activity regularizer, are left unchanged. Compile inside the block, and again after
        it: a compiled model keeps the functions that it was traced with.

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
        and type(conv) is layers.Conv2D
        and type(pool) is layers.MaxPooling2D
        and conv.activation is keras.activations.relu
        and conv.activity_regularizer is None
        and conv.data_format == pool.data_format == "channels_last"
        and all(model.layers.count(layer) == 1 and len(layer._inbound_nodes) == 1 for layer in (conv, pool))
    ]
    with ExitStack() as stack:
        for conv, pool in pairs:
            stack.enter_context(_replaced_call(pool, _pool_then_activate(pool.call, conv.bias)))
            stack.callback(setattr, conv, "activation", conv.activation)
            stack.callback(setattr, conv, "use_bias", conv.use_bias)
            conv.activation, conv.use_bias = keras.activations.linear, False
        yield


def _pool_then_activate(pool: Callable[..., Any], bias: Any) -> Callable[..., Any]:
    if bias is None:
        return lambda inputs: ops.relu(pool(inputs))
    return lambda inputs: ops.relu(ops.add(pool(inputs), bias))


@contextmanager
def fused_batch_normalization(model: keras.Model) -> Iterator[None]:
    """Use the backend's fused batch normalization for Keras' layers while the block runs.

    Keras composes batch normalization of several operations, each a pass over the feature maps: two fifths of a
    training step of MobileNetV2 (``benchmarks/profile_step.py``). On JAX the compiler fuses them, and nothing changes.

    Parameters
    ----------
    model : keras.Model
        Any model. Affects its 2D batch normalization layers over the last axis, in training only. Compile inside the
        block, and again after it.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("resnet18", width=8)
    >>> with fused_batch_normalization(model):
    ...     model.compile("sgd", "binary_crossentropy")
    """
    with ExitStack() as stack:
        if keras.backend.backend() in ("tensorflow", "torch"):
            for layer in filter(_can_be_fused, flatten_layers(model)):
                stack.enter_context(_replaced_call(layer, _fused_call(layer, layer.call)))
        yield


def _can_be_fused(layer: Any) -> bool:
    return (
        type(layer) is layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
        and layer.compute_dtype in ("float32", "bfloat16")
    )


def _fused_call(layer: layers.BatchNormalization, call: Callable[..., Any]) -> Callable[..., Any]:
    def fused(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        floating = keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16")
        if not training or not layer.trainable or mask is not None or not floating:
            return call(inputs, training=training, mask=mask)
        ones = ops.ones_like(layer.moving_variance)
        scale = ops.convert_to_tensor(layer.gamma) if layer.scale else ones
        offset = ops.convert_to_tensor(layer.beta) if layer.center else ones * 0
        outputs, mean, variance = batch_normalization(inputs, scale, offset, layer.epsilon)
        for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + new * (1 - layer.momentum))
        return outputs

    return fused


@contextmanager
def _replaced_call(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    layer.call = call
    try:
        yield
    finally:
        del layer.call
