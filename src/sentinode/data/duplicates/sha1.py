"""The SHA-1 of a patch's raw RGB bytes: as text in tables, as bytes in what a run keeps."""

import hashlib

import numpy as np
import pandas as pd

from sentinode.data.types import UInt8Array


def sha1_of_each(pixels: UInt8Array) -> list[str]:
    """Return the SHA-1 of each patch, in hexadecimal digits.

    Examples
    --------
    >>> [text[:8] for text in sha1_of_each(np.zeros((2, 96, 96, 3), np.uint8))]
    ['9369c727', '9369c727']
    """
    return [hashlib.sha1(patch.tobytes()).hexdigest() for patch in pixels]


def sha1_bytes(sha1: pd.Series) -> np.ndarray:
    """Return SHA-1s of a table, 40 hexadecimal digits each, as a run keeps them: 20 bytes each, ``S20``, ``(n,)``.

    Examples
    --------
    >>> sha1_bytes(pd.Series(["00" * 19 + "ff"]))[0][-1]
    255
    """
    return np.array([bytes.fromhex(text) for text in sha1], dtype="S20")
