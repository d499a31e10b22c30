"""Inspect a set of patches before training: counts, duplicates, leaks, file hashes and image quality."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.duplicates.hashes import HashCheck, compare_hashes
from sentinode.data.duplicates.near_duplicates import near_duplicates_within
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.quality.channel_order import warn_of_exchanged_channels
from sentinode.data.quality.checks import CHECKS, MIN_SATURATION, check_quality, stain_by_group
from sentinode.data.quality.statistics import ChannelStatistics, QualityStatistics, concatenate
from sentinode.data.splitting.groups import Leak, find_leaks
from sentinode.data.types import IndexArray, UInt8Array, evenly_spaced

KNOWN_COUNTS = ["patches", "values"]


@dataclass(frozen=True)
class Quality:
    """Image quality and near duplicates of a set of patches.

    Attributes
    ----------
    checks : DataFrame
        One row per patch, in the order of the set; see `check_quality`.
    stains : DataFrame
        One row per group of patches; see `stain_by_group`.
    stains_by : str
        The groups: ``"centre"``, ``"slide"`` or ``"split"``, the first of these with several values.
    near_duplicates : DataFrame
        Pairs of near duplicates; see `near_duplicates_within`.
    pairs_across_splits : int
        Number of pairs whose patches are in different splits.
    statistics : QualityStatistics
        Statistics of the patches.
    """

    checks: pd.DataFrame
    stains: pd.DataFrame
    stains_by: str
    near_duplicates: pd.DataFrame
    pairs_across_splits: int
    statistics: QualityStatistics


@dataclass(frozen=True)
class Inspection:
    """Result of `inspect_patches`.

    Attributes
    ----------
    counts : DataFrame
        Patches of each split and class; see `PatchSet.counts`.
    gray_levels : DataFrame
        One row per split: mean and standard deviation of each channel, ``mean_red`` … ``sd_blue``, from 0 to 255.
    duplicates : DataFrame
        One row per patch that has an exact duplicate: ``sha1``, ``id``, ``split``, ``label``, sorted by hash.
    near_blank : list of str
        Ids of patches without stained tissue.
    known : DataFrame
        One row for each of ``slide``, ``patient`` and ``centre``: ``patches``, for how many of them it is known, and
        ``values``, the number of different ones.
    leaks : list of Leak
        Slides and patients with patches in more than one split.
    hashes : HashCheck
        File names that are hashes, compared with the pixels.
    channels_exchanged : bool
        Whether red and blue look exchanged; see `warn_of_exchanged_channels`.
    quality : Quality or None
        Image quality, if requested.
    """

    counts: pd.DataFrame
    gray_levels: pd.DataFrame
    duplicates: pd.DataFrame
    near_blank: list[str]
    known: pd.DataFrame
    leaks: list[Leak]
    hashes: HashCheck
    channels_exchanged: bool
    quality: Quality | None

    @property
    def duplicates_within_splits(self) -> dict[str, int]:
        """For each split, the number of patches that are exact duplicates of an earlier one in the same split."""
        repeated = self.duplicates.duplicated(["sha1", "split"])
        return {str(k): int(n) for k, n in self.duplicates["split"][repeated].value_counts(sort=False).items()}

    @property
    def duplicates_across_splits(self) -> int:
        """Number of different patches that are in more than one split."""
        return int((self.duplicates.groupby("sha1")["split"].nunique() > 1).sum())

    @property
    def label_conflicts(self) -> int:
        """Number of different patches that have both labels."""
        return int((self.duplicates.groupby("sha1")["label"].nunique() > 1).sum())

    def to_json(self) -> dict[str, Any]:
        """Return the results as plain values."""
        content = {
            "counts": self.counts.to_dict(orient="index"),
            "gray_levels": self.gray_levels.round(3).to_dict(orient="index"),
            "duplicates": {
                "within_splits": self.duplicates_within_splits,
                "across_splits": self.duplicates_across_splits,
                "label_conflicts": self.label_conflicts,
            },
            "near_blank": self.near_blank,
            "known": self.known.to_dict(orient="index"),
            "leaks": [vars(leak) for leak in self.leaks],
            "file_hashes": vars(self.hashes),
            "channels_exchanged": self.channels_exchanged,
        }
        return content | ({"quality": quality_json(self.quality)} if self.quality else {})


def quality_json(quality: Quality) -> dict[str, Any]:
    """Return quality and near duplicates as plain values."""
    stains = quality.stains.round(3)
    return {
        "checks": {name: int(quality.checks[name].sum()) for name in CHECKS},
        "near_duplicate_pairs": len(quality.near_duplicates),
        "near_duplicate_pairs_across_splits": quality.pairs_across_splits,
        "stains_by": quality.stains_by,
        "stains": stains.astype(object).where(stains.notna(), None).to_dict(orient="index"),
    }


def inspect_patches(patches: PatchSet, *, quality: bool = False) -> Inspection:
    """Inspect a set of patches. Each patch is read once.

    Parameters
    ----------
    patches : PatchSet
        A cached set.
    quality : bool, default=False
        Also check image quality and search for near duplicates.

    Returns
    -------
    Inspection

    Examples
    --------
    >>> from sentinode import open_patches
    >>> found = inspect_patches(open_patches("pcam-mini", split="test").cached(), quality=True)
    >>> found.duplicates_across_splits
    0
    >>> found.quality.checks.sum().to_dict()
    {'near_blank': 0, 'out_of_focus': 1, 'pen_marks': 0, 'clipped': 0}
    """
    _ = patches.fingerprint  # Raises for a set that is not cached.

    def measure(pixels: UInt8Array) -> tuple[ChannelStatistics, QualityStatistics | None]:
        return ChannelStatistics.from_pixels(pixels), QualityStatistics.from_pixels(pixels) if quality else None

    parts = list(map_patches(patches, measure, "measuring"))
    channels = concatenate([part for part, _ in parts])
    statistics = concatenate([part for _, part in parts if part]) if quality else None
    split = patches.table["split"].astype("string").fillna("-")
    counts = patches.counts()
    return Inspection(
        counts=counts,
        gray_levels=_gray_levels(list(counts.index), split, channels),
        duplicates=_duplicates(patches.table.assign(split=split)),
        near_blank=patches.table["id"][channels.saturation < MIN_SATURATION].tolist(),
        known=patches.table[["slide", "patient", "centre"]].agg(["count", "nunique"]).T.set_axis(KNOWN_COUNTS, axis=1),
        leaks=find_leaks(patches),
        hashes=compare_hashes(patches),
        channels_exchanged=warn_of_exchanged_channels(patches),
        quality=_quality(patches, channels, statistics) if statistics else None,
    )


def _quality(patches: PatchSet, channels: ChannelStatistics, statistics: QualityStatistics) -> Quality:
    by = next((name for name in ("centre", "slide") if patches.table[name].nunique() > 1), "split")
    pairs, split = near_duplicates_within(patches, statistics.descriptors), patches.table["split"].fillna("").to_numpy()
    return Quality(
        checks=check_quality(channels, statistics),
        stains=stain_by_group(statistics, patches.table[by].astype("string").fillna("unknown")),
        stains_by=by,
        near_duplicates=pairs,
        pairs_across_splits=int((split[pairs["first"]] != split[pairs["second"]]).sum()),
        statistics=statistics,
    )


def spaced_examples(patches: PatchSet, count: int) -> Iterator[tuple[str, int, IndexArray]]:
    """Choose evenly spaced patches of each class.

    Parameters
    ----------
    patches : PatchSet
        Cached or not.
    count : int
        Largest number of patches per class.

    Yields
    ------
    name : str
        ``"normal"``, ``"tumour"`` or ``"unlabeled"``.
    total : int
        Number of patches of this class.
    rows : ndarray of int64
        Positions of the chosen patches.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> mini = open_patches("pcam-mini", split="test")
    >>> [(name, total, len(rows)) for name, total, rows in spaced_examples(mini, 3)]
    [('normal', 200, 3), ('tumour', 200, 3)]
    """
    label = patches.table["label"]
    for name, chosen in (("normal", label == 0), ("tumour", label == 1), ("unlabeled", label.isna())):
        rows = np.flatnonzero(chosen.fillna(False).to_numpy(dtype=bool))
        if len(rows):
            yield name, len(rows), rows[evenly_spaced(len(rows), count)]


def _gray_levels(names: list[str], split: pd.Series, channels: ChannelStatistics) -> pd.DataFrame:
    rows = {}
    for name in names:
        here = (split == name).to_numpy()
        mean = channels.mean[here].mean(axis=0)
        deviation = np.sqrt(np.maximum(channels.mean_square[here].mean(axis=0) - mean**2, 0))
        rows[name] = [*mean, *deviation]
    columns = ["mean_red", "mean_green", "mean_blue", "sd_red", "sd_green", "sd_blue"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _duplicates(table: pd.DataFrame) -> pd.DataFrame:
    copies = table[table.duplicated("sha1", keep=False)]
    return copies.sort_values(["sha1", "id"])[["sha1", "id", "split", "label"]].reset_index(drop=True)
