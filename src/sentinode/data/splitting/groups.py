"""Find groups of related patches, and groups that more than one split contains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sentinode.data.patchset import PatchSet
from sentinode.data.types import IndexArray


def connected_groups(patches: PatchSet, columns: Sequence[str], pairs: pd.DataFrame | None = None) -> IndexArray:
    """Number the groups of patches that are connected by shared values, by pairs, or by a chain of both.

    Parameters
    ----------
    patches : PatchSet
        The patches. The column ``sha1`` exists in a cached set only.
    columns : sequence of str
        Columns of the table; patches with equal values are connected. A missing value connects nothing.
    pairs : DataFrame, optional
        Pairs of connected positions in the columns ``first`` and ``second``.

    Returns
    -------
    ndarray of int64, shape (n,)
        The group of each patch, numbered from 0 in the order of their first patches.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> connected_groups(open_patches("pcam-mini", split="test").select([4, 5, 6]), ["split"]).tolist()
    [0, 0, 0]
    """
    edges = []
    for name in columns:
        codes, _ = pd.factorize(patches.table[name])  # -1 for a missing value
        known = np.flatnonzero(codes >= 0)
        first = pd.Series(known).groupby(codes[known]).transform("first").to_numpy(dtype=np.int64)
        edges.append(np.stack([known, first]))
    if pairs is not None:
        edges.append(pairs[["first", "second"]].to_numpy(dtype=np.int64).T)
    rows, others = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, others)), shape=(len(patches), len(patches)))
    groups = connected_components(graph, directed=False)[1]
    return np.asarray(pd.factorize(groups)[0], dtype=np.int64)


@dataclass(frozen=True)
class Leak:
    """A slide or a patient with patches in more than one split.

    Attributes
    ----------
    column : str
        ``"slide"`` or ``"patient"``.
    name : str
        Name of the slide or the patient.
    patches : dict of str to int
        Number of its patches in each split.
    """

    column: str
    name: str
    patches: dict[str, int]


def find_leaks(patches: PatchSet) -> list[Leak]:
    """Find slides and patients with patches in more than one split.

    ``id_val`` of Camelyon17-WILDS comes from the slides of ``train`` by design and counts as part of ``train``.

    Parameters
    ----------
    patches : PatchSet
        Cached or not.

    Returns
    -------
    list of Leak
        Slides first.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> find_leaks(open_patches("pcam-mini"))
    []
    """
    leaks = []
    for column in ("slide", "patient"):
        table = patches.table.dropna(subset=[column, "split"])
        counts = table.assign(split=table["split"].replace("id_val", "train")).groupby([column, "split"]).size()
        names = counts.index.get_level_values(0)
        for name, rows in counts[names.duplicated(keep=False)].groupby(level=0):
            leaks.append(Leak(column, str(name), {str(split): int(n) for split, n in rows.droplevel(0).items()}))
    return leaks
