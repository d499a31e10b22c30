"""Optical density and the stain matrix of hematoxylin and eosin."""

import numpy as np

from sentinode.data.types import UInt8Array

_COLORS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])

# Optical densities of hematoxylin, eosin and DAB in red, green and blue, one row each of length 1 (Ruifrok and
# Johnston 2001, Quantification of histochemical staining by color deconvolution). DAB stands for the residual.
STAIN_MATRIX = (_COLORS / np.linalg.norm(_COLORS, axis=1, keepdims=True)).astype("float32")
# Densities @ UNMIXING_MATRIX are the amounts of the three stains; amounts @ STAIN_MATRIX are densities.
UNMIXING_MATRIX = np.linalg.inv(STAIN_MATRIX)


def optical_density(pixels: UInt8Array, background_level: float = 256) -> np.ndarray:
    """Compute the optical density: the negative natural logarithm of the transmitted fraction of light.

    Parameters
    ----------
    pixels : ndarray of uint8
        Gray levels. 1 is added to each, so that black has a finite density.
    background_level : float, default=256
        Gray level of light that passes through the empty slide.

    Returns
    -------
    ndarray of float64
        Of the shape of `pixels`.

    Examples
    --------
    >>> optical_density(np.array([255, 127], np.uint8)).round(2).tolist()
    [-0.0, 0.69]
    """
    return -np.log((pixels.astype(np.float64) + 1) / background_level)


# Optical density of every gray level, as a table to look up.
DENSITY_OF_LEVEL = optical_density(np.arange(256, dtype=np.uint8)).astype(np.float32)
