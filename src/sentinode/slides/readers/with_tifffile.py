"""TIFF without OpenSlide: faster where the pixels are the same, and for striped TIFF, which OpenSlide refuses."""

import os
import struct
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sentinode.data.types import UInt8Array
from sentinode.errors import DataError, first_line
from sentinode.extras import optional
from sentinode.slides.readers.protocol import WHITE, Level, SlideMetadata
from sentinode.slides.readers.with_openslide import composite

CACHE_BYTES = 192 << 20
# Decoded tiles are a few megabytes at the most, strips of whole slides some hundred.
_LARGEST_TILE_BYTES = 1 << 30
# Encoders may pad tiles to whole blocks. Damage makes a tile state many times its size, and decoders reserve that.
_LARGEST_EXCESS = 4
# JPEG decoders shrink by these without computing all pixels.
_SHRINK_FACTORS = (8, 4, 2)
# Gray levels, in the mean; the two ways to shrink differ by about 0.5.
_SHRINKING_TOLERANCE = 2.0
_JPEG, _RGB, _YCBCR = 7, 2, 6
# Compressions whose decoder turns YCbCr to RGB: JPEG, and JPEG 2000 of Aperio, which knows its color space itself.
_DECODED_TO_RGB, _APERIO_JPEG2000 = (6, 7, 34892, 33007), (33003, 33005)
_PREMULTIPLIED_ALPHA, _ALPHA = 1, 2
_JPEG_START, _JPEG2000_START = bytes.fromhex("ffd8"), bytes.fromhex("ff4fff51")
# Says that the three components are RGB; without it, decoders take them for YCbCr.
_RGB_MARKER = bytes.fromhex("ffee000e41646f626500640000000000")
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # Inch and centimeter.


class TiffReader:
    """Reads RGB TIFF, tiled or striped, with its pyramid in pages or in sub-images (OME-TIFF).

    Parameters
    ----------
    path : Path
        The file.
    metadata : SlideMetadata or None
        What another reader knows of the slide; read from the TIFF tags where None.
    cache_bytes : int
        Decoded tiles that are kept: neighboring blocks share those at their common border.
    """

    name = "tifffile"

    def __init__(self, path: Path, metadata: SlideMetadata | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        tifffile = optional("tifffile", "slides")
        optional("imagecodecs", "slides")
        self.path = path
        try:
            self._file = tifffile.TiffFile(path)
            self.is_ome = bool(self._file.is_ome)
            _check_directories(path, self._file)
            self._pages = _pyramid(path, self._file)
            full = self._pages[0]
            for page in self._pages:
                _check_page(path, page, self._file.filehandle.size)
            self.levels = tuple(
                Level(page.imagewidth, page.imagelength, full.imagewidth / page.imagewidth) for page in self._pages
            )
            self.metadata = metadata or _metadata(full)
        except DataError:
            raise
        except Exception as error:  # A damaged TIFF raises whatever its tags make fail.
            raise DataError(
                f"{path}: not a readable TIFF ({first_line(error)}); the file may be truncated; copy it again"
            ) from error
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        self._tiles: OrderedDict[tuple[int, int, int], UInt8Array] = OrderedDict()
        self._cached_bytes, self._cache_bytes = 0, cache_bytes
        self._factors: dict[int, tuple[int, ...]] = {}

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        """Read a rectangle; see `SlideReader.read`."""
        return self._read(level, 1, x_px, y_px, width_px, height_px)

    def shrink_factors(self, level: int) -> tuple[int, ...]:
        """Return the factors of `read_shrunk`; see `ShrinkingReader.shrink_factors`."""
        if level not in self._factors:
            page = self._pages[level]
            possible = page.is_tiled and page.compression == _JPEG and page.samplesperpixel == 3
            tried = _SHRINK_FACTORS if possible and page.photometric in (_RGB, _YCBCR) else ()
            self._factors[level] = tuple(each for each in tried if self._shrinks_well(level, each))
        return self._factors[level]

    def read_shrunk(self, level: int, factor: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        """Read a rectangle of a level that is shrunk while decoding; see `ShrinkingReader.read_shrunk`."""
        if factor not in self.shrink_factors(level):
            raise DataError(f"{self.path}: level {level} cannot be shrunk by {factor} while decoding")
        return self._read(level, factor, x_px, y_px, width_px, height_px)

    def sample_tiles(self, level: int) -> set[tuple[int, int, int, int]]:
        """Return x, y, width and height of tiles of a level: with most bytes, middle, last and first missing."""
        page = self._pages[level]
        across, down = -(-page.imagewidth // page.tilewidth), -(-page.imagelength // page.tilelength)
        numbers = [int(np.argmax(page.databytecounts)), down // 2 * across + across // 2, down * across - 1]
        if self.has_missing_tiles(level):
            numbers.append(page.databytecounts.index(0))
        corners = {divmod(number, across) for number in numbers}
        size = page.tilewidth, page.tilelength
        return {(column * size[0], row * size[1], *size) for row, column in corners}

    def has_missing_tiles(self, level: int) -> bool:
        """Tell whether a level lacks tiles, which have the background color here."""
        return 0 in self._pages[level].databytecounts

    def _shrinks_well(self, level: int, factor: int) -> bool:
        """Tell whether shrinking while decoding comes near the mean over area where a level has most detail."""
        page = self._pages[level]
        index = int(np.argmax(page.databytecounts))
        if page.tilelength % factor or page.tilewidth % factor:
            return False
        try:
            shrunk, whole = self._tile(level, index, factor), self._tile(level, index, 1)
        except DataError:  # Damaged, or simplejpeg is not installed.
            return False
        if shrunk is None or whole is None:
            return False
        rows, columns = whole.shape[0] // factor, whole.shape[1] // factor  # The last tiles are cut.
        if not rows or not columns:
            return False
        mean = np.asarray(Image.fromarray(whole[: rows * factor, : columns * factor]).reduce(factor)).astype(int)
        return bool(np.abs(shrunk[:rows, :columns] - mean).mean() <= _SHRINKING_TOLERANCE)

    def _read(self, level: int, factor: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        if not 0 <= level < len(self.levels):
            raise DataError(f"{self.path}: there is no level {level}; it has {len(self.levels)}")
        page = self._pages[level]
        tile_height, tile_width = (
            (page.tilelength // factor, page.tilewidth // factor)
            if page.is_tiled
            else (page.rowsperstrip, page.imagewidth)
        )
        full_height, full_width = page.imagelength // factor, page.imagewidth // factor
        out = np.empty((height_px, width_px, 3), np.uint8)
        left, top = max(x_px, 0), max(y_px, 0)
        right, bottom = min(x_px + width_px, full_width), min(y_px + height_px, full_height)
        if (left, top, right, bottom) != (x_px, y_px, x_px + width_px, y_px + height_px):
            out[:] = self.metadata.background
        across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
        for row in range(top // tile_height, -(-bottom // tile_height) if bottom > top else 0):
            for column in range(left // tile_width, -(-right // tile_width) if right > left else 0):
                tile = self._tile(level, row * across + column, factor)
                tile_top, tile_left = row * tile_height, column * tile_width
                y0, y1 = max(top, tile_top), min(bottom, tile_top + tile_height)
                x0, x1 = max(left, tile_left), min(right, tile_left + tile_width)
                place = out[y0 - y_px : y1 - y_px, x0 - x_px : x1 - x_px]
                pixels = None if tile is None else tile[y0 - tile_top : y1 - tile_top, x0 - tile_left : x1 - tile_left]
                if pixels is None or pixels.shape != place.shape:
                    place[:] = self.metadata.background
                if pixels is not None:
                    place[: pixels.shape[0], : pixels.shape[1]] = pixels
        return out

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)
        self._file.close()

    def _tile(self, level: int, index: int, factor: int) -> UInt8Array | None:
        """Return a decoded tile, None where the file has none."""
        key = level, index, factor
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        try:
            content = self._content(level, index)
            if content is None:
                return None
            tile = self._decode(level, index, content) if factor == 1 else self._shrink(level, factor, content)
        except Exception as error:  # Decoders raise kinds of their own.
            raise DataError(
                f"{self.path}: level {level} cannot be decoded at tile {index} ({first_line(error)}); "
                "the file is damaged there, copy it again"
            ) from error
        if tile is not None:
            with self._lock:
                if key not in self._tiles:
                    self._cached_bytes += tile.nbytes
                self._tiles[key] = tile
                while self._cached_bytes > self._cache_bytes and len(self._tiles) > 1:
                    self._cached_bytes -= self._tiles.popitem(last=False)[1].nbytes
        return tile

    def _content(self, level: int, index: int) -> bytes | None:
        page = self._pages[level]
        size = page.databytecounts[index]
        if size == 0:
            return None
        if size > _LARGEST_TILE_BYTES:
            raise DataError(f"a tile of {size:,} bytes")
        content = self._bytes_at(page.dataoffsets[index], size)
        if len(content) != size:
            raise DataError("the file ends early")
        (width, height), (rows, columns) = _stated_size(content), page.chunks[:2]
        if width * height > _LARGEST_EXCESS * rows * columns:
            raise DataError(f"a tile header with {width} × {height} px; expected {columns} × {rows}")
        return content

    def _bytes_at(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, size, offset)
        with self._lock:  # Windows.
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, size)

    def _decode(self, level: int, index: int, content: bytes) -> UInt8Array | None:
        page = self._pages[level]
        segment, _, shape = page.decode(content, index, jpegtables=page.jpegtables)
        if segment is None:
            return None
        _, rows, columns, _ = shape
        pixels = np.asarray(segment.reshape(segment.shape[-3:])[:rows, :columns])
        if page.samplesperpixel == 3:
            return pixels[..., :3]  # A damaged tile may hold more.
        if page.extrasamples[0] == _ALPHA:
            return composite(pixels, self.metadata.background)
        light = np.asarray(self.metadata.background) * (1 - pixels[..., 3:] / 255)
        return np.rint(np.minimum(pixels[..., :3] + light, 255)).astype(np.uint8)

    def _shrink(self, level: int, factor: int, content: bytes) -> UInt8Array:
        page = self._pages[level]
        start, rest = content[:2], content[2:]
        tables = page.jpegtables[2:-2] if page.jpegtables else b""
        marker = _RGB_MARKER if page.photometric == _RGB else b""
        height, width = page.tilelength // factor, page.tilewidth // factor
        tile = optional("simplejpeg", "slides").decode_jpeg(
            start + marker + tables + rest, "RGB", min_height=height, min_width=width
        )
        if tile.shape != (height, width, 3):
            raise DataError(f"a tile of {tile.shape[1]} × {tile.shape[0]} px; expected {width} × {height}")
        return np.asarray(tile)


class TruncatedSlideError(DataError):
    """The file ends early, as after an interrupted download. Other readers may take what is left for a slide."""


def _stated_size(content: bytes) -> tuple[int, int]:
    """Return the width and height that a JPEG or JPEG 2000 stream states; 0 and 0 where it states none."""
    if content[:4] == _JPEG2000_START:
        right, bottom, left, top = struct.unpack_from(">4I", content, 8)
        return right - left, bottom - top
    place = 2
    while content[:2] == _JPEG_START and place + 9 <= len(content) and content[place] == 0xFF:
        marker, length = struct.unpack_from(">xBH", content, place)
        if 0xC0 <= marker <= 0xC3:  # Start of a frame.
            height, width = struct.unpack_from(">2H", content, place + 5)
            return width, height
        place += 2 + length
    return 0, 0


def _check_directories(path: Path, file: Any) -> None:
    """Refuse a TIFF that ends before or within one of its directories."""
    pages = file.pages
    if len(pages):
        file.filehandle.seek(pages.next_page_offset)  # Of the last directory that was found: zero if none follows.
        following = file.filehandle.read(file.tiff.offsetsize)
        whole = len(following) == file.tiff.offsetsize and not any(following)
    if not len(pages) or not whole or not all(page.dataoffsets for page in pages):
        raise TruncatedSlideError(f"{path}: a TIFF with missing directories; the file ends early, copy it again")


def _pyramid(path: Path, file: Any) -> list[Any]:
    """Return the pages of the largest image's levels, from the finest to the coarsest."""
    if not file.series:
        raise DataError(f"{path}: a TIFF without images; the file may be truncated; copy it again")
    series = max(file.series, key=lambda each: np.prod(each.shape))
    pages = [level.pages[0] for level in series.levels]
    if any(len(level.pages) > 1 for level in series.levels):
        raise DataError(
            f"{path}: {len(series.levels[0].pages)} planes of {series.axes}; only slides with one RGB plane are read"
        )
    return pages


def _check_page(path: Path, page: Any, file_bytes: int) -> None:
    """Refuse a level that is not RGB, whose tags contradict each other, or with tiles beyond the end of the file."""
    if page.samplesperpixel not in (3, 4) or page.dtype != np.uint8:
        raise DataError(
            f"{path}: {page.samplesperpixel} channels of {page.dtype}; a brightfield slide has RGB pixels of 8 bits; "
            "save it as RGB"
        )
    is_ycbcr = page.photometric == _YCBCR and page.compression in _DECODED_TO_RGB
    if page.photometric != _RGB and not is_ycbcr and page.compression not in _APERIO_JPEG2000:
        kind = getattr(page.photometric, "name", page.photometric)
        raise DataError(f"{path}: {page.samplesperpixel} channels of the kind {kind}; save it as RGB")
    if page.samplesperpixel == 4 and tuple(page.extrasamples) not in ((_ALPHA,), (_PREMULTIPLIED_ALPHA,)):
        raise DataError(f"{path}: 4 channels, of which none is said to be alpha; save it as RGB")
    if page.planarconfig != 1:
        raise DataError(f"{path}: its color planes are stored separately; save it as interleaved RGB")
    tiles = np.prod(page.chunked) if page.imagewidth and page.imagelength else 0
    if not tiles or tiles != len(page.dataoffsets) or tiles != len(page.databytecounts):
        raise DataError(
            f"{path}: a level of {page.imagewidth} × {page.imagelength} px with {len(page.dataoffsets)} tiles; the "
            "file is damaged, copy it again"
        )
    missing = np.count_nonzero(np.add(page.dataoffsets, page.databytecounts) > file_bytes)
    if missing:
        raise TruncatedSlideError(
            f"{path}: {missing} of {tiles} tiles of a level of {page.imagewidth} × {page.imagelength} px are missing; "
            "the file ends early, copy it again"
        )


def _metadata(page: Any) -> SlideMetadata:
    unit = page.tags.get("ResolutionUnit")
    spacing, source = None, "no TIFF resolution"
    if "XResolution" in page.tags and unit is not None and int(unit.value) in _UM_PER_UNIT:
        per_unit = [
            float(page.tags[name].value[0]) / float(page.tags[name].value[1] or 1)
            for name in ("XResolution", "YResolution")
            if name in page.tags
        ]
        if all(value > 0 for value in per_unit):
            spacing = float(np.mean([_UM_PER_UNIT[int(unit.value)] / value for value in per_unit]))
            source = "TIFF XResolution and YResolution"
    elif "XResolution" in page.tags:
        source = "the TIFF resolution has no unit"
    return SlideMetadata(
        spacing_um_px=spacing,
        spacing_source=source,
        background=WHITE,
        has_color_profile="InterColorProfile" in page.tags,
    )
