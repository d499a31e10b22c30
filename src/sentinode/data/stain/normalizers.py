"""Stain normalization in NumPy: match the stain of patches to that of a target.

Each patch is normalized on its own. A patch whose stain cannot be measured (glass, one color only) is not changed.
"""

from typing import Any, Self

import numpy as np

from sentinode.data.stain.optical_density import optical_density
from sentinode.data.types import UInt8Array
from sentinode.errors import DataError

# Pixels with a lower optical density in any color are background and are not measured.
MIN_DENSITY = 0.15
# Gray level of light that passes through the empty slide.
BACKGROUND_LEVEL = 240.0
# Percentage of the pixels beyond each extreme direction of optical density.
OUTLIER_PERCENTILE = 1.0
# Patches with a smaller fraction of tissue are not changed.
MIN_TISSUE_FRACTION = 0.01
# Two stains whose colors differ by a smaller angle are one stain and noise.
MIN_ANGLE_DEG = 5.0
# A stain whose 99th percentile of optical density is lower is absent.
MIN_STRENGTH = 0.05
# Below this standard deviation of L*, a* or b*, there is only noise, which scaling would amplify.
MIN_DEVIATION = 0.25


class _Normalizer:
    """Base class: `fit` measures a target, `transform` changes patches one by one."""

    _target: Any = None

    def fit(self, target: UInt8Array) -> Self:
        """Measure the stain of the target.

        Parameters
        ----------
        target : ndarray of uint8, shape (h, w, 3) or (n, h, w, 3)
            One image, or patches that are measured together.

        Returns
        -------
        Self

        Raises
        ------
        DataError
            The target has too little tissue or one color only.
        """
        measured = self._measure_pixels(_check_pixels(target, "the target").reshape(-1, 3))
        if measured is None:
            raise DataError(
                f"the target of {type(self).__name__} has too little tissue or one color only; "
                "use an image that shows hematoxylin and eosin"
            )
        self._target = measured
        return self

    def transform(self, patches: UInt8Array) -> UInt8Array:
        """Change patches to the stain of the target.

        Parameters
        ----------
        patches : ndarray of uint8, shape (n, h, w, 3)
            RGB patches.

        Returns
        -------
        ndarray of uint8, shape (n, h, w, 3)
            Patches whose stain cannot be measured are unchanged.

        Raises
        ------
        DataError
            `fit` was not called, or `patches` is not a uint8 array of this shape.
        """
        if self._target is None:
            raise DataError(f"{type(self).__name__} has no target; call fit with an image of the wanted stain first")
        result = _check_pixels(patches, "patches", 4).copy()
        for patch in result:
            pixels = patch.reshape(-1, 3)
            measured = self._measure_pixels(pixels)
            if measured is not None:
                levels = self._change(pixels, measured)
                patch[:] = np.clip(np.round(levels), 0, 255).astype(np.uint8).reshape(patch.shape)
        return result

    def _measure_pixels(self, pixels: UInt8Array) -> Any:
        tissue = np.all(self._densities(pixels) >= MIN_DENSITY, axis=1)
        return self._measure(pixels, tissue) if tissue.sum() >= max(MIN_TISSUE_FRACTION * len(pixels), 3) else None

    def _densities(self, pixels: UInt8Array) -> np.ndarray:
        return optical_density(pixels, BACKGROUND_LEVEL)

    def _measure(self, pixels: UInt8Array, tissue: np.ndarray) -> Any:
        """Measure the stain of pixels, ``(pixels, 3)``; return None where that is not possible."""
        raise NotImplementedError

    def _change(self, pixels: UInt8Array, measured: Any) -> np.ndarray:
        """Return the gray levels of pixels with the stain of the target."""
        raise NotImplementedError


class Macenko(_Normalizer):
    """Stain normalization by unmixing hematoxylin and eosin.

    The two stain colors are the extreme directions of the pixels' optical densities in the plane of largest variance.
    The amounts of both stains are scaled to the target's strength and mixed with the target's colors.

    References
    ----------
    Macenko et al. 2009, A method for normalizing histology slides for quantitative analysis.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test")
    >>> Macenko().fit(patches.read(range(50))).transform(patches.read([50, 51])).shape
    (2, 96, 96, 3)
    """

    def _measure(self, pixels: UInt8Array, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the colors, ``(3, 2)``, and the strengths, ``(2,)``, of hematoxylin and eosin."""
        densities = self._densities(pixels)
        stained = densities[tissue]
        plane = np.linalg.eigh(np.cov(stained.T))[1][:, 1:]
        # Eigenvectors have an arbitrary sign. With the tissue on their positive side, no angle crosses ±180°.
        plane *= np.where(stained.mean(axis=0) @ plane < 0, -1, 1)
        projected = stained @ plane
        limits = [OUTLIER_PERCENTILE, 100 - OUTLIER_PERCENTILE]
        angles = np.percentile(np.arctan2(projected[:, 1], projected[:, 0]), limits)
        if np.ptp(angles) < np.radians(MIN_ANGLE_DEG):
            return None
        colors = plane @ np.array([np.cos(angles), np.sin(angles)])
        # Hematoxylin absorbs more red light than eosin.
        colors = colors[:, np.argsort(-colors[0])]
        strength = np.percentile(_stain_amounts(densities, colors), 99, axis=0)
        return (colors, strength) if strength.min() > MIN_STRENGTH else None

    def _change(self, pixels: UInt8Array, measured: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        (colors, strength), (target_colors, target_strength) = measured, self._target
        amounts = _stain_amounts(self._densities(pixels), colors) * (target_strength / strength)
        return BACKGROUND_LEVEL * np.exp(-amounts @ target_colors.T) - 1


def _stain_amounts(densities: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Return the amount of each stain in each pixel, ``(pixels, 2)``, by least squares."""
    return densities @ np.linalg.pinv(colors).T


class Reinhard(_Normalizer):
    """Stain normalization by means and standard deviations of lightness and color.

    The statistics are matched in CIELAB, as is common in pathology; the paper used the color space lαβ.

    References
    ----------
    Reinhard et al. 2001, Color transfer between images.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test")
    >>> Reinhard().fit(patches.read(range(50))).transform(patches.read([50, 51])).shape
    (2, 96, 96, 3)
    """

    def _measure(self, pixels: UInt8Array, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return means and standard deviations of L*, a* and b*."""
        lab = _to_lab(pixels)
        deviation = lab.std(axis=0)
        return (lab.mean(axis=0), deviation) if deviation.min() > MIN_DEVIATION else None

    def _change(self, pixels: UInt8Array, measured: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        (mean, deviation), (target_mean, target_deviation) = measured, self._target
        return _from_lab((_to_lab(pixels) - mean) / deviation * target_deviation + target_mean)


# Linear sRGB to CIE XYZ, and the white point D65.
XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.95047, 1.0, 1.08883])


def _to_lab(pixels: UInt8Array) -> np.ndarray:
    srgb = pixels / 255
    linear = np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    xyz = linear @ XYZ.T / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _from_lab(lab: np.ndarray) -> np.ndarray:
    """Return sRGB gray levels; colors outside sRGB lie outside 0 to 255."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) * WHITE
    linear = np.clip(xyz @ np.linalg.inv(XYZ).T, 0, None)
    return 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _check_pixels(pixels: Any, name: str, dimensions: int | None = None) -> UInt8Array:
    is_image = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape[-1:] == (3,)
    if not is_image or pixels.ndim not in ((dimensions,) if dimensions else (3, 4)):
        shape = "(n, h, w, 3)" if dimensions else "(h, w, 3) or (n, h, w, 3)"
        got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"{name} must be a uint8 array of shape {shape}; got {got}")
    return pixels
