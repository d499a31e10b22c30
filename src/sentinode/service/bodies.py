"""Read the images in the body of a request, within limits of size, memory and time."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from email.message import Message

from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from sentinode.service.images import TOO_LARGE, EncodedImage, Limits

BAD_REQUEST, TOO_SLOW, BUSY = 400, 408, 503
RETRY = {"Retry-After": "1"}
# A body of the largest size arrives in this time at 3 Mbit/s.
BODY_S = 90
# How many times the largest body is read to its end before the connection is closed.
_DISCARDED = 4


class HeldBodies:
    """Counts the bytes of the bodies of all requests that are not answered yet.

    Parameters
    ----------
    limits : Limits
        What they may be together.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.held_bytes
        self._bytes = 0

    @contextmanager
    def request(self) -> Iterator["HeldBody"]:
        """Yield the body of one request; it is given back at the end of the block."""
        body = HeldBody(self)
        try:
            yield body
        finally:
            self._bytes -= body.bytes

    def add(self, count: int) -> None:
        """Count bytes.

        Raises
        ------
        HTTPException
            503: they would be too many.
        """
        if self._bytes + count > self._most:
            raise HTTPException(BUSY, "the requests being received are too large in total; try again", RETRY)
        self._bytes += count


class HeldBody:
    """The bytes of one request; see `HeldBodies`."""

    def __init__(self, all_bodies: HeldBodies) -> None:
        self._all = all_bodies
        self.bytes = 0

    def add(self, count: int) -> None:
        """Count bytes; see `HeldBodies.add`."""
        self._all.add(count)
        self.bytes += count


async def read_images(request: Request, limits: Limits, held: HeldBody) -> list[EncodedImage]:
    """Return the image files in the body of a request.

    Parameters
    ----------
    request : Request
        The body is one image file, or ``multipart/form-data`` with one file for each image.
    limits : Limits
        The largest body and number of images.
    held : HeldBody
        Where the bytes are counted.

    Returns
    -------
    list of EncodedImage

    Raises
    ------
    HTTPException
        413: the body is too large or has too many images. 400: it has none, or is not valid multipart. 408: it arrives
        too slowly. 503: too much is being read already.
    """
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request, limits, held)
    except TimeoutError:
        # Without the end of the body the connection cannot be used again.
        raise HTTPException(
            TOO_SLOW, f"the body did not arrive within {BODY_S} s; send fewer images", {"Connection": "close"}
        ) from None
    except asyncio.CancelledError:
        raise HTTPException(BUSY, "the service is shutting down; try again", {**RETRY, "Connection": "close"}) from None


async def _read(request: Request, limits: Limits, held: HeldBody) -> list[EncodedImage]:
    content_type = Message()
    content_type["Content-Type"] = request.headers.get("content-type", "application/octet-stream")
    chunks = _chunks(request, limits, held)
    if content_type.get_content_type() == "multipart/form-data":
        return await _read_form(content_type.get_boundary(""), chunks, limits)
    content = b"".join([chunk async for chunk in chunks])
    if not content:
        raise HTTPException(BAD_REQUEST, "the body is empty; send an image file, or several as multipart/form-data")
    return [EncodedImage("0", content)]


class _FormParser(MultiPartParser):
    """Keeps files in memory, and knows whether the form has an end."""

    is_complete = False

    def on_end(self) -> None:
        self.is_complete = True


async def _read_form(boundary: str, chunks: AsyncGenerator[bytes, None], limits: Limits) -> list[EncodedImage]:
    # Names are UTF-8 whatever charset a client states: some of Python's make text that JSON cannot hold.
    headers = Headers({"Content-Type": f'multipart/form-data; boundary="{boundary}"'})
    parser = _FormParser(headers, chunks, max_files=limits.images, max_fields=0)
    parser.spool_max_size = limits.body_bytes + 1
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise HTTPException(
                TOO_LARGE, f"a request may contain {limits.images} image files; send several requests"
            ) from error
        if "Too many fields" in error.message:
            raise HTTPException(
                BAD_REQUEST, "the form has a field without a file name; send each image as a file, and nothing else"
            ) from error
        raise HTTPException(BAD_REQUEST, f"invalid multipart/form-data: {error.message}") from error
    try:
        files = [each for _, each in form.multi_items() if isinstance(each, UploadFile)]
        if not parser.is_complete:
            raise HTTPException(BAD_REQUEST, "the form is truncated: its final boundary is missing; send it again")
        if not files:
            raise HTTPException(BAD_REQUEST, "the form has no files; add one for each image")
        return [EncodedImage(file.filename or str(i), await file.read()) for i, file in enumerate(files)]
    finally:
        await form.close()


async def _chunks(request: Request, limits: Limits, held: HeldBody) -> AsyncGenerator[bytes, None]:
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
            held.add(len(chunk))
            yield chunk
    if max(received, length) > limits.body_bytes:
        raise _too_long(limits)


def _too_long(limits: Limits) -> HTTPException:
    return HTTPException(TOO_LARGE, f"the body is longer than {limits.body_bytes / 1e6:g} MB; send fewer images")
