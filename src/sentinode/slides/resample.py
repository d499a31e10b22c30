"""Resample pixels by a factor that is not whole, so that each depends on its place alone, not on what is read with it.

Pillow's filters take whole source pixels when they shrink, and round the place of a region to float32.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinode.data.types import UInt8Array

# Resulting rows that are computed at a time: their source pixels stay in the cache.
_BAND_ROWS = 16


@dataclass(frozen=True)
class Weights:
    """The source pixels of each resulting pixel along one direction.

    Attributes
    ----------
    first : ndarray of int, shape (n,)
        First source pixel of each.
    values : ndarray of float32, shape (n, taps)
        Weights of the source pixels from the first on; their sum is 1.
    """

    first: NDArray[np.int64]
    values: NDArray[np.float32]

    @property
    def start(self) -> int:
        """First source pixel of all."""
        return int(self.first[0])

    @property
    def size(self) -> int:
        """Number of source pixels from the first to the last."""
        return int(self.first[-1]) + self.values.shape[1] - self.start


def weights(start: int, count: int, shrink: float) -> Weights:
    """Compute the mean over area where pixels are shrunk, and a bicubic interpolation where they are enlarged.

    Parameters
    ----------
    start, count : int
        First resulting pixel and their number.
    shrink : float
        Source pixels along one resulting pixel.

    Returns
    -------
    Weights

    Examples
    --------
    >>> found = weights(1, 2, 1.5)
    >>> found.first.tolist(), (found.values * 3).tolist()
    ([1, 3], [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0]])
    """
    if shrink > 1:
        edges = np.arange(start, start + count + 1) * shrink
        first = np.floor(edges[:-1]).astype(np.int64)
        taps = first[:, None] + np.arange(int(np.ceil(shrink)) + 1)
        covered = np.minimum(edges[1:, None], taps + 1) - np.maximum(edges[:-1, None], taps)
        return Weights(first, (np.maximum(covered, 0) / shrink).astype(np.float32))
    centers = (np.arange(start, start + count) + 0.5) * shrink - 0.5
    first = np.floor(centers).astype(np.int64) - 1
    away = np.abs(first[:, None] + np.arange(4) - centers[:, None])
    near, far = (1.5 * away - 2.5) * away**2 + 1, ((2.5 - 0.5 * away) * away - 4) * away + 2
    return Weights(first, np.where(away < 1, near, far).astype(np.float32))


def resample(pixels: UInt8Array, down: Weights, across: Weights) -> UInt8Array:
    """Resample the source pixels of two weights.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (down.size, across.size, 3)
    down, across : Weights

    Returns
    -------
    ndarray of uint8, shape (len(down.first), len(across.first), 3)
    """
    rows, columns = down.first - down.start, across.first - across.start
    source = pixels.reshape(len(pixels), -1)
    out = np.empty((len(rows), len(columns), 3), np.uint8)
    # Sums of products of each element, not of matrices: their order must not depend on the shape.
    for top in range(0, len(rows), _BAND_ROWS):
        band, values = rows[top : top + _BAND_ROWS], down.values[top : top + _BAND_ROWS]
        part = source[band[0] : band[-1] + values.shape[1]].astype(np.float32)
        band = band - band[0]
        lines = part[band] * values[:, :1]
        for tap in range(1, values.shape[1]):
            weighted = part[band + tap]
            weighted *= values[:, tap, None]
            lines += weighted
        lines = lines.reshape(len(band), -1, 3)
        result = lines[:, columns] * across.values[:, :1]
        for tap in range(1, across.values.shape[1]):
            weighted = lines[:, columns + tap]
            weighted *= across.values[:, tap, None]
            result += weighted
        out[top : top + _BAND_ROWS] = np.clip(np.rint(result, out=result), 0, 255, out=result)
    return out
