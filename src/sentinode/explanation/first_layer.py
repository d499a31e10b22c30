"""Kernels of a network's first convolution, and their responses."""

from dataclasses import dataclass

import keras
import numpy as np

from sentinode.explanation.model_split import split_at_first_convolution
from sentinode.layers.d4 import D4Conv


@dataclass(frozen=True)
class FirstLayer:
    """Kernels and responses of the first convolution.

    Attributes
    ----------
    kernels : ndarray of shape (filters, side, side, 3)
        float32. Of a symmetric layer each kernel appears in one of its eight orientations.
    responses : ndarray of shape (n, filters, rows, columns)
        float32: the output of the layer for each patch.
    """

    kernels: np.ndarray
    responses: np.ndarray


def first_layer(model: keras.Model, pixels: np.ndarray) -> FirstLayer:
    """Return the kernels of a network's first convolution, and their responses to patches.

    Parameters
    ----------
    model : keras.Model
        A network of Sentinode.
    pixels : ndarray of shape (n, 96, 96, 3)
        uint8 patches.

    Returns
    -------
    FirstLayer

    Raises
    ------
    ModelError
        The network has no convolution on the pixels.

    Examples
    --------
    >>> from sentinode import build_model
    >>> found = first_layer(build_model("d4net"), np.zeros((2, 96, 96, 3), np.uint8))
    >>> found.kernels.shape, found.responses.shape
    ((4, 4, 4, 3), (2, 4, 47, 47))
    """
    network, layer = split_at_first_convolution(model)
    kernel = layer.full_kernel() if isinstance(layer, D4Conv) else layer.kernel
    kernels = np.transpose(keras.ops.convert_to_numpy(kernel), (3, 0, 1, 2))[: layer.filters]
    responses = np.transpose(keras.ops.convert_to_numpy(network(pixels, training=False)), (0, 3, 1, 2))
    return FirstLayer(kernels.astype(np.float32), responses[:, : layer.filters].astype(np.float32))
