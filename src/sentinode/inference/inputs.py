"""What `predict` accepts, as a `PatchSet`: arrays, images, encoded images, paths, or a list of these."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, Union

import numpy as np
from PIL import Image

from sentinode.data.io.images import decode_patch
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.pixels import pixel_sha1
from sentinode.data.types import PATCH_SHAPE, IndexArray, UInt8Array
from sentinode.errors import DataError

One: TypeAlias = Union["np.ndarray[Any, Any]", Image.Image, bytes, str, Path]
Patches: TypeAlias = PatchSet | One | Sequence[One]


def as_patches(x: Patches) -> PatchSet:
    """Return patches of any kind as a `PatchSet`.

    Parameters
    ----------
    x : PatchSet, ndarray, PIL.Image.Image, bytes, str, Path, or a list of these
        An array is uint8 RGB of shape ``(96, 96, 3)`` or ``(n, 96, 96, 3)``; bytes are an encoded image file; a path is
        anything that `open_patches` opens.

    Returns
    -------
    PatchSet
        Patches without a path get their position as id: ``"0"``, ``"1"``, …

    Raises
    ------
    DataError
        An array has another dtype or shape, or an image cannot be decoded.

    Examples
    --------
    >>> as_patches(np.zeros((96, 96, 3), np.uint8))
    <PatchSet memory: patches in memory; 1 patch... (1 unlabeled)>
    """
    if isinstance(x, PatchSet):
        return x
    pixels = decode_in_memory(x)
    if pixels is None:
        from sentinode.data.open import open_patches, open_sources

        return open_patches(x) if isinstance(x, str | Path) else open_sources(list(x))  # type: ignore[arg-type]
    ids = [str(number) for number in range(len(pixels))]
    if isinstance(x, list | tuple):
        ids = [str(one) if isinstance(one, str | Path) else number for one, number in zip(x, ids, strict=True)]
    return PatchSet("patches in memory", "memory", patch_table(ids), PixelsInMemory(pixels), np.arange(len(pixels)))


def decode_in_memory(x: Patches) -> UInt8Array | None:
    """Return the pixels of arrays, images and bytes, uint8 ``(n, 96, 96, 3)``; None for patch sets and paths."""
    if isinstance(x, PatchSet | str | Path):
        return None
    if not isinstance(x, list | tuple):
        return _decode(x, "the input")
    if not x:
        raise DataError("an empty list of patches: there is nothing to predict")
    if all(isinstance(one, str | Path) for one in x):
        return None
    parts = [_decode(one, f"patch {number}") for number, one in enumerate(x)]
    return np.concatenate(parts)


@dataclass(frozen=True)
class PixelsInMemory:
    """Patches that are an array."""

    pixels: UInt8Array

    def read(self, rows: IndexArray) -> UInt8Array:
        """Return the pixels of `rows`."""
        return self.pixels[rows]

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return a hash of the pixels of each row."""
        return pixel_sha1(self.pixels[rows])


def _decode(one: Any, where: str) -> UInt8Array:
    if isinstance(one, str | Path):
        return decode_patch(Path(one).read_bytes(), str(one))[None]
    if isinstance(one, bytes | bytearray | memoryview):
        return decode_patch(bytes(one), where)[None]
    if isinstance(one, Image.Image):
        buffer = io.BytesIO()  # As a file it meets all checks of mode, transparency and size.
        (one.convert("RGBA") if "transparency" in one.info else one).save(buffer, format="TIFF")
        return decode_patch(buffer.getvalue(), where)[None]
    array = np.asarray(one)
    if array.dtype != np.uint8 or array.shape[-3:] != PATCH_SHAPE or array.ndim not in (3, 4):
        hint = "; scale gray levels to 0…255 and round them" if array.dtype.kind == "f" else ""
        raise DataError(
            f"{where}: {array.dtype} of shape {array.shape}, where uint8 RGB of shape (96, 96, 3) or (n, 96, 96, 3) is "
            f"expected{hint}"
        )
    if not len(array):
        raise DataError(f"{where}: an array of 0 patches: there is nothing to predict")
    return array.reshape(-1, *PATCH_SHAPE)
