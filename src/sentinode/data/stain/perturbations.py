"""Perturbations of patches in graded levels, for robustness tests: stain, brightness, blur, compression, geometry."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from sentinode.data.stain.optical_density import DENSITY_OF_LEVEL, STAIN_MATRIX, UNMIXING_MATRIX
from sentinode.data.types import UInt8Array


@dataclass(frozen=True)
class Perturbation:
    """One way in which patches of other laboratories, scanners or programs differ.

    Attributes
    ----------
    axis_label : str
        What the levels measure, with the unit.
    levels : tuple of float
        Ascending levels; `neutral` is one of them.
    neutral : float
        Level at which patches do not change.
    function : callable
        Takes uint8 patches ``(n, side, side, 3)`` and a level; returns uint8 patches of the same shape.
    """

    axis_label: str
    levels: tuple[float, ...]
    neutral: float
    function: Callable[[UInt8Array, float], UInt8Array]

    def __call__(self, pixels: UInt8Array, level: float) -> UInt8Array:
        """Perturb patches at a level."""
        return pixels if level == self.neutral else self.function(pixels, level)


def stain_strength(pixels: UInt8Array, factor: float) -> UInt8Array:
    """Multiply all optical densities: lighter below 1, darker above.

    Examples
    --------
    >>> stain_strength(np.full((1, 2, 2, 3), 63, np.uint8), 0.5)[0, 0, 0].tolist()
    [127, 127, 127]
    """
    return _from_densities(DENSITY_OF_LEVEL[pixels] * factor)


def stain_balance(pixels: UInt8Array, change: float) -> UInt8Array:
    """Strengthen hematoxylin by a fraction and weaken eosin by the same: bluer above 0, redder below.

    Examples
    --------
    >>> red, _, blue = stain_balance(np.full((1, 2, 2, 3), 100, np.uint8), 0.3)[0, 0, 0].tolist()
    >>> blue > red
    True
    """
    amounts = DENSITY_OF_LEVEL[pixels] @ UNMIXING_MATRIX * np.array([1 + change, 1 - change, 1])
    return _from_densities(amounts @ STAIN_MATRIX)


def brightness(pixels: UInt8Array, factor: float) -> UInt8Array:
    """Multiply the gray levels, as another exposure does, and clip them at 255.

    Examples
    --------
    >>> brightness(np.full((1, 2, 2, 3), 200, np.uint8), 1.5)[0, 0, 0].tolist()
    [255, 255, 255]
    """
    return _to_uint8(pixels.astype(np.float32) * factor)


def blur(pixels: UInt8Array, sigma_px: float) -> UInt8Array:
    """Blur with a Gaussian, as a lens out of focus does.

    Examples
    --------
    >>> blur(np.full((1, 9, 9, 3), 7, np.uint8), 2.0).max()
    np.uint8(7)
    """
    return _to_uint8(ndimage.gaussian_filter(pixels.astype(np.float32), (0, sigma_px, sigma_px, 0), mode="mirror"))


def jpeg(pixels: UInt8Array, quality: float) -> UInt8Array:
    """Compress as JPEG with 4:2:0 chroma subsampling and decompress.

    Examples
    --------
    >>> jpeg(np.full((1, 16, 16, 3), 255, np.uint8), 30).min()
    np.uint8(255)
    """
    out = np.empty_like(pixels)
    for number, patch in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(patch).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
        out[number] = np.asarray(Image.open(file))
    return out


def resolution(pixels: UInt8Array, factor: float) -> UInt8Array:
    """Magnify (above 1) or reduce around the center; missing borders are mirrored.

    Examples
    --------
    >>> resolution(np.full((1, 9, 9, 3), 7, np.uint8), 0.8).min()
    np.uint8(7)
    """
    center = (pixels.shape[1] - 1) / 2
    offset = (0, center - center / factor, center - center / factor, 0)
    return _to_uint8(
        ndimage.affine_transform(
            pixels.astype(np.float32), (1, 1 / factor, 1 / factor, 1), offset, order=1, mode="mirror"
        )
    )


def rotation(pixels: UInt8Array, degrees: float) -> UInt8Array:
    """Rotate by a multiple of 90°.

    Examples
    --------
    >>> rotation(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), 180)[0, 0, 0].tolist()
    [9, 10, 11]
    """
    return np.rot90(pixels, round(degrees / 90), axes=(1, 2))


def displacement(pixels: UInt8Array, px: float) -> UInt8Array:
    """Shift right and down by whole pixels; missing borders are mirrored.

    Examples
    --------
    >>> displacement(np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3), 1)[0, 1, 1].tolist()
    [0, 1, 2]
    """
    by = round(px)
    padded = np.pad(pixels, ((0, 0), (by, 0), (by, 0), (0, 0)), mode="reflect")
    return padded[:, : pixels.shape[1], : pixels.shape[2]]


def _from_densities(densities: np.ndarray) -> UInt8Array:
    return _to_uint8(256 * np.exp(-densities) - 1)


def _to_uint8(levels: np.ndarray) -> UInt8Array:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


PERTURBATIONS: dict[str, Perturbation] = {
    "stain strength": Perturbation(
        "optical density, factor", (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5), 1.0, stain_strength
    ),
    "stain balance": Perturbation(
        "hematoxylin up and eosin down, fraction", (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3), 0.0, stain_balance
    ),
    "brightness": Perturbation("gray levels, factor", (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3), 1.0, brightness),
    "blur": Perturbation("Gaussian sigma, px", (0.0, 0.5, 1.0, 1.5, 2.0), 0.0, blur),
    # Level 100 stands for patches that are not compressed again.
    "JPEG": Perturbation("JPEG quality", (10.0, 20.0, 30.0, 50.0, 75.0, 90.0, 100.0), 100.0, jpeg),
    "resolution": Perturbation("magnification, factor", (0.8, 0.9, 1.0, 1.1, 1.2), 1.0, resolution),
    "rotation": Perturbation("rotation, degrees", (0.0, 90.0, 180.0, 270.0), 0.0, rotation),
    "displacement": Perturbation("shift right and down, px", (0.0, 2.0, 4.0, 6.0, 8.0), 0.0, displacement),
}
