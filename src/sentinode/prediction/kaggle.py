"""Ids as Kaggle's competition has them."""

import hashlib

from sentinode.data.patchset import PatchSet

CHUNK_PATCHES = 512


def kaggle_ids(patches: PatchSet) -> list[str]:
    """Return Kaggle's id of every patch.

    Image files bear it as their name. Rows of an HDF5 file have no name, but a Kaggle id is the SHA-1 of the patch's
    raw RGB bytes, so it follows from the pixels.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> kaggle_ids(open_patches("pcam-mini", split="test").select([0]))[0].startswith("patch")
    True
    """
    ids = patches.table["id"]
    if not ids.str.rsplit("/", n=1).str[-1].str.isdecimal().all():
        return ids.str.rsplit("/", n=1).str[-1].str.rsplit(".", n=1).str[0].tolist()
    names = []
    for start in range(0, len(patches), CHUNK_PATCHES):
        names += [
            hashlib.sha1(patch.tobytes()).hexdigest() for patch in patches.read(slice(start, start + CHUNK_PATCHES))
        ]
    return names
