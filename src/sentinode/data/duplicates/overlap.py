"""Count the patches that data sets share."""

import itertools
from collections.abc import Sequence

import pandas as pd

from sentinode.data.duplicates.near_duplicates import near_duplicates_between
from sentinode.data.patchset import PatchSet


def count_shared_patches(sets: Sequence[PatchSet]) -> pd.DataFrame:
    """Count the patches that each two of several data sets share.

    Parameters
    ----------
    sets : sequence of PatchSet
        Two or more cached sets.

    Returns
    -------
    DataFrame
        One row per pair of sets: their paths ``first`` and ``second``; ``identical``, the number of different patches
        in both sets; ``different_label``, the number of those that have another label in the second set;
        ``near_duplicates``, the number of further patches of the first set with a near duplicate in the second.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> mini = open_patches("pcam-mini").cached()
    >>> count_shared_patches([mini.split("test"), mini.split("valid")])["identical"].tolist()
    [0]
    """
    rows = []
    for first, second in itertools.combinations(sets, 2):
        here, there = (each.table.groupby("sha1", sort=False)["label"].first() for each in (first, second))
        both = here.to_frame("here").join(there.rename("there"), how="inner")
        differing = int(both["here"].ne(both["there"]).fillna(False).sum())
        near = first.table["sha1"].iloc[near_duplicates_between(first, second)["first"]]
        rows.append((first.path, second.path, len(both), differing, len(set(near) - set(both.index))))
    return pd.DataFrame(rows, columns=["first", "second", "identical", "different_label", "near_duplicates"])
