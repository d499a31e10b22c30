"""ResNet-18 for patches."""

from typing import Any

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE
from sentinode.models.cnn import Output, output_layer

STAGES = 4
BLOCKS = 2


def build_resnet18(*, width: int = 64, output: Output = "sigmoid") -> keras.Model:
    """Build ResNet-18 with random initial weights.

    A 7 × 7 convolution and a max pooling, each with stride 2; four stages of two residual blocks, each stage with twice
    the width and half the side of the previous one; global average pooling over the last 3 × 3 positions.

    Parameters
    ----------
    width : int
        Filters of the first stage.
    output : {"sigmoid", "softmax"}
        One unit, P(tumour), or two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Model

    References
    ----------
    K. He et al. (2016), Deep residual learning for image recognition.

    Examples
    --------
    >>> build_resnet18(width=8).count_params()
    177977
    """
    patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    # H&E pixels then have a mean of about 0 and a standard deviation of about 1.
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
    # Where the shapes differ, the shortcut is a 1 × 1 convolution (option B of the paper).
    shortcut = _convolution(x, filters, 1, strides, f"{name}_shortcut") if strides > 1 else x
    x = layers.ReLU(name=f"{name}_relu_1")(_convolution(x, filters, 3, strides, f"{name}_conv_1"))
    x = _convolution(x, filters, 3, 1, f"{name}_conv_2")
    return layers.ReLU(name=f"{name}_relu_2")(layers.Add(name=f"{name}_sum")([shortcut, x]))


def _convolution(x: Any, filters: int, side: int, strides: int, name: str) -> Any:
    options: dict[str, Any] = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, side, strides, name=name, **options)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
