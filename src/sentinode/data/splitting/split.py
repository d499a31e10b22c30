"""Split patches into train, valid and test sets or into folds, without leakage between them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
import pandas as pd

from sentinode.data.duplicates.near_duplicates import near_duplicates_within
from sentinode.data.patchset import PatchSet
from sentinode.data.splitting.groups import connected_groups
from sentinode.data.types import IndexArray
from sentinode.errors import ConfigError, DataError

UNLABELED = "unlabeled"


@dataclass(frozen=True)
class Split:
    """Patches with their new splits, and the groups that were kept together.

    Attributes
    ----------
    patches : PatchSet
        The patches; their column ``split`` holds the new splits, ``"unlabeled"`` for patches without a label.
    groups : ndarray of int64, shape (n,)
        Group of each patch. A group is never divided.
    grouped_by : tuple of str
        What connects the patches of a group, such as ``("slide", "duplicates")``.
    ungrouped : int
        Number of labeled patches whose slide and patient are both unknown.
    near_duplicates : int
        Number of pairs of near duplicates.
    """

    patches: PatchSet
    groups: IndexArray
    grouped_by: tuple[str, ...]
    ungrouped: int
    near_duplicates: int

    def fold(self, number: int) -> PatchSet:
        """Return the patches with one fold as ``valid`` and the others as ``train``.

        Parameters
        ----------
        number : int
            Number of the fold, from 1.

        Returns
        -------
        PatchSet
        """
        split = self.patches.table["split"]
        names = split.where(split == UNLABELED, split.eq(str(number)).map({True: "valid", False: "train"}))
        return replace(self.patches, table=self.patches.table.assign(split=names.astype("str")))


def check_fractions(fractions: Mapping[str, float]) -> np.ndarray:
    """Check the fractions of a split, and return them as an array.

    Parameters
    ----------
    fractions : mapping of str to float
        Fraction of each split.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ConfigError
        A fraction is not a number above 0, or they do not sum to 1.
    """
    for name, fraction in fractions.items():
        if not isinstance(fraction, Real):
            raise ConfigError(f"the fraction of {name} must be a number; got {fraction!r}")
    shares = np.array(list(fractions.values()), dtype=float)
    if not len(shares) or not (shares > 0).all() or not abs(shares.sum() - 1) <= 1e-9:
        shown = ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
        raise ConfigError(f"the fractions must be above 0 and sum to 1; got {shown or 'none'}")
    return shares


def split_patches(patches: PatchSet, fractions: Mapping[str, float], seed: int = 0) -> Split:
    """Split labeled patches by group, with the classes of each split in proportion.

    Patches of one patient, patches of one slide, exact duplicates and near duplicates (recompressed, rotated or
    mirrored) form groups that are never divided. Large groups are assigned first, each to the split that lacks most
    of the group's classes. The result depends on `patches`, `fractions` and `seed` only.

    Parameters
    ----------
    patches : PatchSet
        A cached set. Its present splits are ignored.
    fractions : mapping of str to float
        Name and fraction of each split; the fractions sum to 1.
    seed : int, default=0
        Seed of the random order of the groups.

    Returns
    -------
    Split

    Raises
    ------
    ConfigError
        The fractions are not positive or do not sum to 1; `seed` is negative.
    DataError
        There are too few groups for every split to contain both classes.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").cached()
    >>> split_patches(patches, {"train": 0.75, "valid": 0.25}).patches.counts().loc["valid"].tolist()
    [50, 50, 0]
    """
    shares = check_fractions(fractions)
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more; got {seed}")
    pairs = near_duplicates_within(patches)
    columns = [name for name in ("patient", "slide") if patches.table[name].notna().any()]
    groups = connected_groups(patches, [*columns, "sha1"], pairs)
    labels = patches.table["label"].to_numpy(dtype=float, na_value=-1).astype(np.int64)
    has_label = labels >= 0
    sizes = np.zeros((groups.max() + 1, 2), dtype=np.int64)  # Patches of each class in each group.
    np.add.at(sizes, (groups[has_label], labels[has_label]), 1)
    split_of = _assign(sizes, shares, np.random.default_rng(seed))
    missing = np.argwhere(_counts(split_of, sizes, len(shares)) == 0)
    if len(missing):
        name, label = list(fractions)[missing[0, 0]], missing[0, 1]
        raise DataError(
            f"{patches.path}: no patches of label {label} are left for split {name!r}. {len(shares)} splits need "
            f"{len(shares)} groups with label {label}, and there are {(sizes[:, label] > 0).sum():,} (a group is a "
            f"patient, a slide or a set of duplicates; the largest has {sizes.sum(axis=1).max():,} of "
            f"{has_label.sum():,} patches); ask for fewer splits or add patches"
        )
    names = np.array(list(fractions), dtype=object)[split_of[groups]]
    names[~has_label] = UNLABELED
    known = patches.table[["slide", "patient"]].notna().any(axis=1).to_numpy()
    return Split(
        patches=replace(patches, table=patches.table.assign(split=pd.Series(names, dtype="str"))),
        groups=groups,
        grouped_by=(*columns, "duplicates"),
        ungrouped=int((~known & has_label).sum()),
        near_duplicates=len(pairs),
    )


def split_folds(patches: PatchSet, count: int, seed: int = 0) -> Split:
    """Split labeled patches into folds of equal size, named ``"1"``, ``"2"``, …; see `split_patches`.

    Parameters
    ----------
    patches : PatchSet
        A cached set.
    count : int
        Number of folds, at least 2.
    seed : int, default=0
        Seed of the random order of the groups.

    Returns
    -------
    Split

    Raises
    ------
    ConfigError
        Fewer than two folds.
    DataError
        There are too few groups for every fold to contain both classes.
    """
    if count < 2:
        raise ConfigError(f"folds must be at least 2; got {count}")
    return split_patches(patches, {str(number): 1 / count for number in range(1, count + 1)}, seed)


def _assign(sizes: IndexArray, shares: np.ndarray, rng: np.random.Generator) -> IndexArray:
    """Return the split of each group."""
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order].sum(axis=1), kind="stable")]
    split_of = _assign_largest_first(sizes, shares, order, np.full(len(sizes), -1))
    if (_counts(split_of, sizes, len(shares)) == 0).any():
        split_of = _assign_largest_first(sizes, shares, order, _smallest_with_both_classes(sizes, shares, order[::-1]))
    return split_of


def _assign_largest_first(sizes: IndexArray, shares: np.ndarray, order: IndexArray, fixed: IndexArray) -> IndexArray:
    """Assign the groups that `fixed` leaves at -1, in `order`."""
    totals, counts = np.maximum(sizes.sum(axis=0), 1), sizes.sum(axis=1)
    missing = shares[:, None] * totals - _counts(fixed, sizes, len(shares))
    split_of, order = fixed.copy(), order[fixed[order] < 0]
    for group in order[counts[order] > 1]:
        # The split for which the squared distance from its target falls most, each class relative to its size.
        split = int(np.argmax(missing @ (sizes[group] / totals**2)))
        split_of[group] = split
        missing[split] -= sizes[group]
    for label in (0, 1):
        singles = order[(counts[order] == 1) & (sizes[order, label] == 1)]
        numbers = _round_to_sum(np.maximum(missing[:, label], 0), len(singles))
        split_of[singles] = np.repeat(np.arange(len(shares)), numbers)
    split_of[split_of < 0] = 0  # Groups without labels.
    return split_of


def _smallest_with_both_classes(sizes: IndexArray, shares: np.ndarray, order: IndexArray) -> IndexArray:
    """Give every split, the smallest one first, the smallest group or pair of groups with both classes.

    This succeeds whenever each class is in at least as many groups as there are splits.
    """
    has = sizes[order] > 0
    mixed = [[group] for group in order[has.all(axis=1)]]
    pure = (order[has[:, label] & ~has[:, 1 - label]] for label in (0, 1))
    units = sorted(mixed + [list(pair) for pair in zip(*pure, strict=False)], key=lambda unit: sizes[unit].sum())
    fixed = np.full(len(sizes), -1)
    for split, unit in zip(np.argsort(shares, kind="stable"), units, strict=False):
        fixed[unit] = split
    return fixed


def _counts(split_of: IndexArray, sizes: IndexArray, splits: int) -> IndexArray:
    counts = np.zeros((splits, 2), dtype=np.int64)
    np.add.at(counts, split_of[split_of >= 0], sizes[split_of >= 0])
    return counts


def _round_to_sum(targets: np.ndarray, total: int) -> IndexArray:
    """Round to whole numbers with this sum, the largest remainders up."""
    if total == 0:
        return np.zeros(len(targets), dtype=np.int64)
    targets = targets * (total / targets.sum()) if targets.sum() > 0 else np.full(len(targets), total / len(targets))
    whole = np.floor(targets).astype(np.int64)
    whole[np.argsort(whole - targets, kind="stable")[: total - whole.sum()]] += 1
    return whole
