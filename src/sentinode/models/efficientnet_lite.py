"""EfficientNet-Lite backbones: EfficientNet without squeeze-and-excitation, with ReLU6 in place of swish."""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from sentinode.errors import ModelError

# Batch normalization as in the reference implementation, whose weights are converted.
_EPSILON, _MOMENTUM = 1e-3, 0.99
_HEAD_FILTERS, _STEM_FILTERS = 1280, 32


@dataclass(frozen=True)
class Stage:
    """A sequence of inverted residual blocks; only the first one has the stride."""

    repeats: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# Width and depth multipliers of each variant.
VARIANTS = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}


def build_efficientnet_lite(variant: str, input_shape: tuple[int | None, int | None, int] = (96, 96, 3)) -> keras.Model:
    """Build an EfficientNet-Lite backbone without its classification head.

    Parameters
    ----------
    variant : str
        A name of `VARIANTS`.
    input_shape : tuple of int
        Rows, columns and channels of the images.

    Returns
    -------
    keras.Model
        Scaled images, float ``(n, rows, columns, 3)``, in; feature maps with 1,280 channels out.

    Raises
    ------
    ModelError
        There is no such variant.

    References
    ----------
    Tan and Le (2019), EfficientNet: rethinking model scaling for convolutional neural networks; the Lite variants
    were published with TensorFlow's TPU models in 2020.

    Examples
    --------
    >>> build_efficientnet_lite("efficientnet-lite0").output_shape
    (None, 3, 3, 1280)
    """
    if variant not in VARIANTS:
        raise ModelError(f"there is no backbone {variant!r}; there are: {', '.join(VARIANTS)}")
    width, depth = VARIANTS[variant]
    images = keras.Input(input_shape, name="images")
    x = _convolution(images, _STEM_FILTERS, 3, 2, "stem")
    number = 0
    for index, stage in enumerate(STAGES):
        # The first and the last stage keep their depth, as the stem and the head keep their width.
        at_an_end = index in (0, len(STAGES) - 1)
        for repeat in range(stage.repeats if at_an_end else math.ceil(depth * stage.repeats)):
            x = _block(x, stage, _scaled(stage.filters, width), stage.stride if repeat == 0 else 1, f"block{number}")
            number += 1
    return keras.Model(images, _convolution(x, _HEAD_FILTERS, 1, 1, "head"), name="backbone")


def _scaled(filters: int, width: float) -> int:
    """Scale a number of filters and round it to a multiple of 8, by no more than a tenth downwards."""
    rounded = max(8, int(filters * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters * width else rounded


def _convolution(x: Any, filters: int, kernel_size: int, strides: int, name: str) -> Any:
    x = layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(_normalized(x, name))


def _normalized(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=f"{name}_norm")(x)


def _block(x: Any, stage: Stage, filters: int, strides: int, name: str) -> Any:
    """Add an inverted residual block: expand, convolve each channel by itself, project."""
    shortcut = x
    if stage.expansion != 1:
        x = _convolution(x, x.shape[-1] * stage.expansion, 1, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        stage.kernel_size, strides, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(_normalized(x, f"{name}_depthwise"))
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalized(x, f"{name}_project")
    if strides == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x
