"""Recognize networks that are invariant to rotations and reflections by construction."""

import keras
from keras import layers

from sentinode.keras_compat.graph import node_within
from sentinode.layers.d4 import D4Concatenate, D4Conv, D4Norm, D4Pool
from sentinode.layers.preprocessing import ExposureCorrection, LogIntensity

# Equivariant for all parameters; D4Conv refuses sizes for which it would not be.
EQUIVARIANT = (
    *(D4Conv, D4Norm, D4Concatenate, D4Pool),
    *(layers.InputLayer, ExposureCorrection, layers.Rescaling, LogIntensity),
    *(layers.ReLU, layers.Dropout, layers.GlobalAveragePooling2D),
)


def is_symmetric(model: keras.Model) -> bool:
    """Check whether the output of a network is the same for all eight orientations of a patch, for any weights.

    Parameters
    ----------
    model : keras.Model
        Any model. Only architectures made of the layers of `d4net` and `p4m-densenet` are recognized.

    Returns
    -------
    bool

    Examples
    --------
    >>> from sentinode import build_model
    >>> is_symmetric(build_model("d4net")), is_symmetric(build_model("cnn"))
    (True, False)
    """
    kinds = {type(layer) for layer in model.layers}
    pools = D4Pool in kinds and layers.GlobalAveragePooling2D in kinds
    return pools and all(_is_equivariant(model, layer) for layer in model.layers)


def _is_equivariant(model: keras.Model, layer: keras.layers.Layer) -> bool:
    if isinstance(layer, layers.Cropping2D):
        (top, bottom), (left, right) = layer.cropping
        return bool(top == bottom == left == right)
    if isinstance(layer, (layers.AveragePooling2D, layers.MaxPooling2D)):
        (side, other), (step, other_step) = layer.pool_size, layer.strides
        whole = all((length - side) % step == 0 for length in node_within(model, layer).input_tensors[0].shape[1:3])
        return bool(layer.padding == "valid" and side == other and step == other_step and whole)
    if isinstance(layer, layers.Dense):
        return len(node_within(model, layer).input_tensors[0].shape) == 2
    return isinstance(layer, EQUIVARIANT)
