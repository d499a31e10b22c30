"""DeepZoom tiles: each level has half the size of the next, down to one pixel."""

import io
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sentinode.data.types import UInt8Array
from sentinode.slides.slide import LevelSelection, Slide
from sentinode.viewer.errors import not_found

TILE_PX, OVERLAP_PX = 254, 1
# Side of what is read from a level at a time, where a coarse level is missing.
_READ_PX = 2048


@dataclass(frozen=True)
class DeepZoom:
    """Geometry of the tiles of a slide.

    Attributes
    ----------
    width_px, height_px : int
        Size of the slide at level 0.

    Examples
    --------
    >>> pyramid = DeepZoom(1000, 500)
    >>> pyramid.max_level, pyramid.size(9), pyramid.box(10, 3, 1)
    (10, (500, 250), (761, 253, 239, 247))
    """

    width_px: int
    height_px: int

    @property
    def max_level(self) -> int:
        """The level with all pixels of the slide."""
        return (max(self.width_px, self.height_px) - 1).bit_length()

    def scale(self, level: int) -> int:
        """Return the level-0 px of the slide along one pixel of a level."""
        return 1 << (self.max_level - level)

    def size(self, level: int) -> tuple[int, int]:
        """Return width and height of a level."""
        scale = self.scale(level)
        return -(-self.width_px // scale), -(-self.height_px // scale)

    def box(self, level: int, column: int, row: int) -> tuple[int, int, int, int]:
        """Return x, y, width and height of a tile in pixels of its level."""
        if not 0 <= level <= self.max_level:
            raise not_found("tile")
        width, height = self.size(level)
        if not (0 <= column * TILE_PX < width and 0 <= row * TILE_PX < height):
            raise not_found("tile")
        x0, y0 = (max(0, number * TILE_PX - OVERLAP_PX) for number in (column, row))
        x1, y1 = (min(most, (number + 1) * TILE_PX + OVERLAP_PX) for number, most in ((column, width), (row, height)))
        return x0, y0, x1 - x0, y1 - y0


def read_scaled(slide: Slide, scale: float, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
    """Read a rectangle of a slide at a fraction of its resolution.

    Parameters
    ----------
    slide : Slide
    scale : float
        Level-0 px along one resulting pixel.
    x_px, y_px, width_px, height_px : int
        In resulting pixels.

    Returns
    -------
    ndarray of uint8, shape (height_px, width_px, 3)
    """
    selection = _selection(slide, scale)
    side = max(1, int(_READ_PX / selection.shrink))
    if max(width_px, height_px) <= side or selection.shrink == 1:
        return slide.read(selection, x_px, y_px, width_px, height_px)
    pixels = np.empty((height_px, width_px, 3), np.uint8)
    for top in range(0, height_px, side):
        for left in range(0, width_px, side):
            size = min(side, width_px - left), min(side, height_px - top)
            pixels[top : top + side, left : left + side] = slide.read(selection, x_px + left, y_px + top, *size)
    return pixels


def _selection(slide: Slide, scale: float) -> LevelSelection:
    """Select the coarsest level that is fine enough, and take one that is a pixel off at its far end as it is."""
    full = slide.levels[0]
    for number in range(len(slide.levels) - 1, -1, -1):
        level = slide.levels[number]
        spacing = slide.spacing_um_px * scale
        if abs(level.width_px - full.width_px / scale) <= 1 and abs(level.height_px - full.height_px / scale) <= 1:
            return LevelSelection(number, spacing, spacing, 1.0)
        if level.downsample <= scale or number == 0:
            return LevelSelection(number, spacing, spacing, scale / level.downsample)
    raise AssertionError("a slide without levels")


def encode_jpeg(pixels: UInt8Array, quality: int) -> bytes:
    """Encode pixels as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


class ByteCache:
    """Keeps the values that were used last, up to a number of bytes.

    Parameters
    ----------
    capacity_bytes : int
        Bytes of all values together.

    Examples
    --------
    >>> cache = ByteCache(4)
    >>> cache.put("a", b"123")
    >>> cache.put("b", b"45")
    >>> cache.get("a"), cache.get("b")
    (None, b'45')
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._values: OrderedDict[Hashable, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> bytes | None:
        """Return a value; None where it is not kept."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Hashable, value: bytes) -> None:
        """Keep a value, and drop those that were not used for longest."""
        with self._lock:
            self._size += len(value) - len(self._values.pop(key, b""))
            self._values[key] = value
            while self._size > self._capacity:
                _, dropped = self._values.popitem(last=False)
                self._size -= len(dropped)
