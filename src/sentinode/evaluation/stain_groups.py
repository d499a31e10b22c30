"""Group patches by their stain."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from sentinode.data.patchset import PatchSet
from sentinode.data.quality.statistics import MIN_TISSUE_FRACTION, PatchStatistics

GROUPS = 5
LITTLE_TISSUE = "little tissue"


def stain_groups(patches: PatchSet) -> "pd.Series[str]":
    """Group patches by the color and strength of their stain.

    This stands in for slides or centers that are not known.

    Parameters
    ----------
    patches : PatchSet
        The patches; all pixels are read.

    Returns
    -------
    pandas.Series of str
        The group of each patch from k-means, ``"1, palest"`` to ``"5, darkest"``; fewer groups if there are fewer
        distinct stains. Patches with tissue on less than a tenth of their pixels are the group ``"little tissue"``.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> stain_groups(open_patches("pcam-mini", split="test")).value_counts().sort_index().index.tolist()
    ['1, palest', '2', '3', '4', '5, darkest', 'little tissue']
    """
    from sklearn.cluster import KMeans  # Slow to import.

    statistics = PatchStatistics.from_patches(patches)
    stained = statistics.tissue_fraction >= MIN_TISSUE_FRACTION
    values = statistics.stain[stained].astype(np.float64)
    groups = np.full(len(patches), LITTLE_TISSUE, dtype=object)
    count = min(GROUPS, len(np.unique(values, axis=0)))
    if count:
        scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
        with threadpool_limits(1):  # More threads are slower if other processes compute too.
            found = KMeans(count, n_init=10, random_state=0).fit_predict(scaled)
        strength = [values[found == group, 2].mean() for group in range(count)]
        rank = np.argsort(np.argsort(strength))
        names = {0: "1, palest", count - 1: f"{count}, darkest"} if count > 1 else {}
        groups[stained] = [names.get(rank[group], str(rank[group] + 1)) for group in found]
    return pd.Series(groups, index=patches.table.index, dtype="str")
