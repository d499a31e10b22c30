"""Compare patches with annotated regions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.data.types import PATCH_SIZE_PX
from sentinode.extras import optional

_POINTS = 1 << 22  # Pixel centers compared with the outlines at once.
_BOXES = 1 << 17  # Patches compared with the outlines at once.

Places = NDArray[np.int64]  # x and y of top left corners in pixels of the resolution that is read, shape (n, 2).


def any_pixel_inside(region: Any, places: Places, scale: float, *, border_px: int, side_px: int) -> NDArray[np.bool_]:
    """Tell for squares inside of patches whether the center of any of their pixels lies in a region.

    Parameters
    ----------
    region : shapely geometry
        Polygons in level-0 px.
    places : ndarray of int, shape (n, 2)
        x and y of the top left corners of patches, in pixels of the resolution that is read.
    scale : float
        Level-0 px along such a pixel.
    border_px, side_px : int
        Distance of the square from the patch's edge, and its side, in the same pixels.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> import shapely
    >>> places = np.array([[0, 0], [32, 0]])
    >>> any_pixel_inside(shapely.box(65, 0, 80, 96), places, 1.0, border_px=32, side_px=32)
    array([False,  True])
    """
    shapely = optional("shapely", "slides")
    found = np.zeros(len(places), bool)
    if region.is_empty or len(places) == 0:
        return found
    shapely.prepare(region)
    corners = (places + border_px) * scale
    squares = shapely.box(*corners.T, *(corners + side_px * scale).T)
    found[:] = shapely.contains_properly(region, squares)
    unclear = np.flatnonzero(shapely.intersects(region, squares) & ~found)
    offsets = (np.arange(side_px) + 0.5) * scale
    at_once = max(1, _POINTS // side_px**2)
    for start in range(0, len(unclear), at_once):
        some = unclear[start : start + at_once]
        x, y = (corners[some, axis, None] + offsets for axis in (0, 1))
        found[some] = shapely.contains_xy(region, x[:, None, :], y[:, :, None]).any(axis=(1, 2))
    return found


def any_part_touches(region: Any, places: Places, scale: float) -> NDArray[np.bool_]:
    """Tell for patches whether any part of them touches a region."""
    shapely = optional("shapely", "slides")
    shapely.prepare(region)
    found = np.zeros(len(places), bool)
    for start in range(0, len(places), _BOXES):
        some = slice(start, start + _BOXES)
        corners = places[some] * scale
        found[some] = shapely.intersects(region, shapely.box(*corners.T, *(corners + PATCH_SIZE_PX * scale).T))
    return found
