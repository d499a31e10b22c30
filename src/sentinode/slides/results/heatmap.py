"""Probability of tumour on a grid over a slide."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sentinode.errors import DataError
from sentinode.extras import optional
from sentinode.inference.logits import probability
from sentinode.slides.results.files import LOG_ODDS, SUMMARY
from sentinode.storage import atomic_file, read_json

_TILE_PX = 256
# Neighboring patches share most of their pixels, so noise is smoothed over half a patch.
SMOOTHING_UM = 45.0


@dataclass(frozen=True)
class Heatmap:
    """Log-odds of tumour of overlapping patches.

    Attributes
    ----------
    log_odds : ndarray of float32, shape (rows, columns)
        Calibrated log-odds for the patch around each place of the grid; NaN where nothing was scanned.
    origin_px : float
        x and y of the center of the first patch in level-0 px.
    step_px : float
        Distance of neighboring centers in level-0 px.
    step_um : float
        The same in µm.
    """

    log_odds: NDArray[np.float32]
    origin_px: float
    step_px: float
    step_um: float

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of tumour, NaN where nothing was scanned."""
        return np.asarray(probability(self.log_odds), np.float32)

    @property
    def patch_px(self) -> float:
        """Side of a patch in level-0 px: the first one lies in the corner of the slide."""
        return 2 * self.origin_px

    @cached_property
    def smoothed(self) -> NDArray[np.float32]:
        """Log-odds smoothed with a Gaussian of 45 µm that ignores places that were not scanned; NaN there."""
        known = ~np.isnan(self.log_odds)
        sigma = SMOOTHING_UM / self.step_um
        total = ndimage.gaussian_filter(np.where(known, self.log_odds, 0).astype(np.float32), sigma)
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigma)
        return np.where(known, total / np.maximum(weight, 1e-6), np.nan).astype(np.float32)

    def probability_at(self, x_px: NDArray[Any], y_px: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities at the places of the grid that are nearest to the columns and rows of a picture.

        Parameters
        ----------
        x_px : ndarray of shape (columns,)
            Centers of the columns in level-0 px.
        y_px : ndarray of shape (rows,)
            Centers of the rows in level-0 px.

        Returns
        -------
        ndarray of float32, shape (rows, columns)
            NaN where nothing was scanned.

        Examples
        --------
        >>> heatmap = Heatmap(np.array([[0, np.nan]], np.float32), origin_px=48, step_px=8, step_um=7.8)
        >>> heatmap.probability_at(np.array([30, 47, 51, 56]), np.array([48]))
        array([[nan, 0.5, 0.5, nan]], dtype=float32)
        """
        grid = np.pad(self.probability, 1, constant_values=np.nan)  # The border stands for places outside the grid.
        nearest = (np.rint((centers - self.origin_px) / self.step_px).astype(np.intp) for centers in (y_px, x_px))
        return grid[np.ix_(*(np.clip(at + 1, 0, most - 1) for at, most in zip(nearest, grid.shape, strict=True)))]

    def save_tiff(self, path: str | Path) -> None:
        """Write the probabilities as a pyramid of 8-bit gray TIFF pages that OpenSlide and QuPath open.

        Parameters
        ----------
        path : str or Path
            The file to write. Value 0 stands for places that were not scanned, 1 to 255 for probabilities 0 to 1.
        """
        tifffile = optional("tifffile", "slides")
        pixels = self.to_gray()
        per_cm = 1e4 / self.step_um
        with atomic_file(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=True) as file:
            level = 0
            while level == 0 or max(pixels.shape) > _TILE_PX:
                if level:
                    pixels, per_cm = _halved(pixels), per_cm / 2
                file.write(
                    pixels,
                    photometric="minisblack",
                    tile=(_TILE_PX, _TILE_PX),
                    compression="deflate",
                    subfiletype=int(level > 0),
                    resolution=(per_cm, per_cm),
                    resolutionunit="CENTIMETER",
                    metadata=None,
                    software=False,
                )
                level += 1

    def to_gray(self) -> NDArray[np.uint8]:
        """Return 0 where nothing was scanned, 1 to 255 for probabilities 0 to 1."""
        scanned = ~np.isnan(self.log_odds)
        gray = np.zeros(self.log_odds.shape, np.uint8)
        gray[scanned] = 1 + np.rint(254 * self.probability[scanned]).astype(np.uint8)
        return gray


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest of each 2 × 2 values, so that small lesions stay visible."""
    rows, columns = ((size + 1) // 2 * 2 for size in pixels.shape)
    padded = np.zeros((rows, columns), np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return np.asarray(padded.reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3)))


def load_heatmap(folder: str | Path) -> Heatmap:
    """Load the heat map of a result folder.

    Parameters
    ----------
    folder : str or Path
        From `scan_to_folder`, of a finished scan.

    Returns
    -------
    Heatmap

    Raises
    ------
    DataError
        The folder holds no finished scan.
    """
    folder = Path(folder)
    try:
        grid = read_json(folder / SUMMARY)["grid"]
        log_odds = np.load(folder / LOG_ODDS, allow_pickle=False)
        return Heatmap(log_odds, grid["origin_px"], grid["step_level0_px"], grid["step_um"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: contains no finished scan ({error}); run sentinode scan again") from error
