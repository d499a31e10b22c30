"""P4M-DenseNet, the equivariant network of the PatchCamelyon paper."""

from typing import Any

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE
from sentinode.layers.d4 import D4Concatenate, D4Conv, D4Norm, D4Pool
from sentinode.models.cnn import Output, output_layer

BLOCKS = 5


def build_p4m_densenet(*, first_filters: int = 8, growth: int = 9, output: Output = "sigmoid") -> keras.Model:
    """Build P4M-DenseNet.

    Five dense blocks of one layer each, with batch normalization and ReLU before every convolution; between the
    blocks, a 1 × 1 convolution and 2 × 2 average pooling, as in the authors' published code. There is no padding: the
    skip connection of a block is cropped. The last feature map has a receptive field of 80 px, and the mean over its
    2 × 2 positions covers the 96 px of a patch.

    Parameters
    ----------
    first_filters : int
        Channels of each of the eight orientation blocks of the first feature map.
    growth : int
        Channels that a dense block adds to each orientation block. The paper states 119 thousand parameters and no
        widths; the defaults match that number.
    output : {"sigmoid", "softmax"}
        One unit, P(tumour), or two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Model
        Its output is the same for all eight orientations of a patch.

    Raises
    ------
    ValueError
        A width is below 1.

    References
    ----------
    B. Veeling et al. (2018), Rotation equivariant CNNs for digital pathology.

    Examples
    --------
    >>> build_p4m_densenet().count_params()
    118738
    """
    if first_filters < 1 or growth < 1:
        raise ValueError(f"first_filters and growth must be at least 1; got {first_filters} and {growth}")
    patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    # H&E pixels then have a mean of about 0 and a standard deviation of about 1.
    x = layers.Rescaling(4 / 255, offset=-2.8, name="scale")(patches)
    x = D4Conv(first_filters, 3, lift=True, name="lift")(x)
    channels = first_filters
    for number in range(1, BLOCKS + 1):
        made = D4Conv(growth, 3, name=f"dense_{number}")(_normalize_and_activate(x, f"dense_{number}"))
        kept = layers.Cropping2D(1, name=f"dense_{number}_cut")(x)
        x = D4Concatenate(name=f"dense_{number}_both")([kept, made])
        channels += growth
        if number < BLOCKS:
            x = D4Conv(channels, 1, name=f"transition_{number}")(_normalize_and_activate(x, f"transition_{number}"))
            x = layers.AveragePooling2D(2, name=f"transition_{number}_mean")(x)
    x = layers.GlobalAveragePooling2D(name="mean_over_positions")(_normalize_and_activate(x, "last"))
    x = D4Pool(name="mean_over_symmetries")(x)
    return keras.Model(patches, output_layer(output)(x), name="p4m-densenet")


def _normalize_and_activate(x: Any, name: str) -> Any:
    return layers.ReLU(name=f"{name}_relu")(D4Norm(name=f"{name}_norm")(x))
