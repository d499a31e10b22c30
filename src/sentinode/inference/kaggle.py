"""Submissions for the Kaggle competition histopathologic-cancer-detection."""

from itertools import chain

import numpy as np
import pandas as pd

from sentinode.data.io.files import is_image
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.pixels import pixel_sha1
from sentinode.errors import DataError


def submission_patches(patches: PatchSet) -> PatchSet:
    """Return the patches that belong in a submission.

    With a split ``test``: it, and the patches without a split. Otherwise all patches.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> len(submission_patches(open_patches("pcam-mini")))
    400
    """
    if "test" not in patches.split_names:
        return patches
    split = patches.table["split"]
    return patches.select(np.flatnonzero((split == "test") | split.isna()))


def kaggle_ids(patches: PatchSet) -> list[str]:
    """Return the Kaggle id of every patch.

    It is the name of an image file without its ending. Rows of an HDF5 file have no name; their id is the SHA-1 of the
    raw RGB bytes, as in the competition.

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
    repeated = pd.Series(names).duplicated()
    if repeated.any():
        name = names[int(repeated.argmax())]
        raise DataError(f"{patches.path}: two patches have the Kaggle id {name!r}; predict each set on its own")
    return names
