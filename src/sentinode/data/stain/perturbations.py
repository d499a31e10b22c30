"""What other laboratories, scanners and programs do to a patch, in graded steps, without chance: for stress tests."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from sentinode.data.stain.normalizers import STAINS
from sentinode.data.types import UInt8Array

_UNMIXED = np.linalg.inv(STAINS)


@dataclass(frozen=True)
class Perturbation:
    """One way in which patches differ from place to place.

    Attributes
    ----------
    what
        In words, with its unit: the label of an axis.
    levels
        In rising order; `neutral` is one of them.
    neutral
        The level at which patches are as they were.
    change
        uint8 ``(n, side, side, 3)`` and a level in, uint8 of the same shape out.
    """

    what: str
    levels: tuple[float, ...]
    neutral: float
    change: Callable[[UInt8Array, float], UInt8Array]

    def __call__(self, pixels: UInt8Array, level: float) -> UInt8Array:
        """Change patches; at the neutral level they come back as they are."""
        return pixels if level == self.neutral else self.change(pixels, level)


def stain_strength(pixels: UInt8Array, factor: float) -> UInt8Array:
    """Multiply all optical densities: paler below 1, darker above.

    Examples
    --------
    >>> stain_strength(np.full((1, 2, 2, 3), 63, np.uint8), 0.5)[0, 0, 0].tolist()
    [127, 127, 127]
    """
    return _of_densities(_densities(pixels) * factor)


def stain_balance(pixels: UInt8Array, more: float) -> UInt8Array:
    """Make haematoxylin stronger by a part and eosin weaker by the same: bluer above 0, redder below.

    Examples
    --------
    >>> red, _, blue = stain_balance(np.full((1, 2, 2, 3), 100, np.uint8), 0.3)[0, 0, 0].tolist()
    >>> blue > red
    True
    """
    stains = _densities(pixels) @ _UNMIXED * np.array([1 + more, 1 - more, 1])
    return _of_densities(stains @ STAINS)


def brightness(pixels: UInt8Array, factor: float) -> UInt8Array:
    """Multiply the grey levels, as another exposure does; what would pass 255 is 255.

    Examples
    --------
    >>> brightness(np.full((1, 2, 2, 3), 200, np.uint8), 1.5)[0, 0, 0].tolist()
    [255, 255, 255]
    """
    return _whole(pixels.astype(np.float32) * factor)


def blur(pixels: UInt8Array, sigma_px: float) -> UInt8Array:
    """Blur as a lens out of focus does, by a Gaussian.

    Examples
    --------
    >>> blur(np.full((1, 9, 9, 3), 7, np.uint8), 2.0).max()
    np.uint8(7)
    """
    return _whole(ndimage.gaussian_filter(pixels.astype(np.float32), (0, sigma_px, sigma_px, 0), mode="mirror"))


def jpeg(pixels: UInt8Array, quality: float) -> UInt8Array:
    """Compress as JPEG with colour at half the resolution (4:2:0), and read it again.

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
    """Show the tissue larger (above 1) or smaller around the same centre; what is then missing is mirrored.

    Examples
    --------
    >>> resolution(np.full((1, 9, 9, 3), 7, np.uint8), 0.8).min()
    np.uint8(7)
    """
    centre = (pixels.shape[1] - 1) / 2
    offset = (0, centre - centre / factor, centre - centre / factor, 0)
    return _whole(
        ndimage.affine_transform(
            pixels.astype(np.float32), (1, 1 / factor, 1 / factor, 1), offset, order=1, mode="mirror"
        )
    )


def rotation(pixels: UInt8Array, degrees: float) -> UInt8Array:
    """Turn by a multiple of 90°.

    Examples
    --------
    >>> rotation(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), 180)[0, 0, 0].tolist()
    [9, 10, 11]
    """
    return np.rot90(pixels, round(degrees / 90), axes=(1, 2))


def displacement(pixels: UInt8Array, px: float) -> UInt8Array:
    """Move the tissue by whole pixels to the right and down; what is then missing is mirrored.

    Examples
    --------
    >>> displacement(np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3), 1)[0, 1, 1].tolist()
    [0, 1, 2]
    """
    by = round(px)
    padded = np.pad(pixels, ((0, 0), (by, 0), (by, 0), (0, 0)), mode="reflect")
    return padded[:, : pixels.shape[1], : pixels.shape[2]]


def _densities(pixels: UInt8Array) -> np.ndarray:
    # 256 levels between 1/256 and 1, so that black has a density.
    return -np.log((pixels.astype(np.float32) + 1) / 256)


def _of_densities(densities: np.ndarray) -> UInt8Array:
    return _whole(256 * np.exp(-densities) - 1)


def _whole(levels: np.ndarray) -> UInt8Array:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


PERTURBATIONS: dict[str, Perturbation] = {
    "stain strength": Perturbation("stain, times", (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5), 1.0, stain_strength),
    "stain balance": Perturbation(
        "haematoxylin more, eosin less, by a part", (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3), 0.0, stain_balance
    ),
    "brightness": Perturbation("grey levels, times", (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3), 1.0, brightness),
    "blur": Perturbation("σ of a Gaussian, px", (0.0, 0.5, 1.0, 1.5, 2.0), 0.0, blur),
    # 100 stands for patches as they are, which are not compressed once more.
    "JPEG": Perturbation("quality", (10.0, 20.0, 30.0, 50.0, 75.0, 90.0, 100.0), 100.0, jpeg),
    "resolution": Perturbation("magnification, times", (0.8, 0.9, 1.0, 1.1, 1.2), 1.0, resolution),
    "rotation": Perturbation("degrees", (0.0, 90.0, 180.0, 270.0), 0.0, rotation),
    "displacement": Perturbation("right and down, px", (0.0, 2.0, 4.0, 6.0, 8.0), 0.0, displacement),
}
