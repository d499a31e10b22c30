"""D4Net: small networks that are equivariant to rotations and reflections and fully convolutional."""

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE
from sentinode.layers.d4 import D4Conv, D4Norm, D4Pool
from sentinode.layers.preprocessing import ExposureCorrection, LogIntensity
from sentinode.models.cnn import Output, output_layer

# Channels of each of the eight orientation blocks, by layer.
WIDTHS = {
    "s": (4, 12, 12, 16, 16, 16, 16),
    "m": (6, 16, 20, 24, 24, 24, 24),
    "l": (8, 24, 24, 32, 32, 32, 32),
}
# Side and stride of the kernel of each layer, in px of its input. There is no padding; all strides divide exactly.
# The last feature map has a receptive field of 72 px; the mean over its 4 × 4 positions covers the 96 px of a patch.
KERNELS = ((4, 2), (3, 2), (3, 1), (3, 2), (3, 1), (3, 1), (3, 1))


def build_d4net(
    *,
    size: str = "s",
    dropout: float = 0.2,
    output: Output = "sigmoid",
    brightness_invariant: bool = False,
    exposure_correction: bool = False,
) -> keras.Model:
    """Build a network whose output is the same for all eight orientations of a patch.

    Parameters
    ----------
    size : {"s", "m", "l"}
        Width of the network.
    dropout : float
        Fraction of the pooled features that is dropped in training.
    output : {"sigmoid", "softmax"}
        One unit, P(tumour), or two units, P(normal) and P(tumour).
    brightness_invariant : bool, default False
        Whether the first layer sees only differences of the logarithms of pixels, so that a factor on all pixels does
        not change the output, up to rounding and clipped white.
    exposure_correction : bool, default False
        Whether patches without a bright spot are brightened first; see `ExposureCorrection`.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        The size is unknown.

    Examples
    --------
    >>> build_d4net().count_params()
    83521
    """
    if size not in WIDTHS:
        raise ValueError(f"size must be one of {', '.join(WIDTHS)}; got {size!r}")
    patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    x = ExposureCorrection(name="exposure")(patches) if exposure_correction else patches
    # H&E pixels then have a mean of about 0 and a standard deviation of about 1.
    if brightness_invariant:
        x = layers.Rescaling(2.5, offset=1.5, name="scale")(LogIntensity(name="log_intensity")(x))
    else:
        x = layers.Rescaling(4 / 255, offset=-2.8, name="scale")(x)
    for number, (width, (side, stride)) in enumerate(zip(WIDTHS[size], KERNELS, strict=True), start=1):
        first = number == 1
        x = D4Conv(width, side, stride, first, zero_sum=first and brightness_invariant, name=f"conv_{number}")(x)
        x = D4Norm(name=f"norm_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
    x = layers.GlobalAveragePooling2D(name="mean_over_positions")(x)
    x = D4Pool(name="mean_over_symmetries")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(patches, output_layer(output)(x), name=f"d4net-{size}")
