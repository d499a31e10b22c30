"""A look at a set of patches before anybody trains on it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.types import IndexArray, UInt8Array

# PCam itself left out patches whose blurred saturation stays below this everywhere.
BLANK_SATURATION = 0.07
BLUR_PX = 8


@dataclass(frozen=True)
class Inspection:
    """What `inspect_patches` found.

    Attributes
    ----------
    counts
        Patches of each split and class; see `PatchSet.counts`.
    statistics
        One row a split: mean and standard deviation of each channel, in grey levels 0–255.
    duplicates
        One row for every patch that has an exact copy: ``sha1``, ``id``, ``split``, ``label``, sorted by hash.
    near_blank
        Ids of patches without stained tissue.
    """

    counts: pd.DataFrame
    statistics: pd.DataFrame
    duplicates: pd.DataFrame
    near_blank: list[str]

    @property
    def surplus_within(self) -> dict[str, int]:
        """For each split, how many of its patches repeat an earlier one of the same split."""
        repeated = self.duplicates.duplicated(["sha1", "split"])
        return {str(k): int(n) for k, n in self.duplicates["split"][repeated].value_counts(sort=False).items()}

    @property
    def shared_across(self) -> int:
        """How many different patches are in more than one split."""
        return int((self.duplicates.groupby("sha1")["split"].nunique() > 1).sum())

    @property
    def contradicting(self) -> int:
        """How many different patches carry both labels."""
        return int((self.duplicates.groupby("sha1")["label"].nunique() > 1).sum())

    def to_json(self) -> dict[str, object]:
        """Return the findings as plain values."""
        return {
            "counts": self.counts.to_dict(orient="index"),
            "statistics": self.statistics.round(3).to_dict(orient="index"),
            "duplicates": {
                "surplus_within_split": self.surplus_within,
                "shared_across_splits": self.shared_across,
                "with_both_labels": self.contradicting,
            },
            "near_blank": self.near_blank,
        }


def inspect_patches(patches: PatchSet) -> Inspection:
    """Count, measure, and look for copies and blanks.

    Parameters
    ----------
    patches
        A cached set.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> inspect_patches(open_patches("pcam-mini", split="test").cached()).shared_across
    0
    """
    _ = patches.fingerprint  # Says what to do when the set is not cached.
    split = patches.table["split"].astype("string").fillna("-")
    means, squares, blank = zip(*map_patches(patches, _look, "looking"), strict=True)
    return Inspection(
        counts=patches.counts(),
        statistics=_statistics(list(patches.counts().index), split, np.concatenate(means), np.concatenate(squares)),
        duplicates=_duplicates(patches.table.assign(split=split)),
        near_blank=patches.table["id"][np.concatenate(blank)].tolist(),
    )


def _look(pixels: UInt8Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    flat = pixels.reshape(len(pixels), -1, 3).astype(np.float32)
    return flat.mean(axis=1, dtype=np.float64), np.square(flat).mean(axis=1, dtype=np.float64), is_near_blank(pixels)


def is_near_blank(pixels: UInt8Array) -> np.ndarray:
    """Say which patches hold no stained tissue: PCam's own background filter, with a mean for a blur.

    Parameters
    ----------
    pixels
        uint8 RGB, shape ``(n, 96, 96, 3)``.

    Returns
    -------
    numpy.ndarray
        bool, shape ``(n,)``: the saturation (HSV, 0–1) of every 8 × 8 px mean is below 0.07, or all is black.

    Examples
    --------
    >>> import numpy as np
    >>> is_near_blank(np.full((1, 96, 96, 3), 240, np.uint8)).tolist()
    [True]
    """
    count, side = len(pixels), pixels.shape[1] // BLUR_PX
    rows = pixels.reshape(count, side, BLUR_PX, side, BLUR_PX, 3).sum(axis=2, dtype=np.uint16)
    blocks = rows.sum(axis=3, dtype=np.float32) / BLUR_PX**2
    highest, lowest = blocks.max(axis=-1), blocks.min(axis=-1)
    saturation = np.where(highest > 8, (highest - lowest) / np.maximum(highest, 1), 0)
    return saturation.max(axis=(1, 2)) < BLANK_SATURATION


def examples(patches: PatchSet, each: int) -> Iterator[tuple[str, int, IndexArray]]:
    """Choose evenly spaced patches of every class that is there, for looking at.

    Parameters
    ----------
    patches
        Any set.
    each
        How many of a class, at most.

    Yields
    ------
    tuple
        ``"normal"``, ``"tumour"`` or ``"unlabelled"``; how many there are; positions of those that were chosen.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> [(name, count, len(rows)) for name, count, rows in examples(open_patches("pcam-mini", split="test"), each=3)]
    [('normal', 200, 3), ('tumour', 200, 3)]
    """
    label = patches.table["label"]
    for name, rows in (("normal", label == 0), ("tumour", label == 1), ("unlabelled", label.isna())):
        places = np.flatnonzero(rows.fillna(False).to_numpy(dtype=bool))
        if len(places):
            yield name, len(places), places[np.linspace(0, len(places) - 1, min(each, len(places))).astype(int)]


def _statistics(names: list[str], split: pd.Series, means: np.ndarray, squares: np.ndarray) -> pd.DataFrame:
    rows = {}
    for name in names:
        here = (split == name).to_numpy()
        mean = means[here].mean(axis=0)
        spread = np.sqrt(np.maximum(squares[here].mean(axis=0) - mean**2, 0))
        rows[name] = [*mean, *spread]
    columns = ["mean_red", "mean_green", "mean_blue", "sd_red", "sd_green", "sd_blue"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _duplicates(table: pd.DataFrame) -> pd.DataFrame:
    copies = table[table.duplicated("sha1", keep=False)]
    return copies.sort_values(["sha1", "id"])[["sha1", "id", "split", "label"]].reset_index(drop=True)
