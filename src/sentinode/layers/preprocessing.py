"""Layers that prepare pixels: exposure, a logarithmic scale, the preprocessing of `keras.applications` backbones."""

from importlib import import_module
from typing import Any

import keras
from keras import ops

from sentinode.data.stain.exposure import EXPOSURE_FACTORS, EXPOSURE_RULE, SPOT_PX
from sentinode.errors import ModelError

# Noise and compression dominate darker pixels.
_DARKEST = 8.0


@keras.saving.register_keras_serializable("sentinode")
class ExposureCorrection(keras.layers.Layer):
    """Brighten underexposed patches: those without a bright spot.

    The brightest spot decides, the largest mean of a channel over 2 × 2 px: at 64 to 190 the patch is multiplied by a
    factor that brings it to between 234 and 255. Brighter patches stay the same, and so do darker ones, such as the
    black frame of a scanner.

    Parameters
    ----------
    rule : dict, optional
        The numbers above, as saved with a network: they are constants of the package.
    **kwargs
        Passed to `keras.layers.Layer`.

    Raises
    ------
    ModelError
        The network was saved with other numbers, by another version of the package.

    Examples
    --------
    >>> import numpy as np
    >>> patches = np.full((3, 96, 96, 3), 100, np.uint8)
    >>> patches[:, :2, :2, 0] = np.array([128, 190, 191])[:, None, None]
    >>> ExposureCorrection()(patches)[:, 9, 9, 0].numpy().round().tolist()
    [183.0, 130.0, 100.0]
    """

    def __init__(self, rule: dict[str, int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rule not in (None, EXPOSURE_RULE):
            raise ModelError(
                f"exposure correction by {rule}; this version of Sentinode supports {EXPOSURE_RULE}; use the version "
                "that saved the network, or train it again"
            )

    def call(self, pixels: Any) -> Any:
        """Return the patches (n, rows, columns, 3), each multiplied by its factor of 1 to 3.7."""
        return ops.cast(correct_exposure(ops.cast(pixels, "float32")), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "rule": EXPOSURE_RULE}


def correct_exposure(pixels: Any) -> Any:
    """Return patches (n, rows, columns, 3) in float32, from 0 to 255, each multiplied by the factor of its exposure."""
    spots = ops.average_pool(pixels, SPOT_PX, SPOT_PX, data_format="channels_last")
    brightest = ops.cast(ops.max(spots, axis=(1, 2, 3), keepdims=True) + 0.5, "int32")  # Rounded.
    return brightened(pixels, ops.take(EXPOSURE_FACTORS, brightest))


def brightened(pixels: Any, factor: Any) -> Any:
    """Return pixels in float32, from 0 to 255, times a factor; what would be brighter than white is white."""
    return ops.minimum(pixels * factor, 255.0)


@keras.saving.register_keras_serializable("sentinode")
class LogIntensity(keras.layers.Layer):
    """Logarithm of pixels, on which a factor on all pixels, such as another brightness, is a constant that is added.

    Examples
    --------
    >>> import numpy as np
    >>> layer, pixels = LogIntensity(), np.array([40, 80, 160, 255], np.uint8)
    >>> [round(float(step), 3) for step in np.diff(layer(pixels))]
    [0.693, 0.693, 0.466]
    >>> float(layer(np.array([0], np.uint8))[0]) == float(layer(np.array([8], np.uint8))[0])
    True
    """

    def call(self, pixels: Any) -> Any:
        """Return ``log(pixels / 255)`` for pixels of 8 to 255; smaller ones count as 8."""
        return ops.cast(log_intensity(ops.cast(pixels, "float32")), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape


def log_intensity(pixels: Any) -> Any:
    """Return ``log(pixels / 255)`` for pixels of 8 to 255; smaller ones count as 8."""
    return ops.log(ops.maximum(pixels, _DARKEST) / 255.0)


@keras.saving.register_keras_serializable("sentinode")
class BackbonePreprocessing(keras.layers.Layer):
    """Apply the `preprocess_input` function of a backbone.

    Parameters
    ----------
    module : str
        Module of the backbone in `keras.applications`, such as ``"mobilenet_v2"``.
    **kwargs
        Passed to `keras.layers.Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BackbonePreprocessing("mobilenet_v2")
    >>> float(layer(np.full((1, 1, 1, 3), 255, np.uint8))[0, 0, 0, 0])
    1.0
    """

    def __init__(self, module: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.module = module
        self._preprocess = import_module(f"keras.applications.{module}").preprocess_input

    def call(self, pixels: Any) -> Any:
        """Scale RGB pixels of shape (n, rows, columns, 3) from 0–255 to the range of the backbone."""
        return self._preprocess(ops.cast(pixels, self.compute_dtype), data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "module": self.module}
