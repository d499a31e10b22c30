"""Concatenate sets of patches."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sentinode.data.io.files import shorten
from sentinode.data.patchset import PatchSet
from sentinode.data.pixels import ConcatPixels
from sentinode.errors import DataError


def concat(parts: Sequence[PatchSet], *, distinct: bool = True) -> PatchSet:
    """Concatenate sets of patches into one.

    Parameters
    ----------
    parts : sequence of PatchSet
        Sets of different sources.
    distinct : bool, default=True
        Whether two sets of the same source are an error.

    Returns
    -------
    PatchSet
        All patches, one set after another. Each id is prefixed with the path of its source, unless the images were
        listed one by one: their ids are paths already.

    Raises
    ------
    DataError
        Two sets have the same source.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> mini = open_patches("pcam-mini")
    >>> concat([mini.split("test"), mini.split("valid")])
    Traceback (most recent call last):
    ...
    sentinode.errors.DataError: pcam-mini is given twice; specify each source once
    """
    paths = [part.path for part in parts]
    real_paths = [os.path.realpath(path) for path in paths]
    for path, real_path in zip(paths, real_paths, strict=True):
        if distinct and real_paths.count(real_path) > 1:
            raise DataError(f"{path} is given twice; specify each source once")
    tables = [
        part.table if part.listed else part.table.assign(id=f"{prefix}/" + part.table["id"])
        for part, prefix in zip(parts, shorten(paths), strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    return PatchSet(
        kind=f"{len(parts)} sources ({', '.join(dict.fromkeys(part.kind for part in parts))})",
        path=" + ".join(paths),
        table=table,
        pixels=ConcatPixels([(part.pixels, part.rows) for part in parts]),
        rows=np.arange(len(table)),
        notes=tuple(note for part in parts for note in part.notes),
        skip_bad=any(part.skip_bad for part in parts),
        skipped=tuple(each for part in parts for each in part.skipped),
        options=parts[0].options,
        label_hint=next((part.label_hint for part in parts if part.label_hint), ""),
    )
