"""What the requests of the viewer share."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

from starlette.requests import Request

from sentinode.errors import SentinodeError
from sentinode.machine import processor_count
from sentinode.slides.slide import Slide
from sentinode.viewer.annotations.annotations import AnnotationStore
from sentinode.viewer.catalogue import Catalogue, Entry
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.gallery import Gallery
from sentinode.viewer.model import ModelWorker
from sentinode.viewer.scans import ScanQueue
from sentinode.viewer.slides.readers import SlideReaders
from sentinode.viewer.slides.tiles import ByteCache

Arguments = TypeVarTuple("Arguments")
P = ParamSpec("P")
T = TypeVar("T")

# Most wait for a disk or for a process.
_THREADS = 8
_LARGEST_BODY = 8_000_000
# Nobody waits any more for the answer to a request that was canceled.
CLIENT_GONE = 499


@dataclass(frozen=True)
class Viewer:
    """What the requests of the viewer share.

    Attributes
    ----------
    catalogue : Catalogue
    readers : SlideReaders
    store : AnnotationStore
    cache : ByteCache
        Encoded tiles, thumbnails and heat maps.
    user : str
        Recorded with decisions.
    read_only : bool
        Whether decisions and scans are refused.
    show_names : bool
        Whether the page may show the names of files.
    jpeg_quality : int
        Of tiles.
    model : ModelWorker or None
        Judges patches.
    scans : ScanQueue or None
        Scans slides.
    gallery : Gallery or None
        Patches.
    """

    catalogue: Catalogue
    readers: SlideReaders
    store: AnnotationStore
    cache: ByteCache
    user: str
    read_only: bool
    show_names: bool
    jpeg_quality: int
    model: ModelWorker
    scans: ScanQueue | None = None
    gallery: Gallery | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "viewer"))
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(processor_count()))
    _reads: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        # The next job of a process waits for it, so that it does not wait for the job.
        object.__setattr__(self, "_reads", asyncio.Semaphore(2 * self.readers.count))

    async def run(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """Call a function in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*arguments, **named))

    async def run_wanted(self, request: Request, function: Callable[[], T]) -> T:
        """Call a function that computes in a thread, unless the client is gone when its turn comes."""
        async with self._turn:
            if await request.is_disconnected():
                raise ViewerError("the client is gone", CLIENT_GONE)
            return await self.run(function)

    async def read(
        self, request: Request, entry: Entry, function: Callable[[Slide, *Arguments], T], *arguments: *Arguments
    ) -> T:
        """Call a function with an open slide in one of the reading processes, unless the client is gone by then."""
        waits = self._reads.locked()
        async with self._reads:
            if waits and await request.is_disconnected():
                raise ViewerError("the client is gone", CLIENT_GONE)
            file = self.catalogue.file(entry)
            return await asyncio.wrap_future(self.readers.submit(file, function, *arguments))

    async def cached(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return a value from the cache; make it where it is not there."""
        content = self.cache.get(key)
        if content is None:
            content = await make()
            self.cache.put(key, content)
        return content

    def entry(self, request: Request) -> Entry:
        """Return the slide that the address of a request names."""
        return self.catalogue[request.path_params["slide"]]

    def check_writable(self) -> None:
        """Refuse a change in read-only mode."""
        if self.read_only:
            raise ViewerError("this viewer is read-only; start it without --read-only", 403)

    def open_first(self) -> None:
        """Open the first slide while the browser starts."""
        for entry in islice(self.catalogue, 1):
            with suppress(SentinodeError):  # The page says what is wrong with it.
                self.readers.open(self.catalogue.file(entry))

    def stop(self) -> None:
        """End the answers that have no end by themselves."""
        self.stopping.set()

    def close(self) -> None:
        """End the threads and processes."""
        self.stopping.set()
        if self.scans is not None:
            self.scans.close()
        self.model.close()
        self.readers.close()
        self._pool.shutdown(cancel_futures=True)


def viewer_of(request: Request) -> Viewer:
    """Return the viewer that a request is for."""
    viewer: Viewer = request.app.state.viewer
    return viewer


async def read_body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object in the body of a request."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _LARGEST_BODY:
            raise ViewerError(f"the body is longer than {_LARGEST_BODY / 1e6:g} MB; draw with fewer points", 413)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ViewerError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise ViewerError("the body must be a JSON object")
    return body


def number(parameters: Mapping[str, str], name: str, default: float | None = None) -> float:
    """Return a number of the query; refuse what is none."""
    text = parameters.get(name, "")
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise ViewerError(f"{name} {text[:80]!r}: it must be a number")
    return value


def whole_number(parameters: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Return a whole number of the query between two limits."""
    value = number(parameters, name, default)
    if value != int(value) or not least <= value <= most:
        raise ViewerError(f"{name} {value:g}: it must be a whole number from {least} to {most}")
    return int(value)


def choice(parameters: Mapping[str, str], name: str, allowed: Collection[str], default: str = "") -> str:
    """Return a word of the query; refuse what is not allowed."""
    value = parameters.get(name, default)
    if value != default and value not in allowed:
        raise ViewerError(f"{name} {value[:80]!r}: it must be one of {', '.join(allowed)}")
    return value
