"""Choose the reader of a slide."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from sentinode.data.parallel import ordered_map
from sentinode.errors import DataError
from sentinode.slides.readers.flat_image import ENDINGS, FlatImageReader
from sentinode.slides.readers.protocol import ShrinkingReader, SlideReader
from sentinode.slides.readers.with_openslide import OpenSlideReader, UnsupportedSlideError
from sentinode.slides.readers.with_tifffile import TiffReader, TruncatedSlideError

# Scanners reach a quarter of it.
_LARGEST_SIDE_PX = 1 << 20
# Of what is compared at the origin of a level whose other places OpenSlide interpolates.
_SAMPLE_SIDE_PX = 2048


def open_reader(path: Path, cache_bytes: int) -> tuple[SlideReader, tuple[str, ...], ShrinkingReader | None]:
    """Open a slide with the fastest reader that gives the same pixels as OpenSlide.

    Parameters
    ----------
    path : Path
    cache_bytes : int
        Decoded tiles that the fast reader keeps.

    Returns
    -------
    reader : SlideReader
    notes : tuple of str
        Why it is not the usual one.
    shrinking : ShrinkingReader or None
        The reader, where it can shrink while decoding.

    Raises
    ------
    DataError
        No reader can open the file.
    """
    if path.suffix.lower() in ENDINGS:
        return FlatImageReader(path), (), None
    try:
        reference = OpenSlideReader(path)
    except UnsupportedSlideError as unsupported:
        try:
            alone = TiffReader(path, cache_bytes=cache_bytes)
        except TruncatedSlideError:
            raise
        except DataError as error:
            raise DataError(f"{error} (OpenSlide does not read this format)") from unsupported
        return alone, ("OpenSlide does not read this file; tifffile does",), None
    sides = [side for level in reference.levels for side in (level.width_px, level.height_px)]
    if not sides or min(sides) < 1 or max(sides) > _LARGEST_SIDE_PX:
        sizes = ", ".join(f"{level.width_px} × {level.height_px}" for level in reference.levels) or "none"
        reference.close()
        raise DataError(f"{path}: levels of {sizes} px; the file is damaged, copy it again")
    try:
        fast = TiffReader(path, reference.metadata, cache_bytes)
    except TruncatedSlideError:
        reference.close()
        raise
    except DataError:
        return reference, (), None
    reason = _difference(fast, reference)
    if reason:
        fast.close()
        return reference, (f"read by OpenSlide: {reason}",), None
    reference.close()
    return fast, (), fast


def _difference(fast: TiffReader, reference: OpenSlideReader) -> str:
    """Say how two readers differ at sample regions; nothing where their pixels are the same."""
    found, known = ([(each.width_px, each.height_px) for each in reader.levels] for reader in (fast, reference))
    if fast.is_ome:  # OpenSlide does not look into the sub-images, where the coarse levels are.
        found = found[: len(known)]
    if found != known:
        return "the fast reader finds other levels"
    for number, level in enumerate(fast.levels):
        is_compared = not reference.fills_missing_tiles and level.downsample % 1 == 0
        if number and fast.has_missing_tiles(number) and not is_compared:
            return f"tiles of level {number} are missing"

    def compare(sample: tuple[int, tuple[int, int, int, int]]) -> str:
        number, place = sample
        try:
            same = np.array_equal(fast.read(number, *place), reference.read(number, *place))
        except DataError as error:
            return str(error)
        return "" if same else f"the fast reader gives other pixels at level {number}"

    samples = [(number, place) for number in range(len(known)) for place in _sample_regions(fast, number)]
    return next(filter(None, list(ordered_map(compare, samples))), "")


def _sample_regions(fast: TiffReader, number: int) -> Collection[tuple[int, int, int, int]]:
    """Return x, y, width and height of regions of a level that OpenSlide reads without interpolation."""
    level = fast.levels[number]
    if level.downsample != round(level.downsample):  # Only regions at the origin lie on whole pixels of the level.
        return [(0, 0, min(level.width_px, _SAMPLE_SIDE_PX), min(level.height_px, _SAMPLE_SIDE_PX))]
    return fast.sample_tiles(number)
