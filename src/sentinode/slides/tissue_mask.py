"""Separate tissue from glass, pen marks, coverslip edges and dust on an overview of a slide."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sentinode.data.stain.exposure import exposure_factors
from sentinode.data.types import UInt8Array

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
# Overviews are brightened up to where all glass is recognized; 0.1 % of their pixels may be reflections.
_FACTORS, _NEARLY_ALL = exposure_factors(_BRIGHT + _COLORLESS - 1), 0.999
# Share of the density by which the channels of something gray may differ.
_CAST = 0.06
# Red, dark red, green or blue, and black.
_INKS = 4
_TILE_PX = 256

Mask = NDArray[np.bool_]


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
    # Counting gray levels is much faster than `numpy.median`.
    counts = np.reshape(Image.fromarray(pixels).histogram(Image.fromarray(glass)), (3, 256))
    red, green, blue = (_median(each) for each in counts)
    return red, green, blue


def tissue_mask(pixels: UInt8Array, spacing_um_px: float) -> tuple[Mask, Mask]:
    """Separate tissue from glass and from pen marks on an overview.

    Tissue takes up colored light: its smoothed optical density, with a gray part counted less, exceeds a threshold, or
    a lower one next to such places, and a share of the highest density nearby. Pen marks are recognized by hue: tissue
    stained with H&E takes up green most, then red or blue; ink takes up green and blue, or red, or all.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns, 3)
        RGB overview. An underexposed one, without a bright spot, is brightened first.
    spacing_um_px : float
        µm per pixel, about 8.

    Returns
    -------
    tissue, pen : ndarray of bool, shape (rows, columns)
    """
    exposure = _FACTORS[int(np.quantile(_highest(pixels), _NEARLY_ALL))]
    if exposure > 1:
        pixels = np.minimum(np.rint(pixels * exposure), 255).astype(np.uint8)
    overview = _Overview(pixels, background_color(pixels), spacing_um_px)
    pen = _pen(overview)
    strength = overview.strength(pen)
    usable = ~(pen | overview.empty)
    # Smoothing spreads dark tissue over the glass beside it.
    nearby = ndimage.maximum_filter(strength, size=2 * round(_EDGE_UM / spacing_um_px) + 1)
    possible = (strength > _POSSIBLE) & (strength > _EDGE_SHARE * (nearby - _PALE))
    mask = _touching(possible, strength > _SURE)
    if not mask.any():
        return mask, pen
    pixel_mm2 = spacing_um_px**2 / 1e6
    least_hole_px = LEAST_HOLE_MM2 / pixel_mm2
    box = _box(mask, margin_px=int(least_hole_px) + 1)  # So wide that the glass around tissue is no hole.
    inside, usable = mask[box], usable[box]
    inside = ndimage.binary_closing(inside, iterations=1) & usable
    holes = usable & ~inside & ~_without_small(usable & ~inside, least_hole_px)
    inside = _touching(inside | holes, inside)
    mask[box] = _without_small(inside, LEAST_AREA_MM2 / pixel_mm2)
    return mask, pen


class _Overview:
    """Optical densities of an overview, smoothed in tiles: most of a large slide is glass, whose tiles are skipped.

    A tile fits into the processor's cache, and the densities of the whole overview are never in memory at once.
    """

    def __init__(self, pixels: UInt8Array, background: tuple[int, int, int], spacing_um_px: float) -> None:
        self.spacing_um_px = spacing_um_px
        self.empty = (_lowest(pixels) == 255) | (_highest(pixels) == 0)
        self._pixels = pixels
        self._tables = [
            np.maximum(np.log((light + 1) / (np.arange(256) + 1.0)), 0).astype(np.float32) for light in background
        ]
        self._sigma = _SMOOTHING_UM / spacing_um_px
        # SciPy's Gaussian ends after four standard deviations.
        self._margin = int(4 * self._sigma + 0.5)
        self._strength = np.zeros(pixels.shape[:2], np.float32)
        self.inks = np.zeros(pixels.shape[:2], np.uint8)
        for tile in self._tiles():
            density = self._smoothed(tile, ~self.empty[tile.around])
            if density is not None:
                self._strength[tile.place] = (_stain(density) * ~self.empty[tile.around])[tile.inside]
                self.inks[tile.place] = _inks(pixels[tile.around], density)[tile.inside]

    def strength(self, pen: Mask) -> NDArray[np.float32]:
        """Return how much stain there is, without that of pen marks."""
        if pen.any():
            for tile in self._tiles():
                if not pen[tile.around].any():
                    continue
                usable = ~(pen | self.empty)[tile.around]
                density = self._smoothed(tile, usable)
                if density is not None:
                    self._strength[tile.place] = (_stain(density) * usable)[tile.inside]
        return self._strength

    def _tiles(self) -> Iterator["_Tile"]:
        rows, columns = self._pixels.shape[:2]
        for y in range(0, rows, _TILE_PX):
            for x in range(0, columns, _TILE_PX):
                yield _Tile.at(y, x, self._margin)

    def _smoothed(self, tile: "_Tile", usable: Mask) -> NDArray[np.float32] | None:
        """Average density over usable pixels nearby; None where all are too pale for ink and tissue."""
        pixels = self._pixels[tile.around]
        density = np.empty(pixels.shape, np.float32)
        for channel, table in enumerate(self._tables):
            table.take(pixels[..., channel], out=density[..., channel], mode="clip")
        if not density.max() > _POSSIBLE:
            return None
        weight = ndimage.gaussian_filter(usable.astype(np.float32), self._sigma)
        weight = np.maximum(weight, np.float32(1e-3))
        for channel in range(3):
            density[..., channel] = ndimage.gaussian_filter(density[..., channel] * usable, self._sigma) / weight
        return density


class _Tile(NamedTuple):
    """A square of an overview: its place, this with a margin, and where it lies within the margin."""

    place: tuple[slice, slice]
    around: tuple[slice, slice]
    inside: tuple[slice, slice]

    @classmethod
    def at(cls, y: int, x: int, margin_px: int) -> "_Tile":
        place = slice(y, y + _TILE_PX), slice(x, x + _TILE_PX)
        around = tuple(slice(max(0, each.start - margin_px), each.stop + margin_px) for each in place)
        inside = tuple(
            slice(each.start - wide.start, each.stop - wide.start) for each, wide in zip(place, around, strict=True)
        )
        return cls(place, (around[0], around[1]), (inside[0], inside[1]))


def _stain(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much colored light is taken up; gray counts a third, but no more than the color that is with it.

    Coverslip edges, dust and shadows are gray. Pale or dark stains are partly gray as well, but never entirely.
    """
    gray, darkest = _lowest(density), _highest(density)
    color = np.maximum(darkest - gray - _CAST * darkest, 0)
    return color + np.minimum(gray / 3, color)


def _inks(pixels: UInt8Array, density: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Find ink by its hue, the ratio of the channels' densities; return two bits for each kind of ink.

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
    bits = np.zeros(strongest.shape, np.uint8)
    for number, mask in enumerate((*red_ink, *dark_red_ink, *green_or_blue_ink, black, black)):
        bits |= mask.astype(np.uint8) << np.uint8(number)
    return bits


def _pen(overview: _Overview) -> Mask:
    """Return pen marks: strokes of a clear hue, with the pixels near them that their ink is mixed into."""
    pen = np.zeros(overview.inks.shape, bool)
    reach_px = round(_PEN_REACH_UM / overview.spacing_um_px)
    width, rim = (max(1, round(each / overview.spacing_um_px)) for each in (_PEN_UM, _PEN_RIM_UM))
    for number in range(_INKS):
        sure, possible = (overview.inks & (1 << bit) != 0 for bit in (2 * number, 2 * number + 1))
        if not sure.any():
            continue
        box = _box(sure, margin_px=1)
        core = np.zeros_like(sure)
        core[box] = ndimage.binary_opening(sure[box], iterations=width)
        if not core.any():
            continue
        box = _box(core, margin_px=reach_px + 1)
        reach = ndimage.maximum_filter(core[box], size=2 * reach_px + 1)
        pen[box] |= _touching(core[box] | (possible[box] & reach), core[box])
    if pen.any():
        box = _box(pen, margin_px=rim + 1)
        pen[box] = ndimage.binary_dilation(pen[box], iterations=rim)
    return pen & ~overview.empty


def _box(mask: Mask, margin_px: int) -> tuple[slice, slice]:
    """Return the slices around a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    down, across = (slice(max(0, int(each[0]) - margin_px), int(each[-1]) + 1 + margin_px) for each in (rows, columns))
    return down, across


def _median(counts: NDArray[np.int64]) -> int:
    """Return the median of integers of which there are so many of each, rounded down."""
    below, total = np.cumsum(counts), int(counts.sum())
    low, high = np.searchsorted(below, [(total - 1) // 2, total // 2], side="right")
    return int(low + high) // 2


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
