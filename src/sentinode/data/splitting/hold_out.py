"""A validation split for sources that have none."""

import itertools

import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.data.splitting.groups import Ints, connected_groups
from sentinode.errors import DataError


def hold_out(patches: PatchSet, fraction: float = 0.1, seed: int = 0) -> tuple[PatchSet, PatchSet]:
    """Take a part of the patches out for validation.

    Patches of one patient and of one slide stay together where these are known, exact copies always, and each class is
    divided in the same proportion as nearly as that allows.

    Parameters
    ----------
    patches
        A cached set with labels.
    fraction
        The part to take out, between 0 and 1.
    seed
        The draw is a pure function of this and of the patches.

    Returns
    -------
    tuple of PatchSet
        What stays, and what was taken out; each in the order of `patches`.

    Raises
    ------
    DataError
        No division has both classes on both sides.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").cached()
    >>> stay, out = hold_out(patches, fraction=0.25)
    >>> len(stay) + len(out) == len(patches)
    True
    """
    labels = patches.labels
    groups = connected_groups(patches, ("patient", "slide", "sha1"))
    sizes = np.zeros((groups.max() + 1, 2), dtype=np.int64)
    np.add.at(sizes, (groups, labels), 1)
    out = _choose(sizes, np.maximum(1, np.round(fraction * sizes.sum(axis=0))), np.random.default_rng(seed))
    if out is None:
        holders = (sizes > 0).sum(axis=0)
        raise DataError(
            f"{patches.path}: too few different slides or patches of label {int(holders.argmin())} for a validation "
            "split with both classes on both sides; name one with --valid, or add patches"
        )
    taken = out[groups]
    return patches.select(np.flatnonzero(~taken)), patches.select(np.flatnonzero(taken))


def _choose(sizes: Ints, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Take groups in random order while no class gets more than its target.

    Where the groups are too large for that, the smallest one or two that will do are taken; None when none will.
    """
    out = np.zeros(len(sizes), dtype=bool)
    counts = np.zeros(2, dtype=np.int64)
    order = rng.permutation(len(sizes))
    for group in order:
        if np.all(counts + sizes[group] <= targets):
            out[group] = True
            counts += sizes[group]
    totals = sizes.sum(axis=0)
    if np.all(counts > 0) and np.all(counts < totals):
        return out
    by_size = order[np.argsort(sizes[order].sum(axis=1), kind="stable")]
    singles = ((group,) for group in by_size)
    for chosen in itertools.chain(singles, itertools.combinations(by_size, 2)):
        counts = sizes[list(chosen)].sum(axis=0)
        if np.all(counts > 0) and np.all(counts < totals):
            out[:] = False
            out[list(chosen)] = True
            return out
    return None
