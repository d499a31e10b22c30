"""Whether a patch looks like those that a network was trained on: their tissue, light, stain, and sharpness.

A network answers whatever it is shown. A few plain statistics of the pixels tell where its answer is worth little: they
need no network, and say what is unusual.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.stain.normalizers import optical_density

# Patches that are looked at to learn what is usual.
SAMPLE = 4000
# The share of usual patches that may lie beyond the limit of each kind.
OUTSIDE = 0.005
# Pixels with less mean optical density are glass.
GLASS = 0.15
# A patch with a smaller share of tissue has no stain and no detail to speak of.
LEAST_TISSUE = 0.1
# The share of a patch's pixels that count as its brightest: a patch without bright gaps in its tissue is rare.
BRIGHTEST = 0.005
# From this grey level on in all three colours a pixel is burnt out.
BURNT = 254
WARNINGS = ("tissue", "light", "stain", "focus or scale")


@dataclass(frozen=True)
class ImageStatistics:
    """What patches look like.

    Attributes
    ----------
    tissue
        The share of pixels that is not glass, ``(n,)``.
    light
        The optical density that the brightest pixels keep below, and the share of pixels that are burnt out,
        ``(n, 2)``: too little light leaves no bright gaps between cells, too much burns them out.
    stain
        The shares of red and of blue in the optical density, glass hardly counting, and the logarithm of the density of
        the tissue, ``(n, 3)``.
    detail
        How much detail of 1, 2 and 4 px there is, on a logarithmic scale, ``(n, 3)``: out of focus or magnified there
        is less of the finest, reduced there is more.
    """

    tissue: np.ndarray
    light: np.ndarray
    stain: np.ndarray
    detail: np.ndarray

    @classmethod
    def at(cls, pixels: np.ndarray) -> "ImageStatistics":
        """Look at patches, uint8, ``(n, rows, columns, 3)``.

        Examples
        --------
        >>> look = ImageStatistics.at(np.full((1, 96, 96, 3), 100, np.uint8))
        >>> look.tissue.tolist(), [round(float(value), 2) for value in look.stain[0]]
        ([1.0], [0.33, 0.33, -0.07])
        """
        density = _DENSITIES.take(pixels)
        grey = (density[..., 0] + density[..., 1] + density[..., 2]) / 3  # Several times as fast as `mean` over three.
        tissue = np.count_nonzero(grey > GLASS, axis=(1, 2)) / grey[0].size
        each = grey.reshape(len(grey), -1)
        place = int(BRIGHTEST * each.shape[1])
        full = pixels >= BURNT
        burnt = np.count_nonzero(full[..., 0] & full[..., 1] & full[..., 2], axis=(1, 2)) / each.shape[1]
        light = np.column_stack([np.partition(each, place, axis=1)[:, place], burnt])
        weighted = (each[:, None] @ density.reshape(len(density), -1, 3))[:, 0]
        colour = weighted / np.maximum(each.sum(axis=1), 1e-3)[:, None]
        total = np.maximum(colour.sum(axis=1, keepdims=True), 1e-3)
        stain = np.column_stack([colour[:, [0, 2]] / total, np.log(total / 3)])
        image, parts = grey, []
        for _ in range(3):
            blurred = _blurred(image)
            parts.append((image[:, 1:-1, 1:-1] - blurred).std(axis=(1, 2)))
            image = _halved(blurred)
        return cls(tissue, light, stain, np.log(np.column_stack(parts) + 1e-3))

    @classmethod
    def of(cls, patches: PatchSet) -> "ImageStatistics":
        """Look at all patches of a set, some at a time.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> ImageStatistics.of(open_patches("pcam-mini", split="test")).stain.shape
        (400, 3)
        """
        looks = list(map_patches(patches, cls.at, "looking"))
        names = [each.name for each in fields(cls)]
        return cls(*(np.concatenate([getattr(look, name) for look in looks]) for name in names))


# Of every grey level; black has that of 1/256 of the light.
_DENSITIES = optical_density(np.arange(256, dtype=np.uint8), light=256).astype(np.float32)


def _blurred(image: np.ndarray) -> np.ndarray:
    """Return means with weights 1, 2, 1 along rows and columns, without the border."""
    image = (image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]) / 4
    return (image[:, :, :-2] + 2 * image[:, :, 1:-1] + image[:, :, 2:]) / 4


def _halved(image: np.ndarray) -> np.ndarray:
    """Return means of 2 × 2 px, without a last row or column that has no partner."""
    even = image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4


@dataclass(frozen=True)
class Gaussian:
    """Where usual patches lie in a space of statistics.

    Attributes
    ----------
    centre
        Their mean.
    inverse_covariance
        Of their spread: it makes the distance from the centre one without units (Mahalanobis).
    limit
        The squared distance that only a few of them exceed.
    """

    centre: np.ndarray
    inverse_covariance: np.ndarray
    limit: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Gaussian":
        """Fit it to the statistics of usual patches, ``(n, k)``."""
        spread = np.cov(values, rowvar=False) + 1e-6 * np.eye(values.shape[1])  # Not singular where all are alike.
        cloud = cls(values.mean(axis=0), np.linalg.inv(spread), 0.0)
        return cls(cloud.centre, cloud.inverse_covariance, float(np.quantile(cloud.distance(values), 1 - OUTSIDE)))

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Return squared distances from the centre."""
        away = values - self.centre
        return np.einsum("ni,ij,nj->n", away, self.inverse_covariance, away)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "centre": self.centre.tolist(),
            "inverse_covariance": self.inverse_covariance.tolist(),
            "limit": self.limit,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Gaussian":
        """Make it from what `to_json` gave."""
        centre, spread = (np.array(content[name], dtype=float) for name in ("centre", "inverse_covariance"))
        return cls(centre, spread.reshape(len(centre), len(centre)), float(content["limit"]))


@dataclass(frozen=True)
class PatchStatistics:
    """What is usual of the patches that a network was trained on.

    Attributes
    ----------
    light
        What few training patches with tissue exceed: of the density of their brightest pixels, and of the share that is
        burnt out, ``(2,)``.
    stain, detail
        Of training patches with tissue.
    false_alarms
        The share of the validation patches, on which nothing of this was fitted, that are warned of.
    """

    light: np.ndarray
    stain: Gaussian
    detail: Gaussian
    false_alarms: float

    @classmethod
    def of(cls, training: PatchSet, validation: PatchSet, seed: int = 0) -> "PatchStatistics":
        """Learn it from training patches, and count the false alarms among validation patches.

        Of each set no more than 4,000 patches are looked at, drawn by `seed`.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> patches = open_patches("pcam-mini")
        >>> PatchStatistics.of(patches.split("train"), patches.split("valid")).false_alarms < 0.2
        True
        """
        look = ImageStatistics.of(_some(training, seed))
        tissue = look.tissue >= LEAST_TISSUE
        light = np.quantile(look.light[tissue], 1 - OUTSIDE / 2, axis=0)  # Half of the share for each of the two.
        usual = cls(light, Gaussian.of(look.stain[tissue]), Gaussian.of(look.detail[tissue]), 0.0)
        warned = [bool(warning) for warning in usual.warnings_of(ImageStatistics.of(_some(validation, seed)))]
        return replace(usual, false_alarms=sum(warned) / len(warned))

    def warnings(self, pixels: np.ndarray) -> list[str]:
        """Say of each patch what is unusual about it: of `WARNINGS`, or an empty text.

        Parameters
        ----------
        pixels
            uint8, ``(n, rows, columns, 3)``.
        """
        return self.warnings_of(ImageStatistics.at(pixels))

    def warnings_of(self, look: ImageStatistics) -> list[str]:
        """Say it of patches that were looked at already."""
        bare = look.tissue < LEAST_TISSUE
        outside = [
            bare,
            ~bare & (look.light > self.light).any(axis=1),
            ~bare & (self.stain.distance(look.stain) > self.stain.limit),
            ~bare & (self.detail.distance(look.detail) > self.detail.limit),
        ]
        return [
            ", ".join(name for name, beyond in zip(WARNINGS, patch, strict=True) if beyond)
            for patch in zip(*outside, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        clouds = {"stain": self.stain.to_json(), "detail": self.detail.to_json()}
        return {"light": self.light.tolist(), **clouds, "false_alarms": self.false_alarms}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PatchStatistics":
        """Make it from what `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is something else.
        """
        stain, detail = (Gaussian.from_json(content[name]) for name in ("stain", "detail"))
        light = np.array(content["light"], dtype=float).reshape(2)
        return cls(light, stain, detail, float(content["false_alarms"]))


def _some(patches: PatchSet, seed: int) -> PatchSet:
    if len(patches) <= SAMPLE:
        return patches
    return patches.select(np.sort(np.random.default_rng(seed).choice(len(patches), SAMPLE, replace=False)))
