"""What a network sees first: the kernels that it moves over the pixels, and what they find in patches."""

from dataclasses import dataclass

import keras
import numpy as np

from sentinode.explanation.model_split import to_first_convolution
from sentinode.layers.d4 import D4Conv


@dataclass(frozen=True)
class FirstLayer:
    """Kernels and responses.

    Attributes
    ----------
    kernels
        float32, ``(filters, side, side, 3)``: weights by row, column and colour. Of a layer that is symmetric by
        construction each kernel once, not in its eight orientations.
    responses
        float32, ``(n, filters, rows, columns)``: what the layer gives for each patch.
    """

    kernels: np.ndarray
    responses: np.ndarray


def first_layer(model: keras.Model, pixels: np.ndarray) -> FirstLayer:
    """Return the kernels of a network's first convolution, and what they find.

    Parameters
    ----------
    model
        Any of ours.
    pixels
        uint8, ``(n, 96, 96, 3)``.

    Raises
    ------
    ModelError
        The network has no convolution over the pixels.

    Examples
    --------
    >>> from sentinode import build_model
    >>> found = first_layer(build_model("d4net"), np.zeros((2, 96, 96, 3), np.uint8))
    >>> found.kernels.shape, found.responses.shape
    ((4, 4, 4, 3), (2, 4, 47, 47))
    """
    network, layer = to_first_convolution(model)
    kernel = layer.whole_kernel() if isinstance(layer, D4Conv) else layer.kernel
    kernels = np.transpose(keras.ops.convert_to_numpy(kernel), (3, 0, 1, 2))[: layer.filters]
    responses = np.transpose(keras.ops.convert_to_numpy(network(pixels, training=False)), (0, 3, 1, 2))
    return FirstLayer(kernels.astype(np.float32), responses[:, : layer.filters].astype(np.float32))
