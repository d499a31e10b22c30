"""Where patches come from: slide and position, given back from a reference that knows them.

Patches are joined by content. One that has the pixels of a reference patch is joined by their hash; one that was
compressed or turned since is joined by its likeness, where there is no second choice on either side. Whatever has a
second choice is said to be ambiguous: it gets what all choices agree on, and nothing more.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.duplicates.near_duplicates import near_duplicates_between, similarity
from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError

KNOWN = ("slide", "patient", "centre", "x", "y")
MATCHES = ("hash", "likeness", "number", "ambiguous", "none")
# Numbers in file names are believed when they agree with so many joined patches, and with nearly all.
WITNESSES, AGREEING = 20, 0.99
# A patch of glass has no details to compare: of it, grey levels must be no further apart than JPEG moves them.
SAME_LEVELS = 12.0

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ProvenanceMatch:
    """What `match_provenance` found.

    Attributes
    ----------
    table
        One row a patch, in the order of the set: ``slide``, ``patient``, ``centre``, ``x``, ``y`` as far as they are
        known, ``match`` (``hash``, ``likeness``, ``number``, ``ambiguous`` or ``none``) and ``reference`` (the id of
        the patch there; missing where it is ambiguous).
    differing_labels
        How many joined patches have another label in the reference.
    """

    table: pd.DataFrame
    differing_labels: int

    @property
    def counts(self) -> dict[str, int]:
        """How many patches were matched in each way; those that never happened are left out."""
        return {name: int(n) for name in MATCHES if (n := (self.table["match"] == name).sum())}


def match_provenance(patches: PatchSet, reference: PatchSet) -> ProvenanceMatch:
    """Give patches back their slide and position from a reference that has the same patches.

    Parameters
    ----------
    patches
        A cached set, such as Kaggle's or a course's.
    reference
        A cached set with slides: PCam's HDF5 files with their meta csv, or a column table.

    Returns
    -------
    Origins
        Distinct patches are paired one to one: no two of them have one partner in the reference, and none has two.

    Raises
    ------
    DataError
        The reference knows no slide, patient, centre or position.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").cached()
    >>> match_provenance(patches, patches)
    Traceback (most recent call last):
    ...
    sentinode.errors.DataError: pcam-mini: knows no slide, patient, centre or position; name PCam's HDF5 files with ...
    """
    if not reference.table[list(KNOWN)].notna().any(axis=None):
        raise DataError(
            f"{reference.path}: knows no slide, patient, centre or position; name PCam's HDF5 files with their meta "
            "csv beside them, or a table that has such columns"
        )
    ours, theirs = _Contents.of(patches), _Contents.of(reference)
    exact = theirs.place_of.reindex(ours.place_of.index).fillna(-1).to_numpy(dtype=np.int64)
    partner, match = exact.copy(), np.where(exact >= 0, "hash", "none").astype(object)
    rest = np.flatnonzero(exact < 0)
    pairs = near_duplicates_between(patches.select(ours.first[rest]), reference.select(theirs.first))
    pairs = pairs.assign(first=rest[pairs["first"].to_numpy(dtype=np.int64)])
    claims = np.bincount(np.concatenate([exact[exact >= 0], pairs["second"]]), minlength=len(theirs.first))
    choices = np.bincount(pairs["first"], minlength=len(ours.first))
    sure = (choices[pairs["first"]] == 1) & (claims[pairs["second"]] == 1)
    partner[pairs["first"][sure]], match[pairs["first"][sure]] = pairs["second"][sure], "likeness"
    doubtful = pairs[~sure]
    match[doubtful["first"].unique()] = "ambiguous"
    known = theirs.agreed.iloc[partner].set_axis(ours.place_of.index)
    known[partner < 0] = pd.NA
    for place, choice in doubtful.groupby("first")["second"]:
        known.iloc[place] = _agreed(theirs.agreed.iloc[choice.to_numpy()])
    rows = np.where(partner >= 0, theirs.first[partner], -1)
    table = known.iloc[ours.content].reset_index(drop=True)
    table["match"], row_of = match[ours.content], rows[ours.content]
    numbered = _by_number(patches, reference, row_of, table)
    row_of = np.where(numbered >= 0, numbered, row_of)
    table.loc[numbered >= 0, "match"] = "number"
    for name in KNOWN:
        table.loc[numbered >= 0, name] = reference.table[name].iloc[numbered[numbered >= 0]].to_numpy()
    table["reference"] = reference.table["id"].iloc[row_of].where(row_of >= 0).to_numpy()
    return ProvenanceMatch(_typed(table), _differing(patches, reference, row_of))


@dataclass(frozen=True)
class _Contents:
    """The different patches of a set: copies are one content."""

    content: Ints  # For each row, the number of its content.
    first: Ints  # For each content, its first row.
    place_of: pd.Series  # Hash to content.
    agreed: pd.DataFrame  # For each content, what all of its copies agree on.

    @staticmethod
    def of(patches: PatchSet) -> "_Contents":
        _ = patches.fingerprint  # Says what to do when the set is not cached.
        content, hashes = pd.factorize(patches.table["sha1"])
        first = np.flatnonzero(~patches.table.duplicated("sha1").to_numpy())
        known = patches.table[list(KNOWN)]
        agreed = known.iloc[first].reset_index(drop=True)
        for name in KNOWN:
            groups = known[name].groupby(content)
            # A copy of which nothing is known agrees with nobody.
            certain = (groups.nunique() == 1) & (groups.count() == groups.size())
            agreed[name] = agreed[name].where(certain.to_numpy())
        return _Contents(content.astype(np.int64), first, pd.Series(np.arange(len(first)), index=hashes), agreed)


def _agreed(rows: pd.DataFrame) -> list[Any]:
    return [column.iloc[0] if column.notna().all() and column.nunique() == 1 else pd.NA for _, column in rows.items()]


def _by_number(patches: PatchSet, reference: PatchSet, row_of: Ints, table: pd.DataFrame) -> Ints:
    """Return reference rows for patches that are still doubtful, from the numbers in their file names; -1 for others.

    Some sets, ``patch0001234.jpg``, are numbered by PCam's rows. That is believed only when it agrees with nearly all
    patches that their pixels alone have joined, and only where the numbered patch has the same grey levels.
    """
    there = _numbers(reference)
    named = np.full(len(patches), -1)
    for row, (name, split) in enumerate(zip(patches.table["id"], patches.table["split"], strict=True)):
        digits = re.search(r"(\d+)\.[^./]*$", str(name))
        if digits:
            number = str(int(digits[1]))
            named[row] = there.get(f"{split}/{number}", there.get(number, -1))
    hashes = reference.table["sha1"].to_numpy()
    witnesses = (row_of >= 0) & (named >= 0)
    agree = hashes[row_of[witnesses]] == hashes[named[witnesses]]
    if witnesses.sum() < WITNESSES or agree.mean() < AGREEING:
        return np.full(len(patches), -1)
    taken = set(hashes[row_of[row_of >= 0]])
    open_ = np.flatnonzero((named >= 0) & (table["match"].isin(["ambiguous", "none"]).to_numpy()))
    # Copies are joined already; their numbers say which one each is, where that matters.
    unclear = table[["x", "y", "slide"]].isna().any(axis=1).to_numpy()
    copies = np.flatnonzero(witnesses & unclear & (hashes[row_of] == hashes[named]))
    out = np.full(len(patches), -1)
    out[copies] = named[copies]
    for row in open_.tolist():
        if hashes[named[row]] not in taken and _same_levels(patches, reference, row, int(named[row])):
            out[row] = named[row]
            taken.add(hashes[named[row]])  # It has its one partner now.
    return out


def _numbers(reference: PatchSet) -> dict[str, int]:
    """Return rows of a reference by their number within its split, or alone; -1 where two have the same."""
    rows: dict[str, int] = {}
    for row, (name, split) in enumerate(zip(reference.table["id"], reference.table["split"], strict=True)):
        number = str(name).rsplit("/", 1)[-1]  # What stands before it is the split, or one of several sources.
        for key in {number, f"{split}/{number}"}:
            rows[key] = -1 if key in rows else row
    return rows


def _same_levels(patches: PatchSet, reference: PatchSet, row: int, other: int) -> bool:
    ours, theirs = patches.read([row]), reference.read([other])
    apart = np.sqrt(np.mean(np.square(ours.astype(np.float32) - theirs)))
    return bool(apart <= SAME_LEVELS and (ours.std() < SAME_LEVELS or similarity(ours, theirs)[0] > 0.5))


def _differing(patches: PatchSet, reference: PatchSet, row_of: Ints) -> int:
    ours = patches.table["label"].to_numpy(dtype=float, na_value=np.nan)
    theirs = reference.table["label"].to_numpy(dtype=float, na_value=np.nan)[row_of]
    return int(((row_of >= 0) & (np.abs(ours - theirs) == 1)).sum())


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    texts = ("slide", "patient", "centre", "match", "reference")
    return table.astype({**dict.fromkeys(texts, "str"), "x": "Int64", "y": "Int64"})
