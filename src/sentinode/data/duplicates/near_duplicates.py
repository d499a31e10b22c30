"""Patches that are the same but for compression or orientation, found without comparing all with all.

A patch is reduced to 24 numbers that neither JPEG nor a turn nor a mirror changes much (a perceptual hash in floating
point, whose neighbours a k-d tree finds), and what lies close is compared by its pixels. The limits were measured:
``benchmarks/near_duplicates.py`` prints how many true pairs they keep and how many false ones they let through.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.progress import progress_bar

Floats = NDArray[np.float32]

CELL_PX = 16
# Distance of two descriptions, in grey levels over all 24: JPEG at quality 50 moves none of 618 real patches further.
NEAR = 8.0
# Correlation of the details of two patches. JPEG at quality 75 leaves 0.974 or more.
ALIKE = 0.95
# Details weaker than this (grey levels, standard deviation) are noise: two patches of glass are not copies.
FLAT = 1.0
# Of patches that are all alike, such as glass, so many neighbours are looked at.
NEIGHBOURS = 16
CHUNK_PATCHES = 512


def _orbits() -> NDArray[np.int64]:
    """Number the cells of a patch so that those which a turn or a mirror exchanges have the same number."""
    side = PATCH_SIZE_PX // CELL_PX
    places = np.arange(side**2).reshape(side, side)
    least = np.min([view for turn in range(4) for view in _both(np.rot90(places, turn))], axis=0)
    return np.unique(least, return_inverse=True)[1].reshape(-1)


def _both(square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return square, square.T


ORBITS = _orbits()


def describe_pixels(pixels: UInt8Array) -> Floats:
    """Reduce patches to what compression and orientation leave as it is.

    Parameters
    ----------
    pixels
        uint8 RGB, shape ``(n, 96, 96, 3)``.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n, 24)``, in grey levels: the mean colours of the six groups of 16 × 16 px cells that turns
        and mirrors exchange, and the deviation of brightness within each group.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> pixels = open_patches("pcam-mini", split="test").read([0])
    >>> bool(np.allclose(describe_pixels(pixels), describe_pixels(pixels[:, ::-1]), atol=1e-3))
    True
    """
    side = PATCH_SIZE_PX // CELL_PX
    cells = _means(pixels, CELL_PX).reshape(len(pixels), side**2, 3)
    groups = [cells[:, number == ORBITS] for number in range(ORBITS.max() + 1)]
    means = [group.mean(axis=1) for group in groups]
    spreads = [group.mean(axis=2).std(axis=1)[:, None] for group in groups]
    return np.concatenate([*means, *spreads], axis=1)


def describe(patches: PatchSet) -> Floats:
    """Return `describe_pixels` of every patch, shape ``(n, 24)``; 25 MB for the whole of PCam."""
    none = np.empty((0, 4 * (ORBITS.max() + 1)), dtype=np.float32)
    return np.concatenate([none, *map_patches(patches, describe_pixels, "describing")])


def similarity(first: UInt8Array, second: UInt8Array) -> Floats:
    """Say how alike the details of patches are, pair by pair, in the orientation that suits best.

    Parameters
    ----------
    first, second
        uint8 RGB, both ``(n, 96, 96, 3)``.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n,)``: the correlation, -1 to 1, of the means of 4 × 4 px blocks after each colour's mean was
        taken away, the largest over the eight orientations; 0 where a patch has no detail.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> pixels = open_patches("pcam-mini", split="test").read([0, 1])
    >>> similarity(pixels, np.rot90(pixels, axes=(1, 2))).round(3).tolist()
    [1.0, 1.0]
    """
    a, b = _details(first), _details(second)
    strength = np.sqrt(np.einsum("nijc,nijc->n", a, a) * np.einsum("nijc,nijc->n", b, b))
    views = [
        view for turn in range(4) for view in (np.rot90(b, turn, (1, 2)), np.rot90(b, turn, (1, 2)).swapaxes(1, 2))
    ]
    best = np.max([np.einsum("nijc,nijc->n", a, view) for view in views], axis=0)
    has_detail = strength > FLAT**2 * a[0].size if len(a) else np.zeros(0, dtype=bool)
    return np.where(has_detail, best / np.maximum(strength, 1e-6), 0).astype(np.float32)


def _details(pixels: UInt8Array) -> Floats:
    blocks = _means(pixels, 4)
    return blocks - blocks.mean(axis=(1, 2), keepdims=True)


def _means(pixels: UInt8Array, block_px: int) -> Floats:
    """Return the means of square blocks, ``(n, 96 / block_px, 96 / block_px, 3)``."""
    count, side = len(pixels), PATCH_SIZE_PX // block_px
    # Summing rows first, in whole numbers, is several times as fast as one mean over both axes.
    rows = pixels.reshape(count, side, block_px, PATCH_SIZE_PX * 3).sum(axis=2, dtype=np.uint16)
    sums = rows.reshape(count, side, side, block_px, 3).sum(axis=3, dtype=np.float32)
    return sums / np.float32(block_px**2)


def near_duplicates_between(first: PatchSet, second: PatchSet) -> pd.DataFrame:
    """Find the patches of `second` that are those of `first`, but for compression and orientation.

    Parameters
    ----------
    first, second
        Cached sets.

    Returns
    -------
    pandas.DataFrame
        One row a pair: positions ``first`` and ``second`` (int64) and ``likeness`` (at least 0.95), sorted by
        both positions. A patch with more than 16 neighbours has its nearest 16 looked at.
    """
    if not len(first) or not len(second):
        return _pairs_table([])
    near, distance = _neighbours(describe(first), describe(second), min(NEIGHBOURS, len(second)))
    rows, columns = np.nonzero(np.isfinite(distance))
    return _checked(first, second, rows, near[rows, columns])


def near_duplicates_within(patches: PatchSet) -> pd.DataFrame:
    """Find pairs within a set that are the same patch but for compression and orientation; exact copies are none.

    Parameters
    ----------
    patches
        A cached set.

    Returns
    -------
    pandas.DataFrame
        As `near_duplicates_between`: ``first`` < ``second``; of exact copies only the first one stands in it.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> len(near_duplicates_within(open_patches("pcam-mini", split="test").cached()))
    0
    """
    distinct = np.flatnonzero(~patches.table.duplicated("sha1").to_numpy())
    few = patches.select(distinct)
    if len(few) < 2:
        return _pairs_table([])
    descriptions = describe(few)
    near, distance = _neighbours(descriptions, descriptions, min(NEIGHBOURS + 1, len(few)))
    rows, columns = np.nonzero(np.isfinite(distance))
    pairs = np.stack([rows, near[rows, columns]], axis=1)
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    found = _checked(few, few, pairs[:, 0], pairs[:, 1])
    return found.assign(first=distinct[found["first"]], second=distinct[found["second"]])


def _neighbours(wanted: Floats, there: Floats, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return positions and distances of the nearest, both ``(n, count)``; distance inf where there are fewer."""
    tree = cKDTree(there)
    found = [
        tree.query(wanted[start : start + 8192], k=np.arange(1, count + 1), distance_upper_bound=NEAR, workers=-1)
        for start in range(0, len(wanted), 8192)
    ]
    return np.concatenate([near for _, near in found]), np.concatenate([distance for distance, _ in found])


def _checked(first: PatchSet, second: PatchSet, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> pd.DataFrame:
    """Keep the pairs whose pixels agree."""
    kept = []
    with progress_bar("comparing", total=len(rows), unit="pairs") as advance:
        for here in _chunks(len(rows)):
            alike = similarity(first.read(rows[here]), second.read(columns[here]))
            good = alike >= ALIKE
            kept.append(
                pd.DataFrame({"first": rows[here][good], "second": columns[here][good], "likeness": alike[good]})
            )
            advance(len(alike))
    return _pairs_table(kept)


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK_PATCHES):
        yield slice(start, min(start + CHUNK_PATCHES, count))


def _pairs_table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    empty = pd.DataFrame({"first": pd.Series(dtype="int64"), "second": pd.Series(dtype="int64")})
    empty["likeness"] = pd.Series(dtype="float32")
    together = pd.concat(parts, ignore_index=True) if parts else empty
    return together.sort_values(["first", "second"], ignore_index=True)
