"""A part of a slide as a picture for publications: pixels, heat map and a scale bar."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sentinode.data.types import UInt8Array
from sentinode.slides.results.heatmap import Heatmap

MOST_PX = 4000
COLORS = ("viridis", "cividis", "magma")
_FOOTER_PX, _MARGIN_PX, _BAR_PX, _FONT_PX = 48, 16, 6, 22
_INK = (20, 20, 20)


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
    from matplotlib import get_data_path

    from sentinode.slides.results.overview import scale_bar_um  # Takes Matplotlib along.

    rows, columns = pixels.shape[:2]
    image = Image.new("RGB", (columns, rows + _FOOTER_PX), "white")
    image.paste(Image.fromarray(pixels))
    length_um = scale_bar_um(columns * um_px)
    end = _MARGIN_PX + length_um / um_px
    draw = ImageDraw.Draw(image)
    middle = rows + _FOOTER_PX // 2
    draw.rectangle((_MARGIN_PX, middle - _BAR_PX // 2, end, middle + _BAR_PX // 2), fill=_INK)
    text = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    font = ImageFont.truetype(get_data_path() + "/fonts/ttf/DejaVuSans.ttf", _FONT_PX)  # Pillow's own has no µ.
    draw.text((end + 10, middle), text, _INK, font, "lm")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
