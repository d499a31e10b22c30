"""Which networks know the symmetries of the square by construction."""

import keras
from keras import layers

from sentinode.layers.d4 import D4Concatenate, D4Conv, D4Norm, D4Pool

# None of these tells one orientation from another; D4Conv refuses sides that would make it.
ALWAYS = (
    *(D4Conv, D4Norm, D4Concatenate, D4Pool),
    *(layers.InputLayer, layers.Rescaling, layers.ReLU, layers.Dropout, layers.GlobalAveragePooling2D),
)


def is_symmetric(model: keras.Model) -> bool:
    """Say whether a network gives the same for all eight orientations of a patch, whatever its weights.

    Parameters
    ----------
    model
        Any network. One that is built of other layers than those of `d4net` and `p4m-densenet` counts as not symmetric.

    Examples
    --------
    >>> from sentinode import build_model
    >>> is_symmetric(build_model("d4net")), is_symmetric(build_model("cnn"))
    (True, False)
    """
    kinds = {type(layer) for layer in model.layers}
    ends = D4Pool in kinds and layers.GlobalAveragePooling2D in kinds
    return ends and all(_turns(layer) for layer in model.layers)


def _turns(layer: keras.layers.Layer) -> bool:
    """Say whether a layer's output turns with its input, or has no orientation any more."""
    if isinstance(layer, layers.Cropping2D):
        (top, bottom), (left, right) = layer.cropping
        return bool(top == bottom == left == right)
    if isinstance(layer, (layers.AveragePooling2D, layers.MaxPooling2D)):
        (side, other), (step, other_step) = layer.pool_size, layer.strides
        whole = all((length - side) % step == 0 for length in layer.input.shape[1:3])
        return bool(layer.padding == "valid" and side == other and step == other_step and whole)
    if isinstance(layer, layers.Dense):
        return len(layer.input.shape) == 2
    return isinstance(layer, ALWAYS)
