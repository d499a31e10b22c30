"""Read the images of a request, within limits, and decode them to patches."""

import io
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from sentinode.data.io.images import FORMATS, decode_patch
from sentinode.data.types import ReadOptions, UInt8Array
from sentinode.errors import DataError

TOO_LARGE, NOT_AN_IMAGE, BAD_REQUEST = 413, 422, 400
# How many times the largest body is read to its end before the connection is closed.
_DISCARDED = 4


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
    """

    body_bytes: int = 32_000_000
    images: int = 256
    pixels: int = 16_777_216
    waiting_patches: int = 1024


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


async def read_images(request: Request, limits: Limits) -> list[EncodedImage]:
    """Return the image files in the body of a request.

    Parameters
    ----------
    request : Request
        The body is one image file, or ``multipart/form-data`` with one file for each image.
    limits : Limits
        The largest body and number of images.

    Returns
    -------
    list of EncodedImage

    Raises
    ------
    HTTPException
        413: the body is too large or has too many images. 400: it has none, or is not valid multipart.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        content = b"".join([chunk async for chunk in _chunks(request, limits)])
        if not content:
            raise HTTPException(BAD_REQUEST, "the body is empty; send an image file, or several as multipart/form-data")
        return [EncodedImage("0", content)]
    parser = MultiPartParser(request.headers, _chunks(request, limits), max_files=limits.images, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many" in error.message:
            raise HTTPException(
                TOO_LARGE, f"a request may hold {limits.images} image files and no other fields; send several requests"
            ) from error
        raise HTTPException(BAD_REQUEST, f"invalid multipart/form-data: {error.message}") from error
    try:
        files = [each for _, each in form.multi_items() if isinstance(each, UploadFile)]
        if not files:
            raise HTTPException(BAD_REQUEST, "the form has no files; add one for each image")
        return [EncodedImage(file.filename or str(i), await file.read()) for i, file in enumerate(files)]
    finally:
        await form.close()


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
            # What follows is advice for the command line.
            raise HTTPException(NOT_AN_IMAGE, str(error).split("; ")[0]) from error


def _pixel_count(image: EncodedImage) -> int:
    """Return the number of pixels that the header of an image file states; 0 if it is not an image."""
    try:
        with Image.open(io.BytesIO(image.content), formats=FORMATS) as opened:
            return opened.width * opened.height
    except Image.DecompressionBombError:
        raise HTTPException(TOO_LARGE, f"{image.name}: too many pixels for a patch") from None
    except Exception:  # `decode_patch` says what is wrong with it.
        return 0


async def _chunks(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives.

    What is too long is read to its end, within reason: a client that is still sending when the connection closes sees a
    broken connection instead of the reason. A client that asks first (``Expect: 100-continue``) is told at once.
    """
    stated = request.headers.get("content-length", "")
    length = int(stated) if stated.isdecimal() else 0
    asks = request.headers.get("expect", "").lower() == "100-continue"
    received, most = 0, _DISCARDED * limits.body_bytes
    if length > (limits.body_bytes if asks else most):
        raise _too_long(limits)
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            break
        if max(received, length) <= limits.body_bytes:
            yield chunk
    if max(received, length) > limits.body_bytes:
        raise _too_long(limits)


def _too_long(limits: Limits) -> HTTPException:
    return HTTPException(TOO_LARGE, f"the body is longer than {limits.body_bytes / 1e6:g} MB; send fewer images")
