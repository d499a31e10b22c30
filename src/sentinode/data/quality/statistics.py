"""Pixel statistics of patches, measured without a model: tissue, brightness, stain, detail and artifacts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sentinode.data.duplicates.near_duplicates import describe_pixels
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.stain.optical_density import DENSITY_OF_LEVEL, UNMIXING_MATRIX
from sentinode.data.types import UInt8Array

Floats = NDArray[np.floating[Any]]
Statistics = TypeVar("Statistics", bound="PatchStatistics | ChannelStatistics")

# A pixel is tissue where its optical density, averaged over red, green and blue, is above this.
TISSUE_DENSITY = 0.15
# Below this tissue fraction, stain and detail of a patch are not meaningful.
MIN_TISSUE_FRACTION = 0.1
# The fraction of pixels that counts as the brightest ones: nearly every patch has bright gaps between its cells.
BRIGHTEST_FRACTION = 0.005
# A pixel is overexposed when all three channels reach this gray level.
OVEREXPOSED_LEVEL = 254
# Side of the blocks in which colors are averaged before their saturation is measured.
BLOCK_PX = 8
# Added to standard deviations of optical density before their logarithm is taken.
EPSILON = 1e-3


@dataclass(frozen=True)
class PatchStatistics:
    """Statistics that out-of-distribution detection compares, of `n` patches.

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
        return PatchStatistics(*_patch_statistics(pixels, *_densities(pixels)))

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
        return concatenate(list(map_patches(patches, cls.from_pixels, "measuring")))


@dataclass(frozen=True)
class QualityStatistics(PatchStatistics):
    """`PatchStatistics`, and further statistics for quality checks, of `n` patches.

    Attributes
    ----------
    contrast : ndarray of shape (n,)
        Log standard deviation of optical density.
    ink_fraction, black_fraction, clipped_fraction : ndarray of shape (n,)
        Fractions of green or blue pixels, of black pixels, and of pixels with a channel at 255.
    stain_amounts : ndarray of shape (n, 2)
        Mean amounts of hematoxylin and eosin in the tissue, in optical density; NaN without tissue.
    tissue_color : ndarray of shape (n, 3)
        Mean red, green and blue of the tissue, in gray levels; NaN without tissue.
    descriptors : ndarray of float32, shape (n, 24)
        Descriptors for the search for near duplicates; see `describe_pixels`.
    """

    contrast: Floats
    ink_fraction: Floats
    black_fraction: Floats
    clipped_fraction: Floats
    stain_amounts: Floats
    tissue_color: Floats
    descriptors: NDArray[np.float32]

    @classmethod
    def from_pixels(cls, pixels: UInt8Array) -> "QualityStatistics":
        """Measure patches, uint8 of shape ``(n, 96, 96, 3)``."""
        density, gray = _densities(pixels)
        amounts, color = _tissue_means(pixels, density, gray)
        return QualityStatistics(
            *_patch_statistics(pixels, density, gray),
            np.log(gray.std(axis=(1, 2)) + EPSILON),
            *_artifact_fractions(pixels),
            amounts,
            color,
            describe_pixels(pixels),
        )


@dataclass(frozen=True)
class ChannelStatistics:
    """Gray levels and saturation of `n` patches.

    Attributes
    ----------
    mean, mean_square : ndarray of shape (n, 3)
        Mean of the gray levels and of their squares, for each channel.
    saturation : ndarray of shape (n,)
        Largest saturation (HSV, 0 to 1) of the mean colors of 8 × 8 px blocks; 0 for black blocks.
    """

    mean: Floats
    mean_square: Floats
    saturation: Floats

    @classmethod
    def from_pixels(cls, pixels: UInt8Array) -> "ChannelStatistics":
        """Measure patches, uint8 of shape ``(n, 96, 96, 3)``."""
        count, side = len(pixels), pixels.shape[1] // BLOCK_PX
        flat = pixels.reshape(count, -1, 3).astype(np.float32)
        rows = pixels.reshape(count, side, BLOCK_PX, side, BLOCK_PX, 3).sum(axis=2, dtype=np.uint16)
        blocks = rows.sum(axis=3, dtype=np.float32) / BLOCK_PX**2
        highest, lowest = blocks.max(axis=-1), blocks.min(axis=-1)
        saturation = np.where(highest > 8, (highest - lowest) / np.maximum(highest, 1), 0)
        squares = np.square(flat).mean(axis=1, dtype=np.float64)
        return cls(flat.mean(axis=1, dtype=np.float64), squares, saturation.max(axis=(1, 2)))


def concatenate(parts: Sequence[Statistics]) -> Statistics:
    """Join the statistics of several chunks of patches."""
    kind = type(parts[0])
    return kind(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(kind)))


def _densities(pixels: UInt8Array) -> tuple[Floats, Floats]:
    """Return optical densities, and their means over the three channels."""
    density = DENSITY_OF_LEVEL.take(pixels)
    # Several times as fast as `mean` over an axis of three.
    return density, (density[..., 0] + density[..., 1] + density[..., 2]) / 3


def _patch_statistics(pixels: UInt8Array, density: Floats, gray: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    flat = gray.reshape(len(gray), -1)
    tissue_fraction = np.count_nonzero(flat > TISSUE_DENSITY, axis=1) / flat.shape[1]
    place = int(BRIGHTEST_FRACTION * flat.shape[1])
    bright = pixels >= OVEREXPOSED_LEVEL
    overexposed = np.count_nonzero(bright[..., 0] & bright[..., 1] & bright[..., 2], axis=(1, 2)) / flat.shape[1]
    brightness = np.column_stack([np.partition(flat, place, axis=1)[:, place], overexposed])
    weighted = (flat[:, None] @ density.reshape(len(density), -1, 3))[:, 0]
    color = weighted / np.maximum(flat.sum(axis=1), 1e-3)[:, None]
    total = np.maximum(color.sum(axis=1, keepdims=True), 1e-3)
    stain = np.column_stack([color[:, [0, 2]] / total, np.log(total / 3)])
    image, levels = gray, []
    for _ in range(3):
        blurred = _blurred(image)
        levels.append((image[:, 1:-1, 1:-1] - blurred).std(axis=(1, 2)))
        image = _halved(blurred)
    return tissue_fraction, brightness, stain, np.log(np.column_stack(levels) + EPSILON)


def _blurred(image: Floats) -> Floats:
    """Convolve with a binomial kernel (1, 2, 1) along rows and columns; the border is cut off."""
    image = (image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]) / 4
    return (image[:, :, :-2] + 2 * image[:, :, 1:-1] + image[:, :, 2:]) / 4


def _halved(image: Floats) -> Floats:
    """Average blocks of 2 × 2 px; an odd last row or column is dropped."""
    even = image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4


def _artifact_fractions(pixels: UInt8Array) -> tuple[Floats, Floats, Floats]:
    """Return the fractions of pixels with ink, black pixels and clipped pixels."""
    red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    is_green = (green > red + 20) & (green >= blue - 10)
    is_blue = (blue > red + 80) | ((blue > red + 60) & (green > red + 15))
    is_black = (highest < 50) & (highest - lowest < 12)
    ink = np.maximum(is_green.mean(axis=(1, 2)), is_blue.mean(axis=(1, 2)))
    return ink, is_black.mean(axis=(1, 2)), (highest == 255).mean(axis=(1, 2))


def _tissue_means(pixels: UInt8Array, density: Floats, gray: Floats) -> tuple[Floats, Floats]:
    """Return the mean stain amounts and the mean color of the tissue."""
    # A quarter of the pixels gives the same means.
    tissue = (gray[:, ::2, ::2] > TISSUE_DENSITY).reshape(len(pixels), 1, -1).astype(np.float32)
    count = tissue.sum(axis=2)
    means = [
        (tissue @ values[:, ::2, ::2].reshape(len(pixels), -1, 3).astype(np.float32))[:, 0]
        for values in (density, pixels)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_density, color = (mean / count for mean in means)
    return mean_density @ UNMIXING_MATRIX[:, :2], color
