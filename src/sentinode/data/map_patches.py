"""Many patches, chunk by chunk: read and looked at by several threads, a few chunks ahead of whoever uses them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from sentinode.data.patchset import PatchSet
from sentinode.data.types import UInt8Array
from sentinode.machine import processors
from sentinode.progress import progress_bar

CHUNK_PATCHES = 256
# More than this many wait for the disk or for each other.
MOST_THREADS = 8

Item = TypeVar("Item")
Found = TypeVar("Found")


def map_patches(
    patches: PatchSet, look: Callable[[UInt8Array], Found], what: str, *, size: int = CHUNK_PATCHES
) -> Iterator[Found]:
    """Show all patches of a set to a function, and a person how far it is.

    Memory holds a few chunks, however many patches there are.

    Parameters
    ----------
    patches
        Cached or not.
    look
        Is given uint8 ``(n, 96, 96, 3)``; called from several threads at once.
    what
        A word for the progress bar, such as ``"judging"``.
    size
        Patches of a chunk.

    Yields
    ------
    object
        What `look` returned, chunk by chunk in the order of `patches`.

    Raises
    ------
    DataError
        A patch cannot be read.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> list(map_patches(open_patches("pcam-mini", split="test"), len, "counting"))
    [256, 144]
    """
    starts = range(0, len(patches), size)
    with progress_bar(what, total=len(patches)) as advance:
        for start, found in zip(
            starts, ordered_map(lambda start: look(patches.read(slice(start, start + size))), starts), strict=True
        ):
            yield found
            advance(min(size, len(patches) - start))


def ordered_map(work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Do work on items in several threads, a few items ahead, and give what comes of it in the order of the items.

    The first error, or the end of whoever asks, ends it: nothing more is begun.

    Examples
    --------
    >>> list(ordered_map(lambda number: number * 2, range(4)))
    [0, 2, 4, 6]
    """
    threads, items = min(MOST_THREADS, processors()), iter(items)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Found]] = deque(pool.submit(work, item) for item in islice(items, threads + 1))
        try:
            while ahead:
                found = ahead.popleft().result()
                ahead.extend(pool.submit(work, item) for item in islice(items, 1))
                yield found
        finally:
            pool.shutdown(cancel_futures=True)
