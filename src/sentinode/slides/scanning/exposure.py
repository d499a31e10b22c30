"""Scan with networks that correct the exposure: the patches of a region may need different factors."""

from collections.abc import Callable
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sentinode.data.stain.exposure import EXPOSURE_FACTORS, SPOT_PX
from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.slides.blocks import plan_blocks
from sentinode.slides.grid import STEP_PX

# Pixels (rows, columns, 3), how many places down and across, and the factor of their exposure in; calibrated log-odds
# of all places out.
DenseNetwork = Callable[[UInt8Array, tuple[int, int], float], NDArray[np.float32]]


def compute_at_exposure(
    dense: DenseNetwork, pixels: UInt8Array, wanted: NDArray[np.bool_], step_px: int
) -> NDArray[np.float32]:
    """Compute each wanted place with the factor of its patch.

    Nearly all patches of a slide have the same factor: the block is computed with the most common one, and once more
    around the patches that need another.

    Parameters
    ----------
    dense : callable
        Computes all places of a block with one factor.
    pixels : ndarray of uint8, shape (rows, columns, 3)
        Of the block.
    wanted : ndarray of bool, shape (rows, columns)
        Which of its places are to be computed.
    step_px : int
        Distance of neighboring places, a multiple of 8.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        Calibrated log-odds; of places that are not wanted, any value.
    """
    factors = EXPOSURE_FACTORS[brightest_of_places(pixels, wanted.shape, step_px)]
    found, counts = np.unique(factors[wanted], return_counts=True)
    most, *others = found[np.argsort(-counts)].tolist() or [1.0]
    out = dense(pixels, wanted.shape, most)
    for factor in others:
        places = wanted & (factors == factor)
        for block in chain.from_iterable(plan_blocks(places, step_px).values()):
            inside = slice(block.row, block.row + block.rows), slice(block.column, block.column + block.columns)
            shape = places[inside].shape  # Sides of blocks are rounded up.
            top, left = block.row * step_px, block.column * step_px
            height, width = ((count - 1) * step_px + PATCH_SIZE_PX for count in shape)
            again = dense(pixels[top : top + height, left : left + width], shape, factor)
            np.copyto(out[inside], again, where=places[inside])
    return out


def brightest_of_places(pixels: UInt8Array, shape: tuple[int, ...], step_px: int) -> UInt8Array:
    """Return the gray level of the brightest spot of each patch: the largest mean of a channel over 2 × 2 px.

    Examples
    --------
    >>> pixels = np.zeros((96, 112, 3), np.uint8)
    >>> pixels[4:6, 100:102, 2] = 200
    >>> brightest_of_places(pixels, (1, 3), 8).tolist()
    [[0, 200, 200]]
    """
    rows, columns = (((count - 1) * step_px + PATCH_SIZE_PX) // STEP_PX for count in shape)
    inside = np.ascontiguousarray(pixels[: rows * STEP_PX, : columns * STEP_PX])
    spots = np.asarray(Image.fromarray(inside).reduce(SPOT_PX))
    tiles = spots.reshape(rows, STEP_PX // SPOT_PX, -1).max(axis=1).reshape(rows, columns, -1).max(axis=2)
    for axis in range(2):
        windows = np.lib.stride_tricks.sliding_window_view(tiles, PATCH_SIZE_PX // STEP_PX, axis=axis)
        tiles = np.take(windows, range(0, windows.shape[axis], step_px // STEP_PX), axis=axis).max(axis=-1)
    return tiles
