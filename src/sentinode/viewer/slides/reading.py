"""What the processes of `SlideReaders` do with an open slide."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sentinode.data.types import PATCH_SIZE_PX, PATCH_SPACING_UM_PX, UInt8Array
from sentinode.slides.slide import Slide
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.slides.tiles import DeepZoom, encode_jpeg, read_scaled


@dataclass(frozen=True)
class SlideInfo:
    """What the page must know of a slide to show it.

    Attributes
    ----------
    width_px, height_px : int
        Size at level 0.
    bounds_px : tuple of int
        x, y, width and height of the scanned part.
    spacing_um_px : float
    notes : tuple of str
        See `Slide`.
    """

    width_px: int
    height_px: int
    bounds_px: tuple[int, int, int, int]
    spacing_um_px: float
    notes: tuple[str, ...]


def describe(slide: Slide) -> SlideInfo:
    """Return what the page must know of a slide."""
    full = slide.levels[0]
    return SlideInfo(full.width_px, full.height_px, slide.bounds_px, slide.spacing_um_px, slide.notes)


def tile(slide: Slide, quality: int, level: int, column: int, row: int) -> bytes:
    """Return a DeepZoom tile as JPEG."""
    pyramid = _pyramid(slide)
    box = pyramid.box(level, column, row)
    return encode_jpeg(read_scaled(slide, pyramid.scale(level), *box), quality)


def thumbnail(slide: Slide, quality: int, side_px: int) -> bytes:
    """Return the whole slide as JPEG; the longer side is `side_px` at the most."""
    pyramid = _pyramid(slide)
    full = max(pyramid.width_px, pyramid.height_px)
    side = min(side_px, full)
    level = next(each for each in range(pyramid.max_level + 1) if max(pyramid.size(each)) >= side)
    pixels = read_scaled(slide, pyramid.scale(level), 0, 0, *pyramid.size(level))
    width, height = (max(1, round(each * side / full)) for each in (pyramid.width_px, pyramid.height_px))
    return encode_jpeg(np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)), quality)


def part(slide: Slide, x_px: float, y_px: float, width_px: float, height_px: float, columns: int) -> UInt8Array:
    """Return a part of a slide, stated in level-0 px, as a picture with some columns."""
    scale = width_px / columns
    rows = max(1, round(height_px / scale))
    return read_scaled(slide, scale, round(x_px / scale), round(y_px / scale), columns, rows)


def patches(slide: Slide, centers_px: Sequence[tuple[float, float]]) -> tuple[UInt8Array, float]:
    """Return the patches around places in level-0 px, and their µm per pixel."""
    full = slide.levels[0]
    selection = slide.select_level(PATCH_SPACING_UM_PX)
    scale = slide.pixel_level0_px(selection)
    found = np.empty((len(centers_px), PATCH_SIZE_PX, PATCH_SIZE_PX, 3), np.uint8)
    for number, (x, y) in enumerate(centers_px):
        if not (0 <= x < full.width_px and 0 <= y < full.height_px):
            raise ViewerError(f"x {x:g}, y {y:g}: outside the slide", 422)
        left, top = (round(value / scale - PATCH_SIZE_PX / 2) for value in (x, y))
        found[number] = slide.read(selection, left, top, PATCH_SIZE_PX, PATCH_SIZE_PX)
    return found, selection.effective_um_px


def tissue(slide: Slide) -> bytes:
    """Return the outline of the tissue as GeoJSON."""
    from sentinode.viewer.slides.tissue import tissue_outline  # What finds it starts slowly, and is rarely wanted.

    return json.dumps(tissue_outline(slide)).encode()


def _pyramid(slide: Slide) -> DeepZoom:
    return DeepZoom(slide.levels[0].width_px, slide.levels[0].height_px)
