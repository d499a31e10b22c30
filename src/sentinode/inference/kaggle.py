"""Patches and ids as Kaggle's competition has them."""

from itertools import chain

import numpy as np
import pandas as pd

from sentinode.data.duplicates.hashes import pixel_sha1
from sentinode.data.io.files import is_image
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError


def submitted(patches: PatchSet) -> PatchSet:
    """Return what a submission is made of: where there is a split ``test``, it and what has no split; else everything.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> len(submitted(open_patches("pcam-mini")))
    400
    """
    if "test" not in patches.split_names:
        return patches
    split = patches.table["split"]
    return patches.select(np.flatnonzero((split == "test") | split.isna()))


def kaggle_ids(patches: PatchSet) -> list[str]:
    """Return Kaggle's id of every patch.

    Image files bear it as their name. Rows of an HDF5 file have no name, but a Kaggle id is the SHA-1 of the patch's
    raw RGB bytes, so it follows from the pixels.

    Raises
    ------
    DataError
        Two patches have the same id.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> kaggle_ids(open_patches("pcam-mini", split="test").select([0]))[0].startswith("patch")
    True
    """
    ids: list[str] = patches.table["id"].tolist()
    if all(map(is_image, ids)):
        names = [name.rsplit("/", 1)[-1].rsplit(".", 1)[0] for name in ids]
    else:
        names = list(chain.from_iterable(map_patches(patches, pixel_sha1, "hashing")))
    twice = pd.Series(names).duplicated()
    if twice.any():
        name = names[int(twice.argmax())]
        raise DataError(f"{patches.path}: two patches would have Kaggle's id {name!r}; predict each set on its own")
    return names
