"""Picture of a scanned slide: probabilities, outlines of lesions, and a scale bar."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sentinode.data.types import UInt8Array
from sentinode.plots.style import INK, ORANGE, rgb
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.results.lesions import OUTLINE_FROM, Lesion
from sentinode.slides.results.scale_bar import add_scale_bar
from sentinode.slides.slide import Slide

# Longer side of the picture, unless the slide is scanned more coarsely.
SIDE_PX = 1600
# Orange is rare in H&E; it grows denser from the lower probability to the outline of a lesion.
_TINT_FROM, _DENSEST = 0.2, 0.6


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
    scale = slide.pixel_level0_px(selection)
    image = Image.fromarray(_tinted(pixels, heatmap, scale))
    draw = ImageDraw.Draw(image)
    for lesion in lesions:
        for ring in _rings(lesion.polygon):
            draw.line([(x / scale, y / scale) for x, y in ring.coords], fill=rgb(INK), width=3)
    return add_scale_bar(image, selection.effective_um_px)


def _rings(shape: Any) -> list[Any]:
    polygons = [each for each in getattr(shape, "geoms", [shape]) if each.geom_type == "Polygon"]
    return [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]


def _tinted(pixels: UInt8Array, heatmap: Heatmap, scale: float) -> UInt8Array:
    rows, columns = pixels.shape[:2]
    x_px, y_px = ((np.arange(count) + 0.5) * scale for count in (columns, rows))
    values = np.nan_to_num(heatmap.probability_at(x_px, y_px))
    opacity = _DENSEST * np.clip((values - _TINT_FROM) / (OUTLINE_FROM - _TINT_FROM), 0, 1)[..., None]
    return np.rint(pixels * (1 - opacity) + np.array(rgb(ORANGE)) * opacity).astype(np.uint8)
