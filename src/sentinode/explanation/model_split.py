"""Split a network at one layer: from the pixels to its values, and from there to the logits."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from sentinode.data.types import PATCH_SHAPE
from sentinode.errors import ModelError
from sentinode.inference.logits import logit_model
from sentinode.keras_compat.graph import node_within
from sentinode.layers.d4 import D4Conv
from sentinode.layers.preprocessing import ExposureCorrection


@dataclass(frozen=True)
class SplitModel:
    """A network in two parts.

    Attributes
    ----------
    before : keras.Model
        uint8 patches ``(n, 96, 96, 3)`` in, the values of the layer out.
    after : keras.Model
        These values in, logits ``(n, 1)`` or ``(n, 2)`` out.
    centers_px : ndarray of shape (rows,)
        The centers of the receptive fields of the map's rows in px; the same for its columns.
    field_px : int
        The side of a receptive field in px.
    """

    before: keras.Model
    after: keras.Model
    centers_px: np.ndarray
    field_px: int


def after_exposure_correction(model: keras.Model, pixels: np.ndarray) -> tuple[keras.Model, np.ndarray]:
    """Return a network without its exposure correction, and the patches as corrected.

    Explanations compare a patch with others in which pixels are missing. The exposure is that of the patch itself: a
    patch of one color, which has no bright spot, would be taken for underexposed.

    Parameters
    ----------
    model : keras.Model
        Any network.
    pixels : ndarray of uint8, shape (n, 96, 96, 3)
        Patches.

    Returns
    -------
    network : keras.Model
        Shares all layers with `model`; `model` itself if it does not correct the exposure.
    pixels : ndarray of uint8, shape (n, 96, 96, 3)
        Rounded to whole gray levels.
    """
    first, *others = _layers(model)
    if not isinstance(first, ExposureCorrection):
        return model, pixels
    x = patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    for layer in others:
        x = layer(x)
    corrected = keras.ops.convert_to_numpy(first(pixels)).astype(np.float32)
    return keras.Model(patches, x, name=model.name), np.rint(corrected).astype(np.uint8)


def split_after_first_layer(model: keras.Model) -> SplitModel:
    """Split after the first layer, which scales the pixels.

    Raises
    ------
    ModelError
        The first layer does something else: its output has other rows and columns than the patch, or none.

    Examples
    --------
    >>> from sentinode import build_model
    >>> split_after_first_layer(build_model("cnn")).after.input_shape
    (None, 96, 96, 3)
    """
    split = _split(model, 1)
    if split.after.input_shape[1:3] != PATCH_SHAPE[:2]:
        raise ModelError(
            f"model {model.name!r}: the output of its first layer does not have the rows and columns of the patch, "
            "which integrated gradients need; use occlusion"
        )
    return split


def split_at_last_feature_map(model: keras.Model) -> SplitModel:
    """Split after the last layer whose output has rows and columns.

    Raises
    ------
    ModelError
        The network has no feature map.

    Examples
    --------
    >>> from sentinode import build_model
    >>> split = split_at_last_feature_map(build_model("d4net"))
    >>> split.before.output_shape, split.centers_px.tolist(), split.field_px
    ((None, 4, 4, 128), [35.5, 43.5, 51.5, 59.5], 72)
    """
    layers = _layers(model)
    shapes = [node_within(model, layer).output_tensors[0].shape for layer in layers]
    last = max((number for number, shape in enumerate(shapes) if len(shape) == 4), default=0)
    if last == 0 or shapes[last][1] < 2:
        raise ModelError(
            f"model {model.name!r} has no feature map, which Grad-CAM needs; use integrated-gradients or occlusion"
        )
    return _split(model, last + 1)


def split_at_first_convolution(model: keras.Model) -> tuple[keras.Model, Any]:
    """Return the network from the pixels to the output of its first convolution, and that layer.

    Raises
    ------
    ModelError
        The network has no convolution on the pixels.

    Examples
    --------
    >>> from sentinode import build_model
    >>> network, layer = split_at_first_convolution(build_model("cnn"))
    >>> network.output_shape, layer.name
    ((None, 96, 96, 32), 'conv_1')
    """
    for count, layer in enumerate(_layers(model), 1):
        if _is_convolution(model, layer):
            return _split(model, count).before, layer
        nested = layer.layers if isinstance(layer, keras.Model) else ()
        within = next((each for each in nested if _is_convolution(layer, each)), None)
        if within is not None:
            pixels, values = keras.Input(PATCH_SHAPE, dtype="uint8"), node_within(layer, within).output_tensors[0]
            given = pixels if count == 1 else _split(model, count - 1).before(pixels)
            seen = keras.Model(layer.inputs[0], values)(given)
            return keras.Model(pixels, seen), within
    raise ModelError(f"model {model.name!r} has no convolution on the pixels, whose kernels could be shown")


def _is_convolution(model: keras.Model, layer: Any) -> bool:
    if not isinstance(layer, keras.layers.Conv2D | D4Conv):
        return False
    return bool(node_within(model, layer).input_tensors[0].shape[-1] == PATCH_SHAPE[-1])


def _layers(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def _split(model: keras.Model, count: int) -> SplitModel:
    layers, logits = _layers(model), logit_model(model)
    last = layers[count - 1]
    # A nested network has an output tensor of its own besides the one that the next layer takes.
    of_last = node_within(model, last).output_tensors[0]
    values = node_within(model, layers[count]).input_tensors[0] if isinstance(last, keras.Model) else of_last
    if isinstance(model, keras.Sequential):  # Its layers may belong to several graphs, so the graph is built anew.
        values = between = keras.Input(values.shape[1:])
        for layer in [*layers[count:-1], logits.layers[-1]]:
            between = layer(between)
        after = keras.Model(values, between)
        pixels = seen = keras.Input(PATCH_SHAPE, dtype="uint8")
        for layer in layers[:count]:
            seen = layer(seen)
        before = keras.Model(pixels, seen)
    else:
        before, after = keras.Model(model.inputs[0], values), keras.Model(values, logits.outputs[0])
    return SplitModel(before, after, *_receptive_fields(model, layers[:count], int(values.shape[1])))


def _receptive_fields(model: keras.Model, layers: list[Any], count: int) -> tuple[np.ndarray, int]:
    """Return centers and side of the receptive fields of a map with `count` rows, from kernels and strides.

    If a layer is a network itself, the centers are spread evenly over the patch.
    """
    side = PATCH_SHAPE[0]
    if any(isinstance(layer, keras.Model) for layer in layers):
        return (np.arange(count) + 0.5) * side / count - 0.5, side
    first, step, field = 0.0, 1, 1
    for layer in layers:
        size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if size is None:
            continue
        size, stride = (value if isinstance(value, int) else value[0] for value in (size, layer.strides))
        node = node_within(model, layer)
        into, out = int(node.input_tensors[0].shape[1]), int(node.output_tensors[0].shape[1])
        padded = max((out - 1) * stride + size - into, 0) // 2 if getattr(layer, "padding", "valid") == "same" else 0
        first += step * ((size - 1) / 2 - padded)
        field += step * (size - 1)
        step *= stride
    return first + step * np.arange(count), field
