"""What a `keras.applications` backbone expects of its pixels, as a layer inside the model."""

from importlib import import_module
from typing import Any

import keras


@keras.saving.register_keras_serializable("sentinode")
class BackbonePreprocessing(keras.layers.Layer):
    """Scale grey levels 0–255 as a backbone was trained to see them.

    Parameters
    ----------
    module
        The backbone's module in `keras.applications`, such as ``"mobilenet_v2"``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BackbonePreprocessing("mobilenet_v2")
    >>> float(layer(np.full((1, 1, 1, 3), 255, np.uint8))[0, 0, 0, 0])
    1.0
    """

    def __init__(self, module: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.module = module
        self._preprocess = import_module(f"keras.applications.{module}").preprocess_input

    def call(self, pixels: Any) -> Any:
        """Take uint8 or float ``(n, h, w, 3)``, RGB; give the layer's dtype in the backbone's own scale."""
        return self._preprocess(keras.ops.cast(pixels, self.compute_dtype), data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Keep the shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made from."""
        return {**super().get_config(), "module": self.module}
