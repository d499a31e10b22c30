"""A network of the flagship family as an ordinary convolutional network, with the same weights and the same answers.

Turned kernels are written out once, normalisation and scaling of pixels become part of kernels and biases, and what is
left is convolutions with ReLU and a mean: faster, and known to every other software.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from sentinode.data.types import PATCH_SHAPE
from sentinode.errors import ModelError
from sentinode.layers.d4 import ORDER, D4Conv, D4Norm, D4Pool


@dataclass
class _Convolution:
    """One layer to be made: kernel ``(side, side, in, out)``, bias ``(out,)``."""

    kernel: np.ndarray
    bias: np.ndarray
    strides: int


def plain_network(model: keras.Model, *, step_px: int | None = None) -> keras.Model:
    """Write a network of the family out as an ordinary one that gives logits.

    Parameters
    ----------
    model
        From ``build_model("d4net")``, trained or not, with one sigmoid or two softmax units.
    step_px
        None for a network of patches. A number of pixels for one of whole regions, which gives the logit of every patch
        that begins at a multiple of it: a multiple of 8, the product of the strides.

    Returns
    -------
    keras.Model
        uint8 ``(n, 96, 96, 3)`` in, float32 ``(n, 1)`` or ``(n, 2)`` out; of regions: uint8 ``(n, rows, columns, 3)``
        in, ``(n, grid rows, grid columns, 1 or 2)`` out.

    Raises
    ------
    ModelError
        A layer is not of this family, or `step_px` is no multiple of the strides.

    Examples
    --------
    >>> from sentinode import build_model
    >>> network = build_model("d4net")
    >>> plain_network(network).output_shape
    (None, 1)
    >>> plain_network(network, step_px=32)(np.zeros((1, 160, 128, 3), "uint8")).shape
    TensorShape([1, 3, 2, 1])
    """
    convolutions, kernel, bias = _written_out(model)
    jump, positions = int(np.prod([each.strides for each in convolutions])), PATCH_SHAPE[0]
    for each in convolutions:
        positions = (positions - each.kernel.shape[0]) // each.strides + 1
    if step_px is not None and (step_px < jump or step_px % jump):
        raise ModelError(f"step_px must be a multiple of {jump}, the product of the strides; got {step_px}")
    pixels = keras.Input(PATCH_SHAPE if step_px is None else (None, None, 3), dtype="uint8", name="pixels")
    x = ops.cast(pixels, "float32")
    for number, each in enumerate(convolutions, start=1):
        side, _, _, filters = each.kernel.shape
        layer = layers.Conv2D(filters, side, each.strides, activation="relu", name=f"conv_{number}", **_ZEROS)
        x = layer(x)
        layer.set_weights([each.kernel, each.bias])
    if step_px is None:
        x = layers.GlobalAveragePooling2D(name="mean_over_positions")(x)
        last: Any = layers.Dense(kernel.shape[1], name="logit", **_ZEROS)
    else:
        x = layers.AveragePooling2D(positions, step_px // jump, name="mean_over_positions")(x)
        last, kernel = layers.Conv2D(kernel.shape[1], 1, name="logit", **_ZEROS), kernel[None, None]
    logits = last(x)
    last.set_weights([kernel, bias])
    return keras.Model(pixels, logits, name=f"plain_{model.name}")


_ZEROS: dict[str, Any] = {"kernel_initializer": "zeros", "dtype": "float32"}


def _written_out(model: keras.Model) -> tuple[list[_Convolution], np.ndarray, np.ndarray]:
    """Return the convolutions of a network, and kernel and bias of its last layer."""
    convolutions: list[_Convolution] = []
    scale, offset, last = 1.0, 0.0, None
    for layer in model.layers[1:]:
        if isinstance(layer, layers.Rescaling) and not convolutions:
            scale, offset = float(layer.scale), float(layer.offset)
        elif isinstance(layer, D4Conv):
            kernel = _float64(layer.whole_kernel())
            bias = _float64(layer.whole_bias()) if layer.use_bias else np.zeros(kernel.shape[-1])
            convolutions.append(_Convolution(kernel, bias, layer.strides))
        elif isinstance(layer, D4Norm):
            factor, shift = (np.tile(_float64(each), ORDER) for each in layer.affine())
            before = convolutions[-1]
            convolutions[-1] = _Convolution(before.kernel * factor, before.bias * factor + shift, before.strides)
        elif isinstance(layer, layers.Dense):
            last = layer
        elif not isinstance(layer, (layers.ReLU, layers.GlobalAveragePooling2D, layers.Dropout, D4Pool)):
            raise ModelError(f"model {model.name!r}: {layer.name} ({type(layer).__name__}) is not of the d4net family")
    if last is None or not convolutions:
        raise ModelError(f"model {model.name!r} is not of the d4net family")
    first = convolutions[0]
    bias = first.bias + first.kernel.sum(axis=(0, 1, 2)) * offset
    convolutions[0] = _Convolution(first.kernel * scale, bias, first.strides)
    kernel, bias = (_float64(weight) for weight in last.weights)
    return convolutions, np.tile(kernel, (ORDER, 1)) / ORDER, bias


def _float64(weight: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(weight), dtype=np.float64)
