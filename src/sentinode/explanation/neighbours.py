"""Training patches that a network finds most like those that are explained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.inference.features import embed

if TYPE_CHECKING:
    from sentinode.training.run import Run

# Of more training patches so many are drawn: features of all would take minutes.
AMONG = 20_000


@dataclass(frozen=True)
class Neighbours:
    """What was found.

    Attributes
    ----------
    table
        One row a patch and neighbour, the nearest first: ``id``, ``neighbour``, ``label`` of the neighbour,
        ``distance``.
    patches
        The neighbours, one for each row of the table.
    among
        How many training patches were looked through.
    """

    table: pd.DataFrame
    patches: PatchSet
    among: int


def nearest_training_patches(
    run: "Run", patches: PatchSet, shown: PatchSet, count: int = 5, seed: int = 0
) -> Neighbours | None:
    """Find the training patches that lie nearest to some patches in the space of the network's features.

    Distance is Euclidean, each feature divided by its deviation over the training patches. A copy of the patch itself
    is no neighbour.

    Parameters
    ----------
    run
        From `train` or `load_run`.
    patches
        Cached. Those that the run was trained on are looked through; of more than 20,000 as many are drawn at random.
    shown
        Cached: the patches whose neighbours are wanted.
    count
        How many of each.
    seed
        Of the draw.

    Returns
    -------
    Neighbours or None
        None where the run was trained on none of the patches.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> few = open_patches("pcam-mini").cached()
    >>> few = few.select(range(0, len(few), 20))
    >>> run = load_run("d4net-m")
    >>> found = nearest_training_patches(run, few, few.split("test").select([0]), 3)
    >>> found.among, len(found.table), bool(found.table["distance"].is_monotonic_increasing)
    (54, 3, True)
    """
    sha1 = patches.table["sha1"]
    rows = np.flatnonzero(run.trained_on(sha1) & ~sha1.duplicated().to_numpy())
    if not len(rows):
        return None
    if len(rows) > AMONG:
        rows = np.sort(np.random.default_rng(seed).choice(rows, AMONG, replace=False))
    training = patches.select(rows)
    theirs, own = embed(run, training), embed(run, shown)
    deviation = np.maximum(theirs.std(axis=0), 1e-12)
    nearest, tables = [], []
    for (name, copy), features in zip(shown.table[["id", "sha1"]].itertuples(index=False), own, strict=True):
        distance = np.sqrt((((theirs - features) / deviation) ** 2).sum(axis=1))
        order = np.argsort(distance, kind="stable")
        order = order[(training.table["sha1"].iloc[order] != copy).to_numpy()][:count]
        of = training.table.iloc[order]
        nearest.append(order)
        tables.append(
            pd.DataFrame({"id": name, "neighbour": of["id"], "label": of["label"], "distance": distance[order]})
        )
    return Neighbours(pd.concat(tables, ignore_index=True), training.select(np.concatenate(nearest)), len(training))
