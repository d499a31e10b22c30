"""Groups of patches by their stain, where no column says which slide or centre they are from."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from sentinode.data.patchset import PatchSet
from sentinode.data.quality.statistics import MIN_TISSUE_FRACTION, PatchStatistics

GROUPS = 5
LITTLE_TISSUE = "little tissue"


def stain_groups(patches: PatchSet) -> pd.Series:
    """Group patches by colour and strength of their stain, as they come out of k-means.

    Parameters
    ----------
    patches
        Any set; all of its pixels are read.

    Returns
    -------
    pandas.Series
        The group of each patch: ``"1, palest"``, ``"2"``, … ``"5, darkest"``; fewer where fewer stains differ. Patches
        with tissue on less than a tenth of their pixels say nothing of a stain and are a group of their own.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> stain_groups(open_patches("pcam-mini", split="test")).value_counts().sort_index().index.tolist()
    ['1, palest', '2', '3', '4', '5, darkest', 'little tissue']
    """
    from sklearn.cluster import KMeans  # Slow to import.

    look = PatchStatistics.from_patches(patches)
    stained = look.tissue_fraction >= MIN_TISSUE_FRACTION
    values = look.stain[stained].astype(np.float64)
    groups = np.full(len(patches), LITTLE_TISSUE, dtype=object)
    count = min(GROUPS, len(np.unique(values, axis=0)))
    if count:
        scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
        with threadpool_limits(1):  # Its threads wait for each other's when others compute as well.
            of_each = KMeans(count, n_init=10, random_state=0).fit_predict(scaled)
        strength = [values[of_each == group, 2].mean() for group in range(count)]
        place = np.argsort(np.argsort(strength))
        names = {0: "1, palest", count - 1: f"{count}, darkest"} if count > 1 else {}
        groups[stained] = [names.get(place[group], str(place[group] + 1)) for group in of_each]
    return pd.Series(groups, index=patches.table.index, dtype="str")
