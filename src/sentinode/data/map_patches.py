"""Map a function over the pixels of a set of patches."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from sentinode.data.parallel import ordered_map
from sentinode.data.patchset import PatchSet
from sentinode.data.types import CHUNK_PATCHES, UInt8Array
from sentinode.progress import progress_bar

Result = TypeVar("Result")


def map_patches(
    patches: PatchSet,
    function: Callable[[UInt8Array], Result],
    description: str,
    *,
    chunk_size: int = CHUNK_PATCHES,
) -> Iterator[Result]:
    """Map a function over the pixels of all patches, chunk by chunk, with a progress bar.

    Chunks are read and processed in several threads. Memory holds a few chunks at a time, however many patches there
    are.

    Parameters
    ----------
    patches : PatchSet
        The patches, cached or not.
    function : callable
        Called with uint8 pixels of shape ``(n, 96, 96, 3)``, from several threads at once.
    description : str
        Label of the progress bar, such as ``"predicting"``.
    chunk_size : int, default=256
        Patches per chunk.

    Yields
    ------
    object
        What `function` returned for each chunk, in the order of `patches`.

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
    starts = range(0, len(patches), chunk_size)
    results = ordered_map(lambda start: function(patches.read(slice(start, start + chunk_size))), starts)
    with progress_bar(description, total=len(patches)) as advance:
        for start, result in zip(starts, results, strict=True):
            yield result
            advance(min(chunk_size, len(patches) - start))
