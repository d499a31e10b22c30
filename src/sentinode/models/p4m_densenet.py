"""The network of the paper that brought PatchCamelyon: a small DenseNet that knows the symmetries of the square."""

from typing import Any

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE
from sentinode.layers.d4 import D4Concatenate, D4Conv, D4Norm, D4Pool
from sentinode.models.cnn import Output, output_layer

BLOCKS = 5


def build_p4m_densenet(*, first_filters: int = 8, growth: int = 9, output: Output = "sigmoid") -> keras.Model:
    """Build the P4M-DenseNet (Veeling et al. 2018, Rotation equivariant CNNs for digital pathology).

    Five dense blocks of one layer each, normalisation and ReLU before every convolution, and between the blocks a
    convolution of 1 × 1 px and a mean over 2 × 2 px, as in the authors' published code. Nothing is padded: what a
    block takes along is cut to the side of what it makes. A value of the last map depends on 80 px of the image, and
    the mean over its 2 × 2 positions on the 96 px of a patch.

    Parameters
    ----------
    first_filters
        Channels of each of the eight blocks of the first map.
    growth
        Channels that a dense block adds to each of them. The paper gives its number of parameters, 119 thousand, and
        not these widths; those that lead there are the defaults.
    output
        ``"sigmoid"``: one unit, P(tumour). ``"softmax"``: two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Model
        uint8 ``(n, 96, 96, 3)`` in; float32 ``(n, 1)`` or ``(n, 2)`` out; the same for all eight orientations.

    Raises
    ------
    ValueError
        A width below 1.

    Examples
    --------
    >>> build_p4m_densenet().count_params()
    118738
    """
    if first_filters < 1 or growth < 1:
        raise ValueError(f"first_filters and growth must be at least 1; got {first_filters} and {growth}")
    patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    # About mean 0 and deviation 1 for H&E, whose background is bright.
    x = layers.Rescaling(4 / 255, offset=-2.8, name="scale")(patches)
    x = D4Conv(first_filters, 3, lift=True, name="lift")(x)
    channels = first_filters
    for number in range(1, BLOCKS + 1):
        made = D4Conv(growth, 3, name=f"dense_{number}")(_active(x, f"dense_{number}"))
        kept = layers.Cropping2D(1, name=f"dense_{number}_cut")(x)
        x = D4Concatenate(name=f"dense_{number}_both")([kept, made])
        channels += growth
        if number < BLOCKS:
            x = D4Conv(channels, 1, name=f"transition_{number}")(_active(x, f"transition_{number}"))
            x = layers.AveragePooling2D(2, name=f"transition_{number}_mean")(x)
    x = layers.GlobalAveragePooling2D(name="mean_over_positions")(_active(x, "last"))
    x = D4Pool(name="mean_over_symmetries")(x)
    return keras.Model(patches, output_layer(output)(x), name="p4m-densenet")


def _active(x: Any, name: str) -> Any:
    """Normalise, then ReLU."""
    return layers.ReLU(name=f"{name}_relu")(D4Norm(name=f"{name}_norm")(x))
