"""Pixel statistics of patches: tissue, brightness, stain and detail, measured without a model."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.stain.optical_density import DENSITY_OF_LEVEL
from sentinode.data.types import UInt8Array

Floats = NDArray[np.floating[Any]]

# A pixel is tissue where its optical density, averaged over red, green and blue, is above this.
TISSUE_DENSITY = 0.15
# Below this tissue fraction, stain and detail of a patch are not meaningful.
MIN_TISSUE_FRACTION = 0.1
# The fraction of pixels that counts as the brightest ones: nearly every patch has bright gaps between its cells.
BRIGHTEST_FRACTION = 0.005
# A pixel is overexposed when all three channels reach this grey level.
OVEREXPOSED_LEVEL = 254


@dataclass(frozen=True)
class PatchStatistics:
    """Pixel statistics of `n` patches.

    Attributes
    ----------
    tissue_fraction : ndarray of shape (n,)
        Fraction of the pixels that are tissue.
    brightness : ndarray of shape (n, 2)
        Optical density that the brightest 0.5 % of the pixels stay below (high in patches that are too dark), and
        fraction of overexposed pixels (high in patches that are too bright).
    stain : ndarray of shape (n, 3)
        Shares of red and blue in the density-weighted mean optical density, and the logarithm of that density.
    detail : ndarray of shape (n, 3)
        Log standard deviation of the detail at scales of 1, 2 and 4 px. Blur and magnification reduce the finest one,
        reduction raises it.
    """

    tissue_fraction: Floats
    brightness: Floats
    stain: Floats
    detail: Floats

    @classmethod
    def from_pixels(cls, pixels: UInt8Array) -> "PatchStatistics":
        """Measure patches.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (n, rows, columns, 3)
            RGB patches.

        Returns
        -------
        PatchStatistics

        Examples
        --------
        >>> statistics = PatchStatistics.from_pixels(np.full((1, 96, 96, 3), 100, np.uint8))
        >>> statistics.tissue_fraction.tolist(), [round(float(value), 2) for value in statistics.stain[0]]
        ([1.0], [0.33, 0.33, -0.07])
        """
        density = DENSITY_OF_LEVEL.take(pixels)
        grey = (density[..., 0] + density[..., 1] + density[..., 2]) / 3  # Several times as fast as `mean` over three.
        flat = grey.reshape(len(grey), -1)
        tissue_fraction = np.count_nonzero(flat > TISSUE_DENSITY, axis=1) / flat.shape[1]
        place = int(BRIGHTEST_FRACTION * flat.shape[1])
        bright = pixels >= OVEREXPOSED_LEVEL
        overexposed = np.count_nonzero(bright[..., 0] & bright[..., 1] & bright[..., 2], axis=(1, 2)) / flat.shape[1]
        brightness = np.column_stack([np.partition(flat, place, axis=1)[:, place], overexposed])
        weighted = (flat[:, None] @ density.reshape(len(density), -1, 3))[:, 0]
        color = weighted / np.maximum(flat.sum(axis=1), 1e-3)[:, None]
        total = np.maximum(color.sum(axis=1, keepdims=True), 1e-3)
        stain = np.column_stack([color[:, [0, 2]] / total, np.log(total / 3)])
        return cls(tissue_fraction, brightness, stain, _detail(grey))

    @classmethod
    def from_patches(cls, patches: PatchSet) -> "PatchStatistics":
        """Measure all patches of a set, in chunks.

        Parameters
        ----------
        patches : PatchSet
            Cached or not.

        Returns
        -------
        PatchStatistics
            In the order of `patches`.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> PatchStatistics.from_patches(open_patches("pcam-mini", split="test")).stain.shape
        (400, 3)
        """
        parts = list(map_patches(patches, cls.from_pixels, "measuring"))
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def _detail(grey: Floats) -> Floats:
    image, levels = grey, []
    for _ in range(3):
        blurred = _blurred(image)
        levels.append((image[:, 1:-1, 1:-1] - blurred).std(axis=(1, 2)))
        image = _halved(blurred)
    return np.log(np.column_stack(levels) + 1e-3)


def _blurred(image: Floats) -> Floats:
    """Convolve with a binomial kernel (1, 2, 1) along rows and columns; the border is cut off."""
    image = (image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]) / 4
    return (image[:, :, :-2] + 2 * image[:, :, 1:-1] + image[:, :, 2:]) / 4


def _halved(image: Floats) -> Floats:
    """Average blocks of 2 × 2 px; an odd last row or column is dropped."""
    even = image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
