"""Match patches with a reference set that knows their slides and positions (provenance matching).

Patches with the pixels of a reference patch are matched by their SHA-1. Patches that were recompressed, rotated or
mirrored are matched as near duplicates if each side has one candidate only. A patch with several candidates is
ambiguous: it gets the values that all candidates agree on.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.duplicates.near_duplicates import near_duplicates_between, similarity
from sentinode.data.patchset import PatchSet
from sentinode.data.types import IndexArray
from sentinode.errors import DataError

PROVENANCE_COLUMNS = ("slide", "patient", "centre", "x", "y")
MATCHES = ("sha1", "near_duplicate", "row_number", "ambiguous", "none")
# Row numbers in file names are used if so many matches by pixels confirm them, and nearly all of these agree.
MIN_CONFIRMATIONS, MIN_AGREEMENT = 20, 0.99
# Patches of glass have no detail to compare: their gray levels must not differ by more than JPEG changes them.
MAX_LEVEL_DIFFERENCE = 12.0


@dataclass(frozen=True)
class ProvenanceMatch:
    """Result of provenance matching.

    Attributes
    ----------
    table : DataFrame
        One row per patch, in the order of the set: ``slide``, ``patient``, ``centre``, ``x``, ``y`` where known;
        ``match``, one of `MATCHES`; ``reference``, the id of the reference patch, missing for ambiguous matches.
    different_labels : int
        Number of matched patches whose label differs in the reference.
    """

    table: pd.DataFrame = field(metadata={"json": False})
    different_labels: int

    @property
    def counts(self) -> dict[str, int]:
        """Number of patches of each kind of match that occurs."""
        return {name: int(n) for name in MATCHES if (n := (self.table["match"] == name).sum())}


def match_provenance(patches: PatchSet, reference: PatchSet) -> ProvenanceMatch:
    """Find slide, patient, centre and position of patches in a reference set.

    Different patches are matched one to one: no reference patch is used for two of them.

    Parameters
    ----------
    patches : PatchSet
        A cached set without slides, such as Kaggle's.
    reference : PatchSet
        A cached set with slides: PCam's HDF5 files with their meta csv, or a patch table.

    Returns
    -------
    ProvenanceMatch

    Raises
    ------
    DataError
        The reference has no slide, patient, centre or position.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").cached()
    >>> match_provenance(patches, patches)
    Traceback (most recent call last):
    ...
    sentinode.errors.DataError: pcam-mini: the reference has no slides, patients, centres or positions; use ...
    """
    if not reference.table[list(PROVENANCE_COLUMNS)].notna().any(axis=None):
        raise DataError(
            f"{reference.path}: the reference has no slides, patients, centres or positions; use PCam's HDF5 files "
            "with their meta csv in the same folder, or a patch table with these columns"
        )
    ours, theirs = _UniquePatches.of(patches), _UniquePatches.of(reference)
    exact = theirs.number_of.reindex(ours.number_of.index).fillna(-1).to_numpy(dtype=np.int64)
    partner, match = exact.copy(), np.where(exact >= 0, "sha1", "none").astype(object)
    rest = np.flatnonzero(exact < 0)
    pairs = near_duplicates_between(patches.select(ours.first_row[rest]), reference.select(theirs.first_row))
    pairs = pairs.assign(first=rest[pairs["first"].to_numpy(dtype=np.int64)])
    claims = np.bincount(np.concatenate([exact[exact >= 0], pairs["second"]]), minlength=len(theirs.first_row))
    candidates = np.bincount(pairs["first"], minlength=len(ours.first_row))
    is_single = (candidates[pairs["first"]] == 1) & (claims[pairs["second"]] == 1)
    single, ambiguous = pairs[is_single], pairs[~is_single]
    partner[single["first"]], match[single["first"]] = single["second"], "near_duplicate"
    match[ambiguous["first"].unique()] = "ambiguous"
    known = theirs.agreed.iloc[partner].set_axis(ours.number_of.index)
    known[partner < 0] = pd.NA
    for number, choice in ambiguous.groupby("first")["second"]:
        known.iloc[number] = _common_values(theirs.agreed.iloc[choice.to_numpy()])
    rows = np.where(partner >= 0, theirs.first_row[partner], -1)
    table = known.iloc[ours.number].reset_index(drop=True)
    table["match"], row_of = match[ours.number], rows[ours.number]
    numbered = _match_row_numbers(patches, reference, row_of, table)
    row_of = np.where(numbered >= 0, numbered, row_of)
    table.loc[numbered >= 0, "match"] = "row_number"
    for name in PROVENANCE_COLUMNS:
        table.loc[numbered >= 0, name] = reference.table[name].iloc[numbered[numbered >= 0]].to_numpy()
    table["reference"] = reference.table["id"].iloc[row_of].where(row_of >= 0).to_numpy()
    texts = ("slide", "patient", "centre", "match", "reference")
    table = table.astype({**dict.fromkeys(texts, "str"), "x": "Int64", "y": "Int64"})
    return ProvenanceMatch(table, _different_labels(patches, reference, row_of))


@dataclass(frozen=True)
class _UniquePatches:
    """The patches of a set without exact duplicates."""

    number: IndexArray  # For each row, the number of its unique patch.
    first_row: IndexArray  # For each unique patch, its first row.
    number_of: pd.Series  # SHA-1 to number.
    agreed: pd.DataFrame  # For each unique patch, the provenance that all of its duplicates agree on.

    @staticmethod
    def of(patches: PatchSet) -> "_UniquePatches":
        _ = patches.fingerprint  # Raises for a set that is not cached.
        number, hashes = pd.factorize(patches.table["sha1"])
        first_row = np.flatnonzero(~patches.table.duplicated("sha1").to_numpy())
        known = patches.table[list(PROVENANCE_COLUMNS)]
        agreed = known.iloc[first_row].reset_index(drop=True)
        for name in PROVENANCE_COLUMNS:
            groups = known[name].groupby(number)
            # A missing value agrees with no other.
            agrees = (groups.nunique() == 1) & (groups.count() == groups.size())
            agreed[name] = agreed[name].where(agrees.to_numpy())
        return _UniquePatches(
            number.astype(np.int64), first_row, pd.Series(np.arange(len(first_row)), index=hashes), agreed
        )


def _common_values(rows: pd.DataFrame) -> list[Any]:
    return [column.iloc[0] if column.notna().all() and column.nunique() == 1 else pd.NA for _, column in rows.items()]


def _match_row_numbers(patches: PatchSet, reference: PatchSet, row_of: IndexArray, table: pd.DataFrame) -> IndexArray:
    """Match unclear patches by the row numbers in their file names; return reference rows, -1 where there is none.

    Some data sets number their files, such as ``patch0001234.jpg``, by PCam's rows. These numbers are used only if
    they agree with nearly all matches by pixels, and if the patch with that number has the same gray levels.
    """
    rows_of_numbers = _rows_of_numbers(reference)
    named = np.full(len(patches), -1)
    for row, (name, split) in enumerate(zip(patches.table["id"], patches.table["split"], strict=True)):
        digits = re.search(r"(\d+)\.[^./]*$", str(name))
        if digits:
            number = str(int(digits[1]))
            named[row] = rows_of_numbers.get(f"{split}/{number}", rows_of_numbers.get(number, -1))
    hashes = reference.table["sha1"].to_numpy()
    confirmed = (row_of >= 0) & (named >= 0)
    agrees = hashes[row_of[confirmed]] == hashes[named[confirmed]]
    result = np.full(len(patches), -1)
    if confirmed.sum() < MIN_CONFIRMATIONS or agrees.mean() < MIN_AGREEMENT:
        return result
    # For exact duplicates in the reference, the number says which one it is.
    incomplete = table[["x", "y", "slide"]].isna().any(axis=1).to_numpy()
    duplicates = np.flatnonzero(confirmed & incomplete & (hashes[row_of] == hashes[named]))
    result[duplicates] = named[duplicates]
    used = set(hashes[row_of[row_of >= 0]])
    unclear = np.flatnonzero((named >= 0) & (table["match"].isin(["ambiguous", "none"]).to_numpy()))
    for row in unclear.tolist():
        if hashes[named[row]] not in used and _same_gray_levels(patches, reference, row, int(named[row])):
            result[row] = named[row]
            used.add(hashes[named[row]])
    return result


def _rows_of_numbers(reference: PatchSet) -> dict[str, int]:
    """Map row numbers, with and without their split, to rows of the reference; ambiguous ones to -1."""
    rows: dict[str, int] = {}
    for row, (name, split) in enumerate(zip(reference.table["id"], reference.table["split"], strict=True)):
        number = str(name).rsplit("/", 1)[-1]  # The part before it is the split, or one of several sources.
        for key in {number, f"{split}/{number}"}:
            rows[key] = -1 if key in rows else row
    return rows


def _same_gray_levels(patches: PatchSet, reference: PatchSet, row: int, other: int) -> bool:
    ours, theirs = patches.read([row]), reference.read([other])
    difference = np.sqrt(np.mean(np.square(ours.astype(np.float32) - theirs)))
    has_detail = ours.std() >= MAX_LEVEL_DIFFERENCE
    return bool(difference <= MAX_LEVEL_DIFFERENCE and (not has_detail or similarity(ours, theirs)[0] > 0.5))


def _different_labels(patches: PatchSet, reference: PatchSet, row_of: IndexArray) -> int:
    ours = patches.table["label"].to_numpy(dtype=float, na_value=np.nan)
    theirs = reference.table["label"].to_numpy(dtype=float, na_value=np.nan)[row_of]
    return int(((row_of >= 0) & (np.abs(ours - theirs) == 1)).sum())
