"""Nearest training patches in the feature space of a network."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.patchset import PatchSet
from sentinode.inference.features import embed

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor

# Of more training patches a random sample of this size is searched: features of all would take minutes.
MAX_SEARCHED = 20_000


@dataclass(frozen=True)
class Neighbors:
    """The nearest training patches of some patches.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per patch and neighbor, the nearest first: ``id``, ``neighbor``, ``label`` of the neighbor,
        ``distance``.
    patches : PatchSet
        The neighbors, in the order of the table.
    searched : int
        The number of training patches searched.
    """

    table: pd.DataFrame
    patches: PatchSet
    searched: int


def nearest_training_patches(
    run: "Predictor", patches: PatchSet, shown: PatchSet, count: int = 5, seed: int = 0
) -> Neighbors | None:
    """Find the training patches that are nearest to some patches in the feature space of the network.

    The distance is Euclidean, with each feature divided by its standard deviation over the training patches. Exact
    copies of the patch itself are excluded.

    Parameters
    ----------
    run : Run
        From `train` or `load_run`.
    patches : PatchSet
        Cached. The patches among them that the run was trained on are searched; of more than 20,000 a random sample.
    shown : PatchSet
        Cached: the patches whose neighbors are wanted.
    count : int
        The number of neighbors of each patch.
    seed : int
        Seed of the random sample.

    Returns
    -------
    Neighbors or None
        None if the run was trained on none of the patches.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> few = open_patches("pcam-mini").cached()
    >>> few = few.select(range(0, len(few), 20))
    >>> run = load_run("d4net-m")
    >>> found = nearest_training_patches(run, few, few.split("test").select([0]), 3)
    >>> found.searched, len(found.table), bool(found.table["distance"].is_monotonic_increasing)
    (54, 3, True)
    """
    sha1 = patches.table["sha1"]
    rows = training_rows(run, sha1, MAX_SEARCHED, seed)
    if len(rows) == 0:
        return None
    training = patches.select(rows)
    found = nearest(embed(run, training), training.table["sha1"], embed(run, shown), shown.table["sha1"], count)
    orders, tables = [], []
    for name, (order, distance) in zip(shown.table["id"], found, strict=True):
        of = training.table.iloc[order]
        orders.append(order)
        tables.append(pd.DataFrame({"id": name, "neighbor": of["id"], "label": of["label"], "distance": distance}))
    return Neighbors(pd.concat(tables, ignore_index=True), training.select(np.concatenate(orders)), len(training))


def training_rows(run: "Predictor", sha1: "pd.Series[str]", most: int, seed: int = 0) -> NDArray[np.intp]:
    """Return the rows of the patches that a run was trained on, without duplicates: all, or a random sample.

    Parameters
    ----------
    run : Run
    sha1 : Series of shape (n,)
        SHA-1 of the pixels of each patch.
    most : int
        The size of the sample.
    seed : int
        Seed of the random sample.

    Returns
    -------
    ndarray of int
        Ascending; empty where the run was trained on none of the patches, or where this is unknown.
    """
    trained_on = run.trained_on(sha1)
    if trained_on is None:
        return np.array([], np.intp)
    rows = np.flatnonzero(trained_on & ~sha1.duplicated().to_numpy())
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def nearest(
    known: NDArray[np.floating[Any]],
    known_sha1: Iterable[str],
    features: NDArray[np.floating[Any]],
    sha1: Iterable[str],
    count: int,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.floating[Any]]]]:
    """Yield for each patch the rows of the nearest known patches, and their distances.

    Parameters
    ----------
    known : ndarray of shape (n, k)
        Features of the patches that are searched.
    known_sha1 : iterable of str
        SHA-1 of their pixels. Exact copies of a patch are not its neighbors.
    features : ndarray of shape (m, k)
    sha1 : iterable of str
        SHA-1 of the pixels of the m patches.
    count : int
        The most neighbors of each patch.
    """
    hashes = np.array(list(known_sha1))
    deviation = np.maximum(known.std(axis=0), 1e-12)
    for each, own in zip(features, sha1, strict=True):
        distance = np.sqrt((((known - each) / deviation) ** 2).sum(axis=1))
        order = np.argsort(distance, kind="stable")
        order = order[hashes[order] != own][:count]
        yield order, distance[order]
