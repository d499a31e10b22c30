"""Concatenate pixel readers, and hash pixels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sentinode.data.types import PATCH_SHAPE, IndexArray, PixelReader, UInt8Array


@dataclass(frozen=True)
class ConcatPixels:
    """Reader of rows of several readers, one after another.

    Attributes
    ----------
    parts : sequence of (PixelReader, ndarray of int64)
        Readers and the rows that are taken of each.
    """

    parts: Sequence[tuple[PixelReader, IndexArray]]

    def _split(self, rows: IndexArray) -> list[tuple[IndexArray, PixelReader, IndexArray]]:
        """Return positions in `rows`, reader, and rows of that reader, for each reader that is needed."""
        ends = np.cumsum([len(part_rows) for _, part_rows in self.parts])
        part_of_row = np.searchsorted(ends, rows, side="right")
        found = []
        for number in np.unique(part_of_row):
            reader, part_rows = self.parts[number]
            positions = np.flatnonzero(part_of_row == number)
            found.append((positions, reader, part_rows[rows[positions] - (ends[number] - len(part_rows))]))
        return found

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read each row with its own reader."""
        out = np.empty((len(rows), *PATCH_SHAPE), dtype=np.uint8)
        for positions, reader, part_rows in self._split(rows):
            out[positions] = reader.read(part_rows)
        return out

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the stamp of each row in its own reader."""
        out = [""] * len(rows)
        for positions, reader, part_rows in self._split(rows):
            for position, stamp in zip(positions, reader.stamps(part_rows), strict=True):
                out[position] = stamp
        return out


def pixel_sha1(pixels: UInt8Array) -> list[str]:
    """Compute the SHA-1 of the raw RGB bytes of each patch.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, 96, 96, 3)
        RGB patches.

    Returns
    -------
    list of str
        40 hexadecimal digits per patch.

    Examples
    --------
    >>> [text[:8] for text in pixel_sha1(np.zeros((2, 96, 96, 3), np.uint8))]
    ['9369c727', '9369c727']
    """
    # Systems in FIPS mode refuse SHA-1 for security.
    return [hashlib.sha1(patch.tobytes(), usedforsecurity=False).hexdigest() for patch in pixels]
