"""Choose what is worth labeling: the places that the network is least sure of, and the most diverse among them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.inference.logits import probability
from sentinode.slides.results.files import LOG_ODDS
from sentinode.slides.results.heatmap import Heatmap, load_heatmap
from sentinode.viewer.catalogue import Catalogue

# Neighboring places look alike and are uncertain together; far more than are chosen must be searched.
_SEARCHED_PER_PLACE = 500


@dataclass(frozen=True)
class Place:
    """A patch that is worth labeling.

    Attributes
    ----------
    slide : str
        Id of its slide.
    x_px, y_px : float
        Center in level-0 px.
    side_px : float
        Side in level-0 px.
    probability : float
        Of tumour.
    """

    slide: str
    x_px: float
    y_px: float
    side_px: float
    probability: float


def uncertain_places(catalogue: Catalogue, count: int) -> list[Place]:
    """Return the places of all scanned slides whose probability is nearest to 0.5, at least a patch apart.

    The latest scan of each slide counts.

    Parameters
    ----------
    catalogue : Catalogue
    count : int
        The most places.

    Returns
    -------
    list of Place
        The most uncertain first.
    """
    found: list[tuple[float, Place]] = []
    for entry in catalogue:
        result = catalogue.latest(entry)
        if result is None:
            continue
        file = result.folder / LOG_ODDS
        for x, y, side, log_odds in _of_scan(result.folder, file.stat().st_mtime_ns, count):
            place = Place(entry.id, x, y, side, float(probability(np.float64(log_odds))))
            found.append((abs(log_odds), place))
    return [place for _, place in sorted(found, key=lambda each: each[0])[:count]]


@lru_cache(maxsize=1024)
def _of_scan(folder: Path, changed_ns: int, count: int) -> list[tuple[float, float, float, float]]:
    heatmap = load_heatmap(folder)
    found = []
    for row, column in nearest_to_threshold(heatmap, count):
        x, y = (heatmap.origin_px + each * heatmap.step_px for each in (column, row))
        found.append((x, y, heatmap.patch_px, float(heatmap.log_odds[row, column])))
    return found


def nearest_to_threshold(heatmap: Heatmap, count: int) -> list[tuple[int, int]]:
    """Return row and column of the places whose log-odds are nearest to 0, at least a patch apart.

    Parameters
    ----------
    heatmap : Heatmap
    count : int
        The most places.

    Returns
    -------
    list of tuple of int
        The most uncertain first.
    """
    margin = np.abs(heatmap.log_odds).ravel()
    scanned = int((~np.isnan(margin)).sum())
    searched = min(scanned, count * _SEARCHED_PER_PLACE)
    if searched == 0:
        return []
    order = np.argpartition(margin, searched - 1)[:searched]  # NaN is sorted to the end.
    order = order[np.argsort(margin[order], kind="stable")]
    free = np.ones(heatmap.log_odds.shape, bool)
    apart = max(1, round(heatmap.patch_px / heatmap.step_px))
    chosen: list[tuple[int, int]] = []
    for row, column in zip(*(axis.tolist() for axis in np.unravel_index(order, free.shape)), strict=True):
        if free[row, column]:
            chosen.append((row, column))
            free[max(0, row - apart + 1) : row + apart, max(0, column - apart + 1) : column + apart] = False
            if len(chosen) == count:
                break
    return chosen


def diverse(features: NDArray[np.floating[Any]], count: int) -> list[int]:
    """Return rows that are far apart: each is the farthest from those before it, the first is row 0.

    Parameters
    ----------
    features : ndarray of shape (n, k)
    count : int
        The most rows.

    Returns
    -------
    list of int

    References
    ----------
    T. Gonzalez, Clustering to minimize the maximum intercluster distance, Theoretical Computer Science 1985; used for
    active learning by O. Sener and S. Savarese, ICLR 2018.

    Examples
    --------
    >>> diverse(np.array([[0.0], [0.1], [9.0], [4.0]]), 3)
    [0, 2, 3]
    """
    scaled = features / np.maximum(features.std(axis=0), 1e-12)
    chosen = [0]
    distance = np.linalg.norm(scaled - scaled[0], axis=1)
    while len(chosen) < min(count, len(features)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
    return chosen
