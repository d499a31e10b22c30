"""Picture of a scanned slide: probabilities, outlines of lesions, and a scale bar."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sentinode.data.types import UInt8Array
from sentinode.plots.style import INK, ORANGE, rgb
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.results.lesions import OUTLINE_FROM, Lesion
from sentinode.slides.slide import Slide

# Longer side of the picture, unless the slide is scanned more coarsely.
SIDE_PX = 1600
# Orange is rare in H&E; it grows denser from the lower probability to the outline of a lesion.
_TINT_FROM, _DENSEST = 0.2, 0.6
_SCALE_BARS_MM = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_FOOTER_PX = 36


def draw_overview(slide: Slide, heatmap: Heatmap, lesions: Sequence[Lesion]) -> Image.Image:
    """Draw a scanned slide.

    Parameters
    ----------
    slide : Slide
    heatmap : Heatmap
    lesions : sequence of Lesion
        Their outlines are drawn.

    Returns
    -------
    PIL.Image.Image
        RGB, about 1,600 px along the longer side, with a scale bar below.
    """
    full = slide.levels[0]
    longer_um = max(full.width_px, full.height_px) * slide.spacing_um_px
    pixels, selection = slide.thumbnail(max(longer_um / SIDE_PX, slide.spacing_um_px))
    scale = selection.effective_um_px / slide.spacing_um_px
    rows, columns = pixels.shape[:2]
    image = Image.new("RGB", (columns, rows + _FOOTER_PX), "white")
    image.paste(Image.fromarray(_tinted(pixels, heatmap, scale)))
    draw = ImageDraw.Draw(image)
    for lesion in lesions:
        for ring in _rings(lesion.polygon):
            draw.line([(x / scale, y / scale) for x, y in ring.coords], fill=rgb(INK), width=3)
    _draw_scale_bar(draw, columns, rows, selection.effective_um_px)
    return image


def _rings(shape: Any) -> list[Any]:
    polygons = [each for each in getattr(shape, "geoms", [shape]) if each.geom_type == "Polygon"]
    return [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]


def _tinted(pixels: UInt8Array, heatmap: Heatmap, scale: float) -> UInt8Array:
    down, across = (
        np.rint((np.arange(count) * scale - heatmap.origin_px) / heatmap.step_px).astype(int)
        for count in pixels.shape[:2]
    )
    grid = np.pad(np.nan_to_num(heatmap.probability), 1)  # The border stands for places outside the grid.
    values = grid[np.ix_(*(np.clip(at + 1, 0, most - 1) for at, most in zip((down, across), grid.shape, strict=True)))]
    opacity = _DENSEST * np.clip((values - _TINT_FROM) / (OUTLINE_FROM - _TINT_FROM), 0, 1)[..., None]
    return np.rint(pixels * (1 - opacity) + np.array(rgb(ORANGE)) * opacity).astype(np.uint8)


def _draw_scale_bar(draw: ImageDraw.ImageDraw, columns: int, top: int, um_px: float) -> None:
    px_per_mm = 1000 / um_px
    length_mm = max([each for each in _SCALE_BARS_MM if each * px_per_mm <= columns / 4], default=_SCALE_BARS_MM[0])
    end = 10 + length_mm * px_per_mm
    draw.rectangle((10, top + 15, end, top + 20), fill=rgb(INK))
    draw.text((end + 8, top + 10), f"{length_mm:g} mm", fill=rgb(INK), font_size=16)
