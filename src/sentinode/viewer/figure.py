"""A part of a slide as a picture for publications: pixels, heat map and a scale bar."""

import io

import numpy as np
from PIL import Image

from sentinode.data.types import UInt8Array
from sentinode.slides.results.heatmap import Heatmap

MOST_PX = 4000
COLORS = ("viridis", "cividis", "magma")


def lay_over(
    pixels: UInt8Array,
    heatmap: Heatmap,
    corner_px: tuple[float, float],
    scale: float,
    *,
    threshold: float,
    opacity: float,
    colors: str,
) -> UInt8Array:
    """Color the places whose probability reaches a threshold.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns, 3)
    heatmap : Heatmap
    corner_px : tuple of float
        x and y of the top left corner of `pixels` in level-0 px.
    scale : float
        Level-0 px along one of them.
    threshold, opacity : float
        Between 0 and 1.
    colors : {"viridis", "cividis", "magma"}
        Color map.
    """
    from matplotlib import colormaps

    rows, columns = pixels.shape[:2]
    x_px, y_px = (
        start + (np.arange(count) + 0.5) * scale for start, count in zip(corner_px, (columns, rows), strict=True)
    )
    values = np.nan_to_num(heatmap.probability_at(x_px, y_px), nan=-1.0)
    shown = (values >= max(threshold, 0.0))[..., None] * opacity
    tint = 255 * colormaps[colors](np.clip(values, 0, 1))[..., :3]
    return np.rint(pixels * (1 - shown) + tint * shown).astype(np.uint8)


def with_scale_bar(pixels: UInt8Array, um_px: float) -> bytes:
    """Add a scale bar below a picture, and return it as PNG."""
    from sentinode.slides.results.scale_bar import add_scale_bar  # Takes Matplotlib along.

    buffer = io.BytesIO()
    add_scale_bar(Image.fromarray(pixels), um_px).save(buffer, "PNG")
    return buffer.getvalue()
