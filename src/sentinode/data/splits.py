"""A validation split for sources that have none."""

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError


def hold_out(patches: PatchSet, fraction: float = 0.1, seed: int = 0) -> tuple[PatchSet, PatchSet]:
    """Take a part of the patches out for validation.

    Patches of one slide stay together where slides are known, exact copies stay together always, and each class
    is divided in the same proportion as nearly as that allows.

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
        A class has fewer than two groups, so it cannot be on both sides.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").cached()
    >>> stay, out = hold_out(patches, fraction=0.25)
    >>> len(stay) + len(out) == len(patches)
    True
    """
    labels = patches.labels
    by_slide = bool(patches.table["slide"].notna().all())
    groups, _ = pd.factorize(patches.table["slide" if by_slide else "sha1"])
    sizes = np.zeros((groups.max() + 1, 2), dtype=np.int64)
    np.add.at(sizes, (groups, labels), 1)
    out = _choose(sizes, np.maximum(1, np.round(fraction * sizes.sum(axis=0))), np.random.default_rng(seed))
    taken = out[groups]
    for label in (0, 1):
        if not (np.any(labels[taken] == label) and np.any(labels[~taken] == label)):
            what = "slides" if by_slide else "different patches"
            raise DataError(
                f"{patches.path}: too few {what} of label {label} for a validation split; "
                "name one with --valid, or add patches"
            )
    return patches.select(np.flatnonzero(~taken)), patches.select(np.flatnonzero(taken))


def _choose(sizes: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take groups in random order while no class gets more than its target; then mend what got none."""
    out = np.zeros(len(sizes), dtype=bool)
    order = rng.permutation(len(sizes))
    counts = np.zeros(2, dtype=np.int64)
    for group in order:
        if np.all(counts + sizes[group] <= targets):
            out[group] = True
            counts += sizes[group]
    for label in (0, 1):
        if counts[label] == 0:
            # Only large groups hold this class: the smallest of them is the nearest to the target.
            holders = [group for group in order if sizes[group, label]]
            smallest = min(holders, key=lambda group: int(sizes[group].sum()), default=None)
            if smallest is not None:
                out[smallest] = True
                counts += sizes[smallest]
    return out
