"""Train, valid and test, or k folds, that share no slide, no patient and no copy of a patch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sentinode.data.duplicates.near_duplicates import near_duplicates_within
from sentinode.data.patchset import PatchSet
from sentinode.data.splitting.groups import Ints, connected_groups
from sentinode.errors import ConfigError, DataError

UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Split:
    """Patches with a part for each, and how they were kept together.

    Attributes
    ----------
    patches
        The set; its ``split`` is the part. Patches without a label are ``unlabelled``.
    groups
        int64, for each patch the number of the group that it was kept together with.
    by
        What the groups were made of, such as ``("slide", "copies")``.
    unknown
        How many labelled patches have neither slide nor patient.
    alike
        How many pairs of near copies were found.
    """

    patches: PatchSet
    groups: Ints
    by: tuple[str, ...]
    unknown: int
    alike: int


def split_patches(patches: PatchSet, parts: Mapping[str, float], seed: int = 0) -> Split:
    """Divide labelled patches into parts of given sizes, groups whole and classes in proportion.

    Patches of one patient, of one slide, exact copies and near copies (compressed, turned or mirrored since) stay
    together, as far as each is known. The largest groups are placed first, each where most of its classes is missing.

    Parameters
    ----------
    patches
        A cached set. Splits that it has already are replaced.
    parts
        Name and share of each part; the shares add up to 1.
    seed
        The draw is a pure function of this and of the patches.

    Raises
    ------
    ConfigError
        The shares do not add up to 1, or one is not above 0; a seed below 0.
    DataError
        The groups are too few or too large for each part to have both classes.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").cached()
    >>> split_patches(patches, {"train": 0.75, "valid": 0.25}).patches.counts().loc["valid"].tolist()
    [50, 50, 0]
    """
    shares = np.array(list(parts.values()), dtype=float)
    if not len(shares) or not (shares > 0).all() or not abs(shares.sum() - 1) <= 1e-9:
        raise ConfigError(f"the parts {dict(parts)} must each be above 0 and add up to 1")
    if seed < 0:
        raise ConfigError(f"a seed is a whole number, 0 or more; got {seed}")
    alike = near_duplicates_within(patches)
    columns = [name for name in ("patient", "slide") if patches.table[name].notna().any()]
    groups = connected_groups(patches, [*columns, "sha1"], alike)
    labels = patches.table["label"].to_numpy(dtype=float, na_value=-1).astype(np.int64)
    sizes = np.zeros((groups.max() + 1, 2), dtype=np.int64)
    has_label = labels >= 0
    np.add.at(sizes, (groups[has_label], labels[has_label]), 1)
    part_of = _place(sizes, shares, np.random.default_rng(seed))
    chosen = np.array(list(parts), dtype=object)[part_of[groups]]
    chosen[~has_label] = UNLABELLED
    divided = replace(patches, table=patches.table.assign(split=pd.Series(chosen, dtype="str")))
    _check(divided, parts, groups, sizes)
    known = patches.table[["slide", "patient"]].notna().any(axis=1).to_numpy()
    return Split(divided, groups, (*columns, "copies"), int((~known & has_label).sum()), len(alike))


def folds(patches: PatchSet, count: int, seed: int = 0) -> Split:
    """Divide labelled patches into so many equal parts, ``"1"``, ``"2"``, …, as `split_patches` does.

    Raises
    ------
    ConfigError
        Fewer than two folds.
    DataError
        See `split_patches`.
    """
    if count < 2:
        raise ConfigError(f"folds must be at least 2; got {count}")
    return split_patches(patches, {str(number): 1 / count for number in range(1, count + 1)}, seed)


def fold(division: Split, number: int) -> PatchSet:
    """Return the set with one fold as ``valid`` and the others as ``train``; fold counted from 1."""
    split = division.patches.table["split"]
    taken = split.where(split == UNLABELLED, split.eq(str(number)).map({True: "valid", False: "train"}))
    return replace(division.patches, table=division.patches.table.assign(split=taken.astype("str")))


def _place(sizes: Ints, shares: np.ndarray, rng: np.random.Generator) -> Ints:
    """Give each group a part: large ones first, each where most of its classes is missing."""
    totals = np.maximum(sizes.sum(axis=0), 1)
    missing = shares[:, None] * totals
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order].sum(axis=1), kind="stable")]
    part_of = np.zeros(len(sizes), dtype=np.int64)
    counts = sizes.sum(axis=1)
    several = order[counts[order] > 1]
    for group in several:
        # What lessens the squared distance from the parts' aims most, each class relative to its own size.
        part = int(np.argmax(missing @ (sizes[group] / totals**2)))
        part_of[group] = part
        missing[part] -= sizes[group]
    for label in (0, 1):
        singles = order[(counts[order] == 1) & (sizes[order, label] == 1)]
        part_of[singles] = np.repeat(np.arange(len(shares)), _whole(np.maximum(missing[:, label], 0), len(singles)))
    _fill_empty(part_of, sizes, order[::-1], len(shares))
    return part_of


def _fill_empty(part_of: Ints, sizes: Ints, order: Ints, parts: int) -> None:
    """Give a part without a class the first group in this order that the part which has it can do without."""
    counts = np.zeros((parts, 2), dtype=np.int64)
    np.add.at(counts, part_of, sizes)
    for part, label in np.argwhere(counts == 0):
        if counts[part, label]:
            continue  # A group of both classes has filled it meanwhile.
        left = counts[part_of[order]] - sizes[order]
        spare = order[(sizes[order, label] > 0) & (left > 0).all(axis=1)]
        if len(spare):
            counts[part_of[spare[0]]] -= sizes[spare[0]]
            counts[part] += sizes[spare[0]]
            part_of[spare[0]] = part


def _whole(aims: np.ndarray, total: int) -> Ints:
    """Round aims to whole numbers with this sum, the largest remainders up."""
    if total == 0:
        return np.zeros(len(aims), dtype=np.int64)
    aims = aims * (total / aims.sum()) if aims.sum() > 0 else np.full(len(aims), total / len(aims))
    whole = np.floor(aims).astype(np.int64)
    whole[np.argsort(whole - aims, kind="stable")[: total - whole.sum()]] += 1
    return whole


def _check(divided: PatchSet, parts: Mapping[str, float], groups: Ints, sizes: Ints) -> None:
    counts = divided.counts().reindex(list(parts), fill_value=0)
    for name, row in counts.iterrows():
        for label, kind in enumerate(("normal", "tumour")):
            if row[kind] == 0:
                largest = int(sizes.sum(axis=1).max())
                raise DataError(
                    f"{divided.path}: no way found to give part {name} patches of label {label} without splitting a "
                    f"slide, a patient or copies ({(sizes[:, label] > 0).sum()} groups have that label, the largest "
                    "has "
                    f"{largest:,} of {len(groups):,} patches); ask for fewer or larger parts, or add patches"
                )
