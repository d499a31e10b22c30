"""Out-of-distribution (OOD) detection: find patches that differ from those a network was trained on.

A network gives a probability for any image. Four groups of pixel statistics show where that probability is not to be
trusted, without a network and with a reason: too little tissue, brightness, stain, focus or scale.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.data.patchset import PatchSet
from sentinode.data.quality.statistics import MIN_TISSUE_FRACTION, PatchStatistics
from sentinode.data.types import UInt8Array
from sentinode.errors import DataError

# At most this many patches are measured to fit a detector.
MAX_PATCHES = 4000
# The fraction of in-distribution values that lies beyond each threshold.
OUTLIER_FRACTION = 0.005
WARNINGS = ("tissue", "brightness", "stain", "focus or scale")

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Gaussian:
    """A multivariate normal distribution with a threshold for outliers.

    Attributes
    ----------
    center : ndarray of shape (k,)
        Mean of the reference values.
    inverse_covariance : ndarray of shape (k, k)
        Inverse of their covariance matrix.
    threshold : float
        Squared Mahalanobis distance that 0.5 % of the reference values exceed.
    """

    center: Floats
    inverse_covariance: Floats
    threshold: float

    def __post_init__(self) -> None:
        if self.inverse_covariance.shape != 2 * self.center.shape:
            raise DataError(f"the inverse covariance has the shape {self.inverse_covariance.shape}")

    @classmethod
    def fit(cls, values: Floats) -> "Gaussian":
        """Fit the distribution to reference values.

        Parameters
        ----------
        values : ndarray of shape (n, k)
            Reference values.

        Returns
        -------
        Gaussian
        """
        covariance = np.cov(values, rowvar=False) + 1e-6 * np.eye(values.shape[1])  # Invertible for constant values.
        fitted = cls(values.mean(axis=0), np.linalg.inv(covariance), 0.0)
        return replace(fitted, threshold=float(np.quantile(fitted.squared_distance(values), 1 - OUTLIER_FRACTION)))

    def squared_distance(self, values: Floats) -> Floats:
        """Compute squared Mahalanobis distances from the center.

        Parameters
        ----------
        values : ndarray of shape (n, k)
            Values to compare.

        Returns
        -------
        ndarray of shape (n,)
        """
        offset = values - self.center
        return np.einsum("ni,ij,nj->n", offset, self.inverse_covariance, offset)


@dataclass(frozen=True)
class OODDetector:
    """Detects patches whose pixel statistics differ from those of a network's training patches.

    Attributes
    ----------
    brightness_limits : ndarray of shape (2,)
        Values of `PatchStatistics.brightness` that few training patches with tissue exceed.
    stain, detail : Gaussian
        Distributions of `PatchStatistics.stain` and `PatchStatistics.detail` in training patches with tissue.
    validation_warning_rate : float
        Fraction of the validation patches, which the detector was not fitted on, that get a warning.
    """

    brightness_limits: Floats
    stain: Gaussian
    detail: Gaussian
    validation_warning_rate: float

    @classmethod
    def fit(cls, training: PatchSet, validation: PatchSet, seed: int = 0) -> "OODDetector | None":
        """Fit a detector to training patches and measure its warning rate on validation patches.

        Parameters
        ----------
        training, validation : PatchSet
            At most 4,000 patches of each are measured.
        seed : int, default=0
            Seed of the draw of these patches.

        Returns
        -------
        OODDetector or None
            None if fewer than two of the measured training patches have tissue.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> patches = open_patches("pcam-mini")
        >>> OODDetector.fit(patches.split("train"), patches.split("valid")).validation_warning_rate < 0.2
        True
        """
        reference = PatchStatistics.from_patches(_sample(training, seed))
        tissue = reference.tissue_fraction >= MIN_TISSUE_FRACTION
        if tissue.sum() < 2:  # The fewest that have a covariance.
            return None
        # Half of the outliers for each of the two limits.
        limits = np.quantile(reference.brightness[tissue], 1 - OUTLIER_FRACTION / 2, axis=0)
        detector = cls(limits, Gaussian.fit(reference.stain[tissue]), Gaussian.fit(reference.detail[tissue]), 0.0)
        warnings = detector.warnings_for(PatchStatistics.from_patches(_sample(validation, seed)))
        return replace(detector, validation_warning_rate=sum(map(bool, warnings)) / len(warnings))

    def warnings(self, pixels: UInt8Array) -> list[str]:
        """Name for each patch the statistics that are out of distribution.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (n, rows, columns, 3)
            RGB patches.

        Returns
        -------
        list of str
            Names from `WARNINGS`, separated by commas; empty for a patch that is in distribution.
        """
        return self.warnings_for(PatchStatistics.from_pixels(pixels))

    def warnings_for(self, statistics: PatchStatistics) -> list[str]:
        """Name the out-of-distribution statistics of patches that are measured already; see `warnings`."""
        empty = statistics.tissue_fraction < MIN_TISSUE_FRACTION
        outside = [
            empty,
            ~empty & (statistics.brightness > self.brightness_limits).any(axis=1),
            ~empty & (self.stain.squared_distance(statistics.stain) > self.stain.threshold),
            ~empty & (self.detail.squared_distance(statistics.detail) > self.detail.threshold),
        ]
        return [
            ", ".join(name for name, beyond in zip(WARNINGS, patch, strict=True) if beyond)
            for patch in zip(*outside, strict=True)
        ]


def _sample(patches: PatchSet, seed: int) -> PatchSet:
    if len(patches) <= MAX_PATCHES:
        return patches
    return patches.select(np.sort(np.random.default_rng(seed).choice(len(patches), MAX_PATCHES, replace=False)))
