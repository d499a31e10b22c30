"""A residual network with eighteen layers: what most people would try first."""

from typing import Any

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE
from sentinode.models.cnn import Output, output_layer

STAGES = 4
BLOCKS = 2


def build_resnet18(*, width: int = 64, output: Output = "sigmoid") -> keras.Model:
    """Build ResNet-18 (He et al. 2016, Deep residual learning for image recognition) for patches.

    A convolution of 7 × 7 px and a max pooling, each with stride 2; four stages of two blocks, from one to the next the
    width doubled and the sides halved; a mean over the last 3 × 3 positions.

    Parameters
    ----------
    width
        Filters of the first stage.
    output
        ``"sigmoid"``: one unit, P(tumour). ``"softmax"``: two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Model
        uint8 ``(n, 96, 96, 3)`` in; float32 ``(n, 1)`` or ``(n, 2)`` out; 11,186,625 parameters at the defaults.

    Examples
    --------
    >>> build_resnet18(width=8).count_params()
    177977
    """
    patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    # About mean 0 and deviation 1 for H&E, whose background is bright.
    x = layers.Rescaling(4 / 255, offset=-2.8, name="scale")(patches)
    x = _convolution(x, width, 7, 2, "conv_1")
    x = layers.ReLU(name="relu_1")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool_1")(x)
    for stage in range(STAGES):
        for block in range(BLOCKS):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(x, width * 2**stage, strides, f"stage_{stage + 1}_block_{block + 1}")
    x = layers.GlobalAveragePooling2D(name="mean_over_positions")(x)
    return keras.Model(patches, output_layer(output)(x), name="resnet18")


def _block(x: Any, filters: int, strides: int, name: str) -> Any:
    """Add what two convolutions make of a map to the map itself."""
    # Where the shapes differ, a convolution of 1 × 1 px takes the map along (the paper's option B).
    beside = _convolution(x, filters, 1, strides, f"{name}_beside") if strides > 1 else x
    x = layers.ReLU(name=f"{name}_relu_1")(_convolution(x, filters, 3, strides, f"{name}_conv_1"))
    x = _convolution(x, filters, 3, 1, f"{name}_conv_2")
    return layers.ReLU(name=f"{name}_relu_2")(layers.Add(name=f"{name}_sum")([beside, x]))


def _convolution(x: Any, filters: int, side: int, strides: int, name: str) -> Any:
    """Convolve and normalise."""
    about: dict[str, Any] = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, side, strides, name=name, **about)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
