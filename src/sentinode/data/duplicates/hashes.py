"""Files whose names are SHA-1 hashes of patches."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError

_HASH = re.compile(r"(?:^|/)([0-9a-f]{40})(\.[^./]+)?$")
LOSSY_SUFFIXES = (".jpg", ".jpeg")


def sha1_bytes(sha1: pd.Series) -> np.ndarray:
    """Convert SHA-1 hashes from hexadecimal text to bytes.

    Parameters
    ----------
    sha1 : Series of str
        40 hexadecimal digits per patch.

    Returns
    -------
    ndarray of S20, shape (n,)
        20 bytes per patch.

    Examples
    --------
    >>> sha1_bytes(pd.Series(["00" * 19 + "ff"]))[0][-1]
    255
    """
    return np.array([bytes.fromhex(text) for text in sha1], dtype="S20")


@dataclass(frozen=True)
class HashCheck:
    """Comparison of file names that are SHA-1 hashes with the pixels of the files.

    Attributes
    ----------
    verified : int
        Number of files named by the SHA-1 of their pixels, as in Kaggle's data set.
    mismatched : list of str
        Ids of lossless files whose pixels have another hash: the files are damaged or were modified.
    unverifiable : int
        Number of JPEG files named by another hash. They may be named by the pixels before compression.
    """

    verified: int
    mismatched: list[str]
    unverifiable: int


def compare_hashes(patches: PatchSet) -> HashCheck:
    """Compare file names that are SHA-1 hashes with the pixels of the files.

    Parameters
    ----------
    patches : PatchSet
        A cached set.

    Returns
    -------
    HashCheck

    Examples
    --------
    >>> from sentinode import open_patches
    >>> compare_hashes(open_patches("pcam-mini", split="test").cached())
    HashCheck(verified=0, mismatched=[], unverifiable=0)
    """
    _ = patches.fingerprint  # Raises for a set that is not cached.
    parts = patches.table["id"].str.lower().str.extract(_HASH)
    is_hash = parts[0].notna()
    differs = is_hash & (parts[0] != patches.table["sha1"])
    is_lossy = parts[1].isin(LOSSY_SUFFIXES)
    return HashCheck(
        verified=int((is_hash & ~differs).sum()),
        mismatched=patches.table["id"][differs & ~is_lossy].tolist(),
        unverifiable=int((differs & is_lossy).sum()),
    )


def require_matching_hashes(patches: PatchSet) -> PatchSet:
    """Refuse patches of which some files do not match the hash in their name.

    If no file matches its name, the names are hashes of something else and are ignored.

    Parameters
    ----------
    patches : PatchSet
        A cached set.

    Returns
    -------
    PatchSet
        `patches`.

    Raises
    ------
    DataError
        Some files match their names and others do not.
    """
    found = compare_hashes(patches)
    if found.verified and found.mismatched:
        raise DataError(f"{patches.path}: {mismatch(found.mismatched)}")
    return patches


def mismatch(ids: list[str]) -> str:
    """Return the message on files whose pixels do not match the hashes in their names."""
    files = "1 file does" if len(ids) == 1 else f"{len(ids):,} files do"
    return f"{files} not match the SHA-1 in the file name, first {ids[0]}; download them again or remove them"
