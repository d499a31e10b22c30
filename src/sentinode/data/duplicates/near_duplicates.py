"""Find near duplicates: patches that were recompressed, rotated or mirrored.

Each patch is reduced to a descriptor of 24 numbers that JPEG compression, rotation and mirroring hardly change. A k-d
tree finds candidates with similar descriptors, and the correlation of their pixels decides.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.types import PATCH_SIZE_PX, IndexArray, UInt8Array
from sentinode.progress import progress_bar

# The limits are measured: ``benchmarks/near_duplicates.py`` prints how many true pairs they find and how many false.
# Euclidean distance of two descriptors, in gray levels: JPEG of quality 50 moves none of 618 real patches further.
MAX_DISTANCE = 8.0
# Correlation of the details of two patches: JPEG of quality 75 leaves 0.974 or more.
MIN_SIMILARITY = 0.95
# Below this standard deviation in gray levels, detail is noise: two patches of glass are no duplicates.
MIN_DETAIL = 1.0
# Candidates per patch: limits the work for patches of glass, which are all similar.
MAX_CANDIDATES = 16
CELL_PX = 16
CHUNK_PATCHES = 512

Floats = NDArray[np.float32]


def _cell_orbits() -> NDArray[np.int64]:
    """Number the cells of a patch; cells that rotation or mirroring exchanges get the same number."""
    side = PATCH_SIZE_PX // CELL_PX
    cells = np.arange(side**2).reshape(1, side, side, 1)
    return np.unique(np.min(_orientations(cells), axis=0), return_inverse=True)[1].reshape(-1)


def _orientations(images: np.ndarray) -> list[np.ndarray]:
    """Return images, ``(n, side, side, channels)``, in the eight orientations of a square."""
    rotated = [np.rot90(images, turns, (1, 2)) for turns in range(4)]
    return rotated + [view.swapaxes(1, 2) for view in rotated]


ORBITS = _cell_orbits()


def describe_pixels(pixels: UInt8Array) -> Floats:
    """Compute descriptors that hardly change under JPEG compression, and not under rotation and mirroring.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, 96, 96, 3)
        RGB patches.

    Returns
    -------
    ndarray of float32, shape (n, 24)
        In gray levels: for each of the six groups of 16 × 16 px cells that rotation and mirroring exchange, the mean
        of each color and the standard deviation of brightness between cells.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> pixels = open_patches("pcam-mini", split="test").read([0])
    >>> bool(np.allclose(describe_pixels(pixels), describe_pixels(pixels[:, ::-1]), atol=1e-3))
    True
    """
    cells = _block_means(pixels, CELL_PX).reshape(len(pixels), -1, 3)
    groups = [cells[:, number == ORBITS] for number in range(ORBITS.max() + 1)]
    means = [group.mean(axis=1) for group in groups]
    deviations = [group.mean(axis=2).std(axis=1)[:, None] for group in groups]
    return np.concatenate([*means, *deviations], axis=1)


def describe_patches(patches: PatchSet) -> Floats:
    """Compute the descriptor of every patch of a set; see `describe_pixels`."""
    empty = np.empty((0, 4 * (ORBITS.max() + 1)), dtype=np.float32)
    return np.concatenate([empty, *map_patches(patches, describe_pixels, "describing")])


def similarity(first: UInt8Array, second: UInt8Array) -> Floats:
    """Compute the similarity of pairs of patches in the orientation that fits best.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (n, 96, 96, 3)
        RGB patches.

    Returns
    -------
    ndarray of float32, shape (n,)
        Correlation of the means of 4 × 4 px blocks after subtraction of each color's mean, from -1 to 1; the largest
        over the eight orientations. 0 for patches without detail.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> pixels = open_patches("pcam-mini", split="test").read([0, 1])
    >>> similarity(pixels, np.rot90(pixels, axes=(1, 2))).round(3).tolist()
    [1.0, 1.0]
    """
    a, b = (
        blocks - blocks.mean(axis=(1, 2), keepdims=True) for blocks in (_block_means(p, 4) for p in (first, second))
    )
    norm = np.sqrt(np.einsum("nijc,nijc->n", a, a) * np.einsum("nijc,nijc->n", b, b))
    best = np.max([np.einsum("nijc,nijc->n", a, view) for view in _orientations(b)], axis=0)
    has_detail = norm > MIN_DETAIL**2 * np.prod(a.shape[1:])
    return np.where(has_detail, best / np.maximum(norm, 1e-6), 0).astype(np.float32)


def _block_means(pixels: UInt8Array, block_px: int) -> Floats:
    """Return the means of square blocks, ``(n, 96 / block_px, 96 / block_px, 3)``."""
    count, side = len(pixels), PATCH_SIZE_PX // block_px
    # Summing rows first, in whole numbers, is several times as fast as one mean over both axes.
    rows = pixels.reshape(count, side, block_px, PATCH_SIZE_PX * 3).sum(axis=2, dtype=np.uint16)
    sums = rows.reshape(count, side, side, block_px, 3).sum(axis=3, dtype=np.float32)
    return sums / np.float32(block_px**2)


def near_duplicates_between(first: PatchSet, second: PatchSet) -> pd.DataFrame:
    """Find near duplicates of the patches of one set in another set.

    Parameters
    ----------
    first, second : PatchSet
        Cached sets.

    Returns
    -------
    DataFrame
        One row per pair: positions ``first`` and ``second`` (int64) and ``similarity`` (0.95 or more), sorted by
        position. For each patch, the 16 candidates with the most similar descriptors are compared.
    """
    if not len(first) or not len(second):
        return _pairs_table([])
    rows, columns = _candidates(describe_patches(first), describe_patches(second), MAX_CANDIDATES)
    return _similar_pairs(first, second, rows, columns)


def near_duplicates_within(patches: PatchSet, descriptors: Floats | None = None) -> pd.DataFrame:
    """Find pairs of near duplicates in a set. Exact duplicates are not reported.

    Parameters
    ----------
    patches : PatchSet
        A cached set.
    descriptors : ndarray of float32, shape (n, 24), optional
        The output of `describe_patches`; computed by default.

    Returns
    -------
    DataFrame
        As for `near_duplicates_between`, with ``first`` < ``second``. Of exact duplicates only the first is compared.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> len(near_duplicates_within(open_patches("pcam-mini", split="test").cached()))
    0
    """
    unique = np.flatnonzero(~patches.table.duplicated("sha1").to_numpy())
    if len(unique) < 2:
        return _pairs_table([])
    chosen = patches.select(unique)
    described = describe_patches(chosen) if descriptors is None else descriptors[unique]
    rows, columns = _candidates(described, described, MAX_CANDIDATES + 1)  # The nearest one is the patch itself.
    pairs = np.stack([rows, columns], axis=1)
    pairs = np.unique(np.sort(pairs[rows != columns], axis=1), axis=0)
    found = _similar_pairs(chosen, chosen, pairs[:, 0], pairs[:, 1])
    return found.assign(first=unique[found["first"]], second=unique[found["second"]])


def _candidates(wanted: Floats, available: Floats, count: int) -> tuple[IndexArray, IndexArray]:
    """Return rows of `wanted` and of `available` whose descriptors are similar, at most `count` for each row."""
    tree, pairs = cKDTree(available), []
    for start in range(0, len(wanted), 8192):
        part = wanted[start : start + 8192]
        nearest = np.arange(1, min(count, len(available)) + 1)
        distance, columns = tree.query(part, k=nearest, distance_upper_bound=MAX_DISTANCE, workers=-1)
        rows, places = np.nonzero(np.isfinite(distance))
        pairs.append((rows + start, columns[rows, places]))
    return np.concatenate([rows for rows, _ in pairs]), np.concatenate([columns for _, columns in pairs])


def _similar_pairs(first: PatchSet, second: PatchSet, rows: IndexArray, columns: IndexArray) -> pd.DataFrame:
    """Keep the candidates whose pixels are similar."""
    kept = []
    with progress_bar("comparing", total=len(rows), unit="pairs") as advance:
        for start in range(0, len(rows), CHUNK_PATCHES):
            here, there = rows[start : start + CHUNK_PATCHES], columns[start : start + CHUNK_PATCHES]
            value = similarity(first.read(here), second.read(there))
            good = value >= MIN_SIMILARITY
            kept.append(pd.DataFrame({"first": here[good], "second": there[good], "similarity": value[good]}))
            advance(len(here))
    return _pairs_table(kept)


def _pairs_table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    empty = pd.DataFrame({"first": [], "second": [], "similarity": []})
    types = {"first": "int64", "second": "int64", "similarity": "float32"}
    pairs = pd.concat(parts, ignore_index=True) if parts else empty
    return pairs.astype(types).sort_values(["first", "second"], ignore_index=True)
