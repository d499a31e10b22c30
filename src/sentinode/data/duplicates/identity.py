"""A patch is its pixels: names that are hashes are checked, copies between data sets are counted."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sentinode.data.duplicates.near_duplicates import near_duplicates_between
from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError

_HASH = re.compile(r"(?:^|/)([0-9a-f]{40})(\.[^./]+)?$")
LOSSY = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Names:
    """What `check_names` found.

    Attributes
    ----------
    verified
        How many patches are named by the SHA-1 of their own pixels, as Kaggle's are.
    altered
        Ids of lossless files whose pixels are not those that they are named by: damaged, or changed by a program.
    lossy
        How many JPEG files are named by other pixels: those before the compression, which cannot be checked.
    """

    verified: int
    altered: list[str]
    lossy: int


def check_names(patches: PatchSet) -> Names:
    """Compare file names that are SHA-1 hashes with the pixels.

    Parameters
    ----------
    patches
        A cached set.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> check_names(open_patches("pcam-mini", split="test").cached())
    Names(verified=0, altered=[], lossy=0)
    """
    _ = patches.fingerprint  # Says what to do when the set is not cached.
    parts = patches.table["id"].str.lower().str.extract(_HASH)
    named = parts[0].notna()
    differ = named & (parts[0] != patches.table["sha1"])
    is_lossy = parts[1].isin(LOSSY)
    return Names(
        verified=int((named & ~differ).sum()),
        altered=patches.table["id"][differ & ~is_lossy].tolist(),
        lossy=int((differ & is_lossy).sum()),
    )


def check_unaltered(patches: PatchSet) -> PatchSet:
    """Return a cached set, unless some of its files hold other pixels than they are named by.

    Where no name is right the names are another kind of hash, and say nothing.

    Raises
    ------
    DataError
        Some names are right and others are not.
    """
    names = check_names(patches)
    if names.verified and names.altered:
        raise DataError(
            f"{patches.path}: {len(names.altered):,} files do not hold the pixels that they are named by, the first is "
            f"{names.altered[0]}; fetch them again, or take them out"
        )
    return patches


def copies_between(sets: Sequence[PatchSet]) -> pd.DataFrame:
    """Count the different patches that data sets have in common, pixel by pixel and but for compression.

    Parameters
    ----------
    sets
        Two or more cached sets.

    Returns
    -------
    pandas.DataFrame
        One row for each two sets: their paths ``first`` and ``second``, ``patches`` (how many different ones are in
        both), ``other_labels`` (how many of these have another label there), ``alike`` (how many of the first have one
        in the second that is the same but for compression or orientation).

    Examples
    --------
    >>> from sentinode import open_patches
    >>> mini = open_patches("pcam-mini").cached()
    >>> copies_between([mini.split("test"), mini.split("valid")])["patches"].tolist()
    [0]
    """
    rows = []
    for first, second in itertools.combinations(sets, 2):
        here, there = (each.table.groupby("sha1", sort=False)["label"].first() for each in (first, second))
        both = here.to_frame("here").join(there.rename("there"), how="inner")
        differ = int(both["here"].ne(both["there"]).fillna(False).sum())
        alike = first.table["sha1"].iloc[near_duplicates_between(first, second)["first"]]
        rows.append((first.path, second.path, len(both), differ, len(set(alike) - set(both.index))))
    return pd.DataFrame(rows, columns=["first", "second", "patches", "other_labels", "alike"])
