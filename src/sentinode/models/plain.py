"""Convert D4Net to an ordinary convolutional network with the same outputs.

The kernels are expanded to their eight orientations; normalization and the scaling of pixels are folded into kernels
and biases. The result has convolutions, ReLU and average pooling only, after the exposure correction and the
logarithm, where there are any: it is faster and can be exported to any format.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from sentinode.data.types import PATCH_SHAPE
from sentinode.errors import ModelError
from sentinode.layers.d4 import ORDER, D4Conv, D4Norm, D4Pool
from sentinode.layers.preprocessing import (
    ExposureCorrection,
    LogIntensity,
    brightened,
    correct_exposure,
    log_intensity,
)
from sentinode.models.backend import channels_last


@dataclass
class _Convolution:
    """A convolution: kernel of shape (side, side, in, out), bias of shape (out,)."""

    kernel: np.ndarray
    bias: np.ndarray
    strides: int


@channels_last()
def plain_network(model: keras.Model, *, step_px: int | None = None) -> keras.Model:
    """Convert D4Net to an ordinary convolutional network that returns logits.

    Parameters
    ----------
    model : keras.Model
        Built by ``build_model("d4net")``.
    step_px : int, optional
        Without it, the result takes patches. With it, the result takes regions of any size and returns the logits of
        all patches on a grid with this step: a multiple of 8, the product of the strides.

    Returns
    -------
    keras.Model
        For patches: uint8 of shape ``(n, 96, 96, 3)`` to float32 of shape ``(n, 1)`` or ``(n, 2)``. For regions: uint8
        of shape ``(n, rows, columns, 3)`` to ``(n, grid rows, grid columns, 1 or 2)``. If the model corrects the
        exposure, a region has a second input: one factor on all its pixels, of shape ``(n, 1, 1, 1)``, since
        overlapping patches cannot have different ones. The logits are right for patches with this factor.

    Raises
    ------
    ModelError
        The model is not a D4Net, or `step_px` is not a multiple of the product of the strides.

    Examples
    --------
    >>> from sentinode import build_model
    >>> network = build_model("d4net")
    >>> plain_network(network).output_shape
    (None, 1)
    >>> plain_network(network, step_px=32)(np.zeros((1, 160, 128, 3), "uint8")).shape
    TensorShape([1, 3, 2, 1])
    """
    convolutions, kernel, bias = _fold(model)
    before = {type(layer) for layer in model.layers}
    jump, positions = int(np.prod([each.strides for each in convolutions])), PATCH_SHAPE[0]
    for each in convolutions:
        positions = (positions - each.kernel.shape[0]) // each.strides + 1
    if step_px is not None and (step_px < jump or step_px % jump):
        raise ModelError(f"step_px must be a multiple of {jump}, the product of the strides; got {step_px}")
    pixels = keras.Input(PATCH_SHAPE if step_px is None else (None, None, 3), dtype="uint8", name="pixels")
    inputs, x = [pixels], ops.cast(pixels, "float32")
    if ExposureCorrection in before:
        if step_px is None:
            x = correct_exposure(x)
        else:
            inputs.append(keras.Input((1, 1, 1), dtype="float32", name="exposure"))
            x = brightened(x, inputs[1])
    x = log_intensity(x) if LogIntensity in before else x
    for number, each in enumerate(convolutions, start=1):
        side, _, _, filters = each.kernel.shape
        layer = layers.Conv2D(filters, side, each.strides, activation="relu", name=f"conv_{number}", **_ZEROS)
        x = layer(x)
        layer.set_weights([each.kernel, each.bias])
    if step_px is None:
        x = layers.GlobalAveragePooling2D(dtype="float32", name="mean_over_positions")(x)
        last: Any = layers.Dense(kernel.shape[1], name="logit", **_ZEROS)
    else:
        x = layers.AveragePooling2D(positions, step_px // jump, dtype="float32", name="mean_over_positions")(x)
        last, kernel = layers.Conv2D(kernel.shape[1], 1, name="logit", **_ZEROS), kernel[None, None]
    logits = last(x)
    last.set_weights([kernel, bias])
    return keras.Model(inputs if len(inputs) > 1 else pixels, logits, name=f"plain_{model.name}")


_BEFORE = (ExposureCorrection, LogIntensity)
_WITHOUT_WEIGHTS = (*_BEFORE, layers.ReLU, layers.GlobalAveragePooling2D, layers.Dropout, D4Pool)
_ZEROS: dict[str, Any] = {"kernel_initializer": "zeros", "dtype": "float32"}


def _fold(model: keras.Model) -> tuple[list[_Convolution], np.ndarray, np.ndarray]:
    """Return the convolutions, and kernel and bias of the output layer."""
    convolutions: list[_Convolution] = []
    scale, offset, last = 1.0, 0.0, None
    for layer in model.layers[1:]:
        if isinstance(layer, layers.Rescaling) and not convolutions:
            scale, offset = float(layer.scale), float(layer.offset)
        elif isinstance(layer, D4Conv):
            kernel = _float64(layer.full_kernel())
            bias = _float64(layer.full_bias()) if layer.use_bias else np.zeros(kernel.shape[-1])
            convolutions.append(_Convolution(kernel, bias, layer.strides))
        elif isinstance(layer, D4Norm):
            factor, shift = (np.tile(_float64(each), ORDER) for each in layer.affine())
            before = convolutions[-1]
            convolutions[-1] = _Convolution(before.kernel * factor, before.bias * factor + shift, before.strides)
        elif isinstance(layer, layers.Dense):
            last = layer
        elif not isinstance(layer, _WITHOUT_WEIGHTS):
            raise ModelError(f"model {model.name!r}: layer {layer.name} ({type(layer).__name__}) is not part of d4net")
    if last is None or not convolutions:
        raise ModelError(f"model {model.name!r} is not a d4net: no convolution or no output layer")
    first = convolutions[0]
    bias = first.bias + first.kernel.sum(axis=(0, 1, 2)) * offset
    convolutions[0] = _Convolution(first.kernel * scale, bias, first.strides)
    kernel, bias = (_float64(weight) for weight in last.weights)
    return convolutions, np.tile(kernel, (ORDER, 1)) / ORDER, bias


def _float64(weight: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(weight), dtype=np.float64)
