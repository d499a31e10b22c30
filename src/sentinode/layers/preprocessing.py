"""The pixel preprocessing of `keras.applications` backbones as a layer."""

from importlib import import_module
from typing import Any

import keras


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
        return self._preprocess(keras.ops.cast(pixels, self.compute_dtype), data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "module": self.module}
