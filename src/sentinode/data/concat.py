"""Several sets of patches as one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sentinode.data.io.files import ListedFiles
from sentinode.data.io.images import ImageFiles
from sentinode.data.patchset import PatchSet
from sentinode.data.types import PATCH_SHAPE, IndexArray, UInt8Array
from sentinode.errors import DataError


@dataclass(frozen=True)
class ConcatPixels:
    """The rows of several sets, one set after the other."""

    parts: Sequence[PatchSet]

    def _places(self, rows: IndexArray) -> tuple[np.ndarray, np.ndarray]:
        ends = np.cumsum([len(part) for part in self.parts])
        places = np.searchsorted(ends, rows, side="right")
        return places, rows - (ends - [len(part) for part in self.parts])[places]

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read each row from its own set."""
        out = np.empty((len(rows), *PATCH_SHAPE), dtype=np.uint8)
        places, within = self._places(rows)
        for place in np.unique(places):
            here = places == place
            out[here] = self.parts[place].read(within[here])
        return out

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return each row's stamp in its own set."""
        places, within = self._places(rows)
        return [
            self.parts[place].pixels.stamps(self.parts[place].rows[[row]])[0]
            for place, row in zip(places, within, strict=True)
        ]


def _named(part: PatchSet) -> bool:
    """Say whether the patches are images that were named one by one: their names are paths already."""
    return isinstance(part.pixels, ImageFiles) and isinstance(part.pixels.files, ListedFiles)


def concat(parts: Sequence[PatchSet]) -> PatchSet:
    """Return one set of all patches; each id starts with its source, unless its images were named one by one.

    Raises
    ------
    DataError
        A source comes twice.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> mini = open_patches("pcam-mini")
    >>> concat([mini.split("test"), mini.split("valid")])
    Traceback (most recent call last):
    ...
    sentinode.errors.DataError: pcam-mini comes twice; name each source once
    """
    paths = [part.path for part in parts]
    places = [os.path.realpath(path) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise DataError(f"{path} comes twice; name each source once")
    tables = [
        part.table if _named(part) else part.table.assign(id=f"{part.path}/" + part.table["id"]) for part in parts
    ]
    table = pd.concat(tables, ignore_index=True)
    return PatchSet(
        kind=f"{len(parts)} sources ({', '.join(dict.fromkeys(part.kind for part in parts))})",
        path=", ".join(paths),
        table=table,
        pixels=ConcatPixels(tuple(parts)),
        rows=np.arange(len(table)),
        notes=tuple(note for part in parts for note in part.notes),
        skip_bad=any(part.skip_bad for part in parts),
        skipped=tuple(each for part in parts for each in part.skipped),
    )
