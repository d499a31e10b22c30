"""Nearest training patches in the feature space of a network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

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
    trained_on = run.trained_on(sha1)
    if trained_on is None or not trained_on.any():
        return None
    rows = np.flatnonzero(trained_on & ~sha1.duplicated().to_numpy())
    if len(rows) > MAX_SEARCHED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_SEARCHED, replace=False))
    training = patches.select(rows)
    features_of_training, features_of_shown = embed(run, training), embed(run, shown)
    deviation = np.maximum(features_of_training.std(axis=0), 1e-12)
    nearest, tables = [], []
    hashes = shown.table[["id", "sha1"]].itertuples(index=False)
    for (name, copy), features in zip(hashes, features_of_shown, strict=True):
        distance = np.sqrt((((features_of_training - features) / deviation) ** 2).sum(axis=1))
        order = np.argsort(distance, kind="stable")
        order = order[(training.table["sha1"].iloc[order] != copy).to_numpy()][:count]
        of = training.table.iloc[order]
        nearest.append(order)
        tables.append(
            pd.DataFrame({"id": name, "neighbor": of["id"], "label": of["label"], "distance": distance[order]})
        )
    return Neighbors(pd.concat(tables, ignore_index=True), training.select(np.concatenate(nearest)), len(training))
