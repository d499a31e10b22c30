"""What must stay together when patches are divided, and what was separated already."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sentinode.data.patchset import PatchSet

Ints = NDArray[np.int64]


def connected_groups(patches: PatchSet, columns: Sequence[str], alike: pd.DataFrame | None = None) -> Ints:
    """Number what must stay together: patches joined by a value, by likeness, or by a chain of both.

    Parameters
    ----------
    patches
        A cached set, where ``sha1`` is among the columns.
    columns
        Patches with the same value in one of these stay together; a missing value ties nothing.
    alike
        Pairs of positions, ``first`` and ``second``, that stay together as well.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(n,)``: the group of each patch, counted from 0 in the order of their first patches.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> connected_groups(open_patches("pcam-mini", split="test").select([4, 5, 6]), ["split"]).tolist()
    [0, 0, 0]
    """
    count = len(patches)
    edges = []
    for name in columns:
        codes, _ = pd.factorize(patches.table[name])  # -1 where unknown
        known = np.flatnonzero(codes >= 0)
        first = pd.Series(known).groupby(codes[known]).transform("first").to_numpy(dtype=np.int64)
        edges.append(np.stack([known, first]))
    if alike is not None:
        edges.append(alike[["first", "second"]].to_numpy(dtype=np.int64).T)
    rows, others = np.concatenate(edges, axis=1)
    joined = coo_array((np.ones(len(rows), dtype=np.int8), (rows, others)), shape=(count, count))
    groups = connected_components(joined, directed=False)[1]
    return np.asarray(pd.factorize(groups)[0], dtype=np.int64)


@dataclass(frozen=True)
class Leak:
    """A slide or a patient whose patches are in more than one split.

    Attributes
    ----------
    what
        ``"slide"`` or ``"patient"``.
    name
        Its name.
    patches
        How many of its patches each split has.
    """

    what: str
    name: str
    patches: dict[str, int]


def leaks(patches: PatchSet) -> list[Leak]:
    """Find slides and patients that splits share: a network is then tested on tissue that it was trained on.

    The ``id_val`` of Camelyon17-WILDS is of the slides of ``train`` on purpose, and counts as a part of it.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> leaks(open_patches("pcam-mini"))
    []
    """
    found = []
    for what in ("slide", "patient"):
        table = patches.table.dropna(subset=[what, "split"])
        counts = table.assign(split=table["split"].replace("id_val", "train")).groupby([what, "split"]).size()
        names = counts.index.get_level_values(0)
        for name, rows in counts[names.duplicated(keep=False)].groupby(level=0):
            found.append(Leak(what, str(name), {str(split): int(n) for split, n in rows.droplevel(0).items()}))
    return found
