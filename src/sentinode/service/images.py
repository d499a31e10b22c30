"""Decode the images of a request to patches, within limits."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from starlette.exceptions import HTTPException

from sentinode.data.io.images import FORMATS, decode_patch
from sentinode.data.types import ReadOptions, UInt8Array
from sentinode.errors import DataError

TOO_LARGE, NOT_AN_IMAGE = 413, 422


@dataclass(frozen=True)
class Limits:
    """What one request may hold, and how much may wait.

    Attributes
    ----------
    body_bytes : int
        Length of the body of a request.
    images : int
        Images in a request.
    pixels : int
        Pixels of all images of a request together, after decoding.
    waiting_patches : int
        Patches of all requests that wait for the network.
    held_bytes : int
        Bodies of all requests together, from their first byte to the answer.
    """

    body_bytes: int = 32_000_000
    images: int = 256
    pixels: int = 16_777_216
    waiting_patches: int = 1024
    held_bytes: int = 128_000_000


@dataclass(frozen=True)
class EncodedImage:
    """An image file in a request.

    Attributes
    ----------
    name : str
        Its file name, or its number where it has none.
    content : bytes
        The file.
    """

    name: str
    content: bytes


def decode_images(images: Sequence[EncodedImage], options: ReadOptions, limits: Limits) -> UInt8Array:
    """Decode images to patches.

    Parameters
    ----------
    images : sequence of EncodedImage
    options : ReadOptions
        Treatment of other sizes and scales, of transparent and of gray images.
    limits : Limits
        The most pixels.

    Returns
    -------
    ndarray of uint8, shape (n, 96, 96, 3)

    Raises
    ------
    HTTPException
        413: too many pixels. 422: an image cannot be read, or `options` do not allow its size or color.
    """
    if sum(map(_pixel_count, images)) > limits.pixels:
        raise HTTPException(
            TOO_LARGE, f"the images have more than {limits.pixels:,} pixels; send patches, or fewer of them at a time"
        )
    return np.stack(list(_decode(images, options)))


def _decode(images: Sequence[EncodedImage], options: ReadOptions) -> Iterator[UInt8Array]:
    for image in images:
        try:
            yield decode_patch(image.content, image.name, options)
        except DataError as error:
            # What follows the reason is advice for the command line.
            reason = str(error).removeprefix(f"{image.name}: ").split("; ")[0]
            raise HTTPException(NOT_AN_IMAGE, f"{image.name}: {reason}") from error


def _pixel_count(image: EncodedImage) -> int:
    """Return the number of pixels that the header of an image file states; 0 if it is not an image."""
    try:
        with Image.open(io.BytesIO(image.content), formats=FORMATS) as opened:
            return opened.width * opened.height
    except Image.DecompressionBombError:
        raise HTTPException(TOO_LARGE, f"{image.name}: too many pixels for a patch") from None
    except Exception:  # `decode_patch` says what is wrong with it.
        return 0
