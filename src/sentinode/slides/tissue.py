"""Find tissue on a slide's overview, without pen marks, coverslip edges and dust."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from sentinode.data.types import UInt8Array
from sentinode.errors import DataError
from sentinode.inference.engines import optional
from sentinode.slides.slide import Slide

OVERVIEW_UM_PX = 8.0
# Smaller pieces are smaller than a patch, smaller holes belong to the tissue around them.
LEAST_AREA_MM2, LEAST_HOLE_MM2 = 0.008, 0.02
# Stain from which on a pixel is surely tissue, and from which on it is when it touches such a pixel.
_SURE, _POSSIBLE = 0.08, 0.04
_SMOOTHING_UM = 12.0
# Within this distance, the share of the strongest stain that is glass beside tissue; stain as pale as this is not.
_EDGE_UM, _EDGE_SHARE, _PALE = 24.0, 0.65, 0.1
# Half the width of the thinnest pen mark, how far its ink mixes with tissue, and how far it fades out beyond.
_PEN_UM, _PEN_REACH_UM, _PEN_RIM_UM = 10.0, 60.0, 12.0
_BRIGHT, _COLORLESS = 200, 20
# Share of the density by which the channels of something gray may differ.
_CAST = 0.06

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tissue:
    """Where a slide has tissue.

    Attributes
    ----------
    mask : ndarray of bool, shape (rows, columns)
        True on tissue.
    pixel_level0_px : float
        Side of a mask pixel in level-0 px.
    spacing_um_px : float
        µm per pixel of the mask.
    pen_mm2 : float
        Area of pen marks that were left out.
    """

    mask: Mask
    pixel_level0_px: float
    spacing_um_px: float
    pen_mm2: float

    @property
    def area_mm2(self) -> float:
        """Area of the tissue in mm²."""
        return float(self.mask.sum()) * self.spacing_um_px**2 / 1e6


def find_tissue(slide: Slide) -> Tissue:
    """Find the tissue of a slide.

    Parameters
    ----------
    slide : Slide
        An open slide.

    Returns
    -------
    Tissue

    Raises
    ------
    DataError
        There is no tissue on the slide.
    """
    pixels, selection = slide.thumbnail(OVERVIEW_UM_PX)
    scale = selection.effective_um_px / slide.spacing_um_px
    x, y, width, height = (value / scale for value in slide.bounds_px)
    # Pixels on the rim are mixed with what lies outside.
    scanned = slice(int(np.ceil(y)), int(y + height)), slice(int(np.ceil(x)), int(x + width))
    background = background_color(pixels[scanned])
    mask = np.zeros(pixels.shape[:2], bool)
    mask[scanned], pen = tissue_mask(pixels[scanned], selection.effective_um_px, background)
    if not mask.any():
        raise DataError(
            f"{slide.path}: no tissue found on {pixels.shape[1]} × {pixels.shape[0]} px at "
            f"{selection.effective_um_px:.3g} µm/px; look at the slide: is it empty, very pale, or marked all over?"
        )
    pixel_mm2 = selection.effective_um_px**2 / 1e6
    return Tissue(mask, scale, selection.effective_um_px, float(pen.sum()) * pixel_mm2)


def tissue_in(slide: Slide, region: Any = None) -> Tissue:
    """Take a region as the tissue of a slide, instead of finding it.

    Parameters
    ----------
    slide : Slide
        An open slide.
    region : shapely geometry, optional
        Polygons in level-0 px; the whole scanned part where None.

    Returns
    -------
    Tissue

    Raises
    ------
    DataError
        The region lies outside of the slide.
    """
    full = slide.levels[0]
    scale = OVERVIEW_UM_PX / slide.spacing_um_px
    columns, rows = (max(1, round(size / scale)) for size in (full.width_px, full.height_px))
    if region is None:
        x, y, width, height = slide.bounds_px
        region = optional("shapely", "slides").box(x, y, x + width, y + height)
    mask = region_mask(region, (rows, columns), scale)
    if not mask.any():
        raise DataError(f"{slide.path}: the tissue region lies outside of its {full.width_px} × {full.height_px} px")
    return Tissue(mask, scale, OVERVIEW_UM_PX, 0.0)


def region_mask(region: Any, shape: tuple[int, int], pixel_level0_px: float) -> Mask:
    """Draw a region as a mask.

    Parameters
    ----------
    region : shapely geometry
        Polygons in level-0 px, with holes.
    shape : tuple of int
        Rows and columns of the mask.
    pixel_level0_px : float
        Side of a mask pixel in level-0 px.

    Returns
    -------
    ndarray of bool, shape (rows, columns)

    Examples
    --------
    >>> import shapely
    >>> ring = shapely.box(0, 0, 100, 100) - shapely.box(20, 20, 80, 80)
    >>> island = shapely.box(40, 40, 60, 60)
    >>> mask = region_mask(shapely.MultiPolygon([island, ring]), (10, 10), 10.0)
    >>> mask[1, 1], mask[3, 3], mask[5, 5]
    (np.True_, np.False_, np.True_)
    """
    image = Image.new("1", shape[::-1])
    draw = ImageDraw.Draw(image)
    # Larger ones first: an island in a hole would be erased with the hole.
    for polygon in sorted(getattr(region, "geoms", [region]), key=lambda each: -each.convex_hull.area):
        for ring, value in ((polygon.exterior, 1), *((hole, 0) for hole in polygon.interiors)):
            draw.polygon([(x / pixel_level0_px, y / pixel_level0_px) for x, y in ring.coords], fill=value)
    return np.asarray(image)


def background_color(pixels: UInt8Array) -> tuple[int, int, int]:
    """Estimate the color of empty glass: the median of bright, colorless pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns, 3)
        An overview. Pure white is taken for missing tiles and ignored, unless nothing else is bright.

    Returns
    -------
    tuple of int
        RGB.

    Examples
    --------
    >>> overview = np.full((4, 4, 3), (240, 238, 241), np.uint8)
    >>> overview[0] = 255
    >>> background_color(overview)
    (240, 238, 241)
    """
    darkest, brightest = _lowest(pixels), _highest(pixels)
    glass = (darkest >= _BRIGHT) & (brightest - darkest <= _COLORLESS) & (darkest < 255)
    if glass.sum() < 0.001 * glass.size:
        return (255, 255, 255) if (darkest == 255).any() else (245, 245, 245)
    red, green, blue = np.median(pixels[glass], axis=0)
    return int(red), int(green), int(blue)


def tissue_mask(
    pixels: UInt8Array, spacing_um_px: float, background: tuple[int, int, int] | None = None
) -> tuple[Mask, Mask]:
    """Separate tissue from glass and from pen marks on an overview.

    Tissue takes up colored light: its smoothed optical density, with a gray part counted less, exceeds a threshold, or
    a lower one next to such places, and a share of the highest density nearby. Pen marks are recognized by hue: tissue
    stained with H&E takes up green most, then red or blue; ink takes up green and blue, or red, or all.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns, 3)
        RGB overview.
    spacing_um_px : float
        µm per pixel, about 8.
    background : tuple of int or None
        RGB of glass; estimated where None.

    Returns
    -------
    tissue, pen : ndarray of bool, shape (rows, columns)
    """
    density = _density(pixels, background or background_color(pixels))
    empty = (_lowest(pixels) == 255) | (_highest(pixels) == 0)
    sigma = _SMOOTHING_UM / spacing_um_px
    pen = _pen(pixels, _smoothed(density, ~empty, sigma), spacing_um_px) & ~empty
    usable = ~(pen | empty)
    strength = _stain(_smoothed(density, usable, sigma)) * usable
    # Smoothing spreads dark tissue over the glass beside it.
    nearby = ndimage.maximum_filter(strength, size=2 * round(_EDGE_UM / spacing_um_px) + 1)
    possible = (strength > _POSSIBLE) & (strength > _EDGE_SHARE * (nearby - _PALE))
    mask = ndimage.binary_closing(_touching(possible, strength > _SURE), iterations=1) & usable
    pixel_mm2 = spacing_um_px**2 / 1e6
    holes = usable & ~mask & ~_without_small(usable & ~mask, LEAST_HOLE_MM2 / pixel_mm2)
    mask = _touching(mask | holes, mask)
    return _without_small(mask, LEAST_AREA_MM2 / pixel_mm2), pen


def _density(pixels: UInt8Array, background: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return optical densities, looked up for each gray level: an overview may have a hundred million values."""
    density = np.empty(pixels.shape, np.float32)
    for channel, light in enumerate(background):
        table = np.maximum(np.log((light + 1) / (np.arange(256) + 1.0)), 0).astype(np.float32)
        table.take(pixels[..., channel], out=density[..., channel], mode="clip")
    return density


def _smoothed(density: NDArray[np.float32], usable: Mask, sigma: float) -> NDArray[np.float32]:
    """Average density over usable pixels nearby."""
    weight = np.maximum(ndimage.gaussian_filter(usable.astype(np.float32), sigma), np.float32(1e-3))
    channels = [ndimage.gaussian_filter(density[..., channel] * usable, sigma) / weight for channel in range(3)]
    return np.stack(channels, axis=-1)


def _stain(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much colored light is taken up; gray counts a third, but no more than the color that is with it.

    Coverslip edges, dust and shadows are gray. Pale or dark stains are partly gray as well, but never entirely.
    """
    gray, darkest = _lowest(density), _highest(density)
    color = np.maximum(darkest - gray - _CAST * darkest, 0)
    return color + np.minimum(gray / 3, color)


def _pen(pixels: UInt8Array, density: NDArray[np.float32], spacing_um_px: float) -> Mask:
    """Find ink by its hue, the ratio of the channels' densities.

    H&E takes up green most, blue 0.3 to 0.67 of that, red less than green. Hematoxylin alone takes up red as green.
    """
    red, green, blue = (density[..., channel] for channel in range(3))
    strongest = _highest(density)
    black = (_highest(pixels) < 70) & (_highest(pixels) - _lowest(pixels) < 25)
    # Of each kind of ink the pixels of a clear hue, then those near them that it may be mixed into.
    red_ink = (
        ((blue > 0.69 * green) & (red < 0.25 * green) & (strongest > 0.12))
        | ((blue > 0.7 * green) & (red < 0.36 * green) & (strongest > 0.8)),
        (blue > 0.64 * green) & (red < 0.36 * green) & (strongest > 0.04),
    )
    dark_red_ink = (
        (blue > 0.74 * green) & (blue < green) & (red < 0.8 * green) & (strongest > 0.8),
        (blue > 0.7 * green) & (red < green) & (strongest > 0.1),
    )
    green_or_blue_ink = (
        (red > 1.3 * green + 0.05) & (strongest > 0.25),
        ((red > 1.1 * green + 0.02) | ((blue > 0.7 * green) & (red > 0.68 * green))) & (strongest > 0.06),
    )
    pen = np.zeros(strongest.shape, bool)
    for sure, possible in (red_ink, dark_red_ink, green_or_blue_ink, (black, black)):
        core = ndimage.binary_opening(sure, iterations=max(1, round(_PEN_UM / spacing_um_px)))
        reach = ndimage.maximum_filter(core, size=2 * round(_PEN_REACH_UM / spacing_um_px) + 1)
        pen |= _touching(core | (possible & reach), core)
    return ndimage.binary_dilation(pen, iterations=max(1, round(_PEN_RIM_UM / spacing_um_px)))


def _lowest(image: NDArray[Any]) -> NDArray[Any]:
    """Return the lowest channel; much faster than `min` over an axis of three."""
    return np.minimum(np.minimum(image[..., 0], image[..., 1]), image[..., 2])


def _highest(image: NDArray[Any]) -> NDArray[Any]:
    """Return the highest channel."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def _touching(mask: Mask, core: Mask) -> Mask:
    """Return the connected parts of a mask that contain a pixel of another."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[labels[core]] = True
    kept[0] = False
    return np.asarray(kept[labels])


def _without_small(mask: Mask, least_px: float) -> Mask:
    """Remove connected parts with fewer pixels."""
    labels, _ = ndimage.label(mask)
    large = np.bincount(labels.ravel()) >= least_px
    large[0] = False
    return np.asarray(large[labels])
