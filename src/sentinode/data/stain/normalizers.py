"""Stain normalisation: patches as if they had been stained and scanned like a target, in NumPy.

Each patch is normalised by itself. One that says too little about its own stain (glass, a single colour) comes back as
it was, since what cannot be measured cannot be moved.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.errors import DataError

# Optical densities of haematoxylin, eosin and DAB in red, green and blue (Ruifrok & Johnston 2001), each of length 1.
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
STAINS = (_STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)).astype("float32")

# A patch with less tissue than this part of its pixels is left alone.
TISSUE = 0.01
# In degrees: stains nearer to each other than this are one stain and noise.
APART = 5.0
# Optical density: a stain that is nowhere stronger than this is not there.
FAINT = 0.05
# Deviations of L*, a* and b* below this are noise; scaling it up would make patterns out of nothing.
FLAT = 0.25


def optical_density(pixels: UInt8Array, light: float) -> np.ndarray:
    """Return how much of the light is taken, as its natural logarithm: float64, of the shape of `pixels`.

    Parameters
    ----------
    pixels
        Grey levels. One is added, so that black has a density.
    light
        The grey level of light that passes through nothing.

    Examples
    --------
    >>> optical_density(np.array([255, 127], np.uint8), 256).round(2).tolist()
    [-0.0, 0.69]
    """
    return -np.log((pixels.astype(np.float64) + 1) / light)


class _Normalizer:
    """What both share: a target is fitted, patches are transformed one by one."""

    density: float = 0.15
    light: float = 240.0
    _target: Any = None

    def fit(self, target: UInt8Array) -> Self:
        """Measure the target.

        Parameters
        ----------
        target
            uint8, one image ``(h, w, 3)`` or patches ``(n, h, w, 3)``, which are measured together.

        Raises
        ------
        DataError
            Too little tissue in it, or a single colour.
        """
        measured = self._measured(_checked(target, "the target").reshape(-1, 3))
        if measured is None:
            raise DataError(
                f"the target of {type(self).__name__} has too little tissue or a single colour; "
                "give an image in which both stains can be seen"
            )
        self._target = measured
        return self

    def transform(self, patches: UInt8Array) -> UInt8Array:
        """Give patches the stain of the target.

        Parameters
        ----------
        patches
            uint8, ``(n, h, w, 3)``.

        Returns
        -------
        numpy.ndarray
            uint8, of the same shape. What cannot be measured is returned unchanged.
        """
        if self._target is None:
            raise DataError(f"{type(self).__name__} has no target yet; call fit with an image of the stain to reach")
        normalised = _checked(patches, "patches", 4).copy()
        for patch in normalised:
            pixels = patch.reshape(-1, 3)
            measured = self._measured(pixels)
            if measured is not None:
                moved = self._move(pixels, measured)
                patch[:] = np.clip(np.round(moved), 0, 255).astype(np.uint8).reshape(patch.shape)
        return normalised

    def _measured(self, pixels: UInt8Array) -> Any:
        """Return what there is to know of the stain of pixels ``(pixels, 3)``, or None."""
        tissue = np.all(self._densities(pixels) >= self.density, axis=1)
        return self._measure(pixels, tissue) if tissue.sum() >= max(TISSUE * len(pixels), 3) else None

    def _densities(self, pixels: UInt8Array) -> np.ndarray:
        return optical_density(pixels, self.light)

    def _measure(self, pixels: UInt8Array, tissue: np.ndarray) -> Any:
        raise NotImplementedError

    def _move(self, pixels: UInt8Array, measured: Any) -> np.ndarray:
        raise NotImplementedError


@dataclass
class Macenko(_Normalizer):
    """Unmix haematoxylin and eosin, and mix them with the colours and the strength of the target.

    The two colours are the extreme directions, but for `outside` percent on either side, of the pixels' optical
    densities in the plane in which they vary most (Macenko et al. 2009, A method for normalizing histology slides for
    quantitative analysis).

    Parameters
    ----------
    outside
        Percent of the pixels that are left out at either extreme.
    density
        Pixels with an optical density below this in any colour are glass, and say nothing about the stain.
    light
        The grey level of light that passes through nothing.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test")
    >>> Macenko().fit(patches.read(range(50))).transform(patches.read([50, 51])).shape
    (2, 96, 96, 3)
    """

    outside: float = 1.0
    density: float = 0.15
    light: float = 240.0

    def _measure(self, pixels: UInt8Array, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the colours of both stains ``(3, 2)`` and how strong each is, if there are two."""
        densities = self._densities(pixels)
        stained = densities[tissue]
        plane = np.linalg.eigh(np.cov(stained.T))[1][:, 1:]
        # The sign of an eigenvector is chance. With the tissue on the positive sides no angle runs over ±180°.
        plane *= np.where(stained.mean(axis=0) @ plane < 0, -1, 1)
        within = stained @ plane
        angles = np.percentile(np.arctan2(within[:, 1], within[:, 0]), [self.outside, 100 - self.outside])
        if np.ptp(angles) < np.radians(APART):
            return None
        colours = plane @ np.array([np.cos(angles), np.sin(angles)])
        # Haematoxylin, the bluer one, takes more of the red light.
        colours = colours[:, np.argsort(-colours[0])]
        strength = np.percentile(_amounts(densities, colours), 99, axis=0)
        return (colours, strength) if strength.min() > FAINT else None

    def _move(self, pixels: UInt8Array, measured: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Mix the amounts of both stains anew."""
        (colours, strength), (target_colours, target_strength) = measured, self._target
        amounts = _amounts(self._densities(pixels), colours) * (target_strength / strength)
        return self.light * np.exp(-amounts @ target_colours.T) - 1


def _amounts(densities: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return how much of either stain each pixel holds, by least squares: ``(pixels, 2)``."""
    return densities @ np.linalg.pinv(colours).T


class Reinhard(_Normalizer):
    """Give each patch the means and deviations of the target's lightness and colours.

    After Reinhard et al. 2001, Color transfer between images; in CIELAB, as the field does, where the paper used the
    space lαβ.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test")
    >>> Reinhard().fit(patches.read(range(50))).transform(patches.read([50, 51])).shape
    (2, 96, 96, 3)
    """

    def _measure(self, pixels: UInt8Array, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return means and deviations of L*, a* and b*, if there are any."""
        lab = _to_lab(pixels)
        deviations = lab.std(axis=0)
        return (lab.mean(axis=0), deviations) if deviations.min() > FLAT else None

    def _move(self, pixels: UInt8Array, measured: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Shift and scale."""
        (mean, deviation), (target_mean, target_deviation) = measured, self._target
        return _from_lab((_to_lab(pixels) - mean) / deviation * target_deviation + target_mean)


# From linear sRGB to CIE XYZ, and the white of D65.
XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.95047, 1.0, 1.08883])


def _to_lab(pixels: UInt8Array) -> np.ndarray:
    """Return L*, a* and b* of sRGB pixels ``(pixels, 3)``."""
    srgb = pixels / 255
    linear = np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    xyz = linear @ XYZ.T / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _from_lab(lab: np.ndarray) -> np.ndarray:
    """Return sRGB grey levels, 0 to 255 where the colour exists there, of L*, a* and b*."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) * WHITE
    linear = np.clip(xyz @ np.linalg.inv(XYZ).T, 0, None)
    return 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _checked(pixels: Any, what: str, dimensions: int | None = None) -> UInt8Array:
    """Refuse what is not an image or patches of uint8."""
    right = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape[-1:] == (3,)
    if not right or pixels.ndim not in ((dimensions,) if dimensions else (3, 4)):
        shape = "(n, h, w, 3)" if dimensions else "(h, w, 3) or (n, h, w, 3)"
        got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"{what} must be a uint8 array {shape}; got {got}")
    return pixels
