"""Constants and types that the whole data package shares."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

PATCH_SIZE_PX = 96
# The label states whether the central square of this size contains tumour.
CENTER_SIZE_PX = 32
PATCH_SHAPE = (PATCH_SIZE_PX, PATCH_SIZE_PX, 3)
PATCH_BYTES = PATCH_SIZE_PX * PATCH_SIZE_PX * 3
CLASS_NAMES = ("normal", "tumour")
# Patches that are read together, by loops over a whole set.
CHUNK_PATCHES = 256

# Column of SHA-1 values that a table states; removed once they have been compared with the pixels.
EXPECTED_SHA1 = "expected_sha1"

IndexArray = NDArray[np.int64]
UInt8Array = NDArray[np.uint8]
Resize = Literal["error", "crop", "resample"]


class PixelReader(Protocol):
    """Reader of the patches of a source."""

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read patches.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Row numbers in the source, in any order.

        Returns
        -------
        ndarray of uint8, shape (n, 96, 96, 3)
            RGB pixels.
        """

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return a text for each row that changes whenever its pixels may have changed.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Row numbers in the source.

        Returns
        -------
        list of str
            One text per row, such as path, size and modification time of its file.
        """


@dataclass(frozen=True)
class Skipped:
    """A patch that was left out because it cannot be used.

    Attributes
    ----------
    id : str
        Identifier of the patch in its source.
    reason : str
        Error message that names the file or row and the fault.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class ReadOptions:
    """Options that decide how a source is read.

    Attributes
    ----------
    resize : {"error", "crop", "resample"}
        Treatment of images that are not 96 × 96 px.
    """

    resize: Resize = "error"


DEFAULT_OPTIONS = ReadOptions()
