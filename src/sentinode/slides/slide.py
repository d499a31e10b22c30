"""Open whole slides with a known µm per pixel, and read them at a requested resolution."""

import hashlib
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from sentinode.data.parallel import ordered_map
from sentinode.data.types import UInt8Array
from sentinode.errors import DataError
from sentinode.slides.readers.choose import open_reader
from sentinode.slides.readers.protocol import Level, ShrinkingReader, SlideMetadata, SlideReader
from sentinode.slides.readers.with_tifffile import CACHE_BYTES
from sentinode.slides.resample import resample, weights

log = logging.getLogger("sentinode")

# Scanners lie within; a factor of two in µm per pixel makes all tissue look like tumour.
LEAST_SPACING_UM_PX, LARGEST_SPACING_UM_PX = 0.1, 2.0
# A level this near to the requested spacing is read as it is: the training patches mix 0.905 and 0.972 µm/px.
SPACING_TOLERANCE = 0.1
# Between a given spacing and that of the file: without a warning, and the largest factor that is not refused.
_SPACING_AGREEMENT, _LARGEST_CONTRADICTION = 0.05, 1.5
# Side of what a thumbnail reads at a time, in pixels of the level: 50 MB.
_TILE_LEVEL_PX = 4096


@dataclass(frozen=True)
class LevelSelection:
    """The level that is read for a requested spacing.

    Attributes
    ----------
    level : int
        Index into the slide's levels.
    requested_um_px, effective_um_px : float
        Spacing asked for, and of the pixels that result.
    shrink : float
        Pixels of the level along one resulting pixel; 1 where the level is taken as it is.
    """

    level: int
    requested_um_px: float
    effective_um_px: float
    shrink: float


@dataclass(frozen=True)
class Slide:
    """A pyramid of pixels with a known µm per pixel.

    Attributes
    ----------
    path : Path
        The file.
    reader : SlideReader
        Reads its pixels.
    spacing_um_px : float
        µm per level-0 pixel.
    spacing_source : str
        Where the spacing comes from.
    notes : tuple of str
        Remarks made while opening.
    shrinking : ShrinkingReader or None
        The reader, where it can shrink while decoding.
    """

    path: Path
    reader: SlideReader
    spacing_um_px: float
    spacing_source: str
    notes: tuple[str, ...] = ()
    shrinking: ShrinkingReader | None = None

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions, from the finest to the coarsest."""
        return self.reader.levels

    @property
    def metadata(self) -> SlideMetadata:
        """The metadata in the file."""
        return self.reader.metadata

    @property
    def bounds_px(self) -> tuple[int, int, int, int]:
        """x, y, width and height of the scanned part in level-0 px."""
        full = self.levels[0]
        return self.metadata.bounds_px or (0, 0, full.width_px, full.height_px)

    def select_level(self, spacing_um_px: float) -> LevelSelection:
        """Select the coarsest level that is fine enough for a spacing.

        Parameters
        ----------
        spacing_um_px : float
            Requested µm per pixel.

        Returns
        -------
        LevelSelection
            A level within 10 % of the request is taken as it is; otherwise the next finer one is shrunk, by a whole
            number where this comes within 10 % of the request, and where there is none, level 0 is enlarged.
        """
        spacings = [self.spacing_um_px * level.downsample for level in self.levels]
        nearest = int(np.argmin([abs(spacing - spacing_um_px) for spacing in spacings]))
        if abs(spacings[nearest] - spacing_um_px) <= SPACING_TOLERANCE * spacing_um_px:
            return LevelSelection(nearest, spacing_um_px, spacings[nearest], 1.0)
        finer = [number for number, spacing in enumerate(spacings) if spacing <= spacing_um_px]
        level = max(finer, key=lambda number: spacings[number]) if finer else 0
        shrink = spacing_um_px / spacings[level]
        low, high = (shrink * (1 + sign * SPACING_TOLERANCE) for sign in (-1, 1))
        whole = range(max(2, math.ceil(low)), math.floor(high) + 1)
        if whole:  # Multiples of 8, 4 or 2 can be decoded at a fraction of the size.
            number = max(whole, key=lambda each: (math.gcd(each, 8), -abs(each - shrink)))
            return LevelSelection(level, spacing_um_px, number * spacings[level], float(number))
        return LevelSelection(level, spacing_um_px, spacing_um_px, shrink)

    def pixel_level0_px(self, selection: LevelSelection) -> float:
        """Return the side of a pixel at a selected resolution in level-0 px."""
        return selection.effective_um_px / self.spacing_um_px

    def decode_factor(self, selection: LevelSelection) -> int:
        """Return the factor by which a selected level is shrunk while decoding; 1 where all its pixels are decoded."""
        if self.shrinking is None or selection.shrink == 1 or selection.shrink % 1:
            return 1  # Before the factors of a level are known, some of its tiles are decoded in each way.
        factors = self.shrinking.shrink_factors(selection.level)
        return next((each for each in factors if selection.shrink % each == 0), 1)

    def read(self, selection: LevelSelection, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        """Read a rectangle at a selected resolution.

        Parameters
        ----------
        selection : LevelSelection
            From `select_level`.
        x_px, y_px : int
            Top left corner in pixels of the resulting resolution.
        width_px, height_px : int
            Size in pixels of the resulting resolution.

        Returns
        -------
        ndarray of uint8, shape (height_px, width_px, 3)
            Averaged over area where a finer level is shrunk, bicubic where a coarser one is enlarged. Where the factor
            is not whole, pixels at the border of the slide mix with its background.
        """
        level, shrink, factor = selection.level, selection.shrink, self.decode_factor(selection)
        if shrink % 1 == 0:
            rest = int(shrink) // factor
            box = x_px * rest, y_px * rest, width_px * rest, height_px * rest
            if self.shrinking is not None and factor > 1:
                pixels = self.shrinking.read_shrunk(level, factor, *box)
            else:
                pixels = self.reader.read(level, *box)
            return pixels if rest == 1 else _mean_over_area(pixels, rest)
        across, down = weights(x_px, width_px, shrink), weights(y_px, height_px, shrink)
        return resample(self.reader.read(level, across.start, down.start, across.size, down.size), down, across)

    def thumbnail(self, spacing_um_px: float) -> tuple[UInt8Array, LevelSelection]:
        """Read the whole slide at a coarse resolution.

        Parameters
        ----------
        spacing_um_px : float
            Requested µm per pixel.

        Returns
        -------
        pixels : ndarray of uint8, shape (rows, columns, 3)
        selection : LevelSelection
            Says the effective spacing.
        """
        selection = self.select_level(spacing_um_px)
        full = self.levels[0]
        pixel_px = self.pixel_level0_px(selection)
        columns, rows = (max(1, round(size / pixel_px)) for size in (full.width_px, full.height_px))
        side = max(16, int(_TILE_LEVEL_PX / selection.shrink))
        places = [(row, column) for row in range(0, rows, side) for column in range(0, columns, side)]

        def read(place: tuple[int, int]) -> UInt8Array:
            row, column = place
            return self.read(selection, column, row, min(side, columns - column), min(side, rows - row))

        pixels = np.empty((rows, columns, 3), np.uint8)
        for (row, column), tile in zip(places, ordered_map(read, places), strict=True):
            pixels[row : row + side, column : column + side] = tile
        return pixels, selection

    def close(self) -> None:
        """Release the file."""
        self.reader.close()

    def __enter__(self) -> "Slide":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_slide(
    path: str | Path, *, spacing_um_px: float | None = None, force: bool = False, cache_bytes: int = CACHE_BYTES
) -> Slide:
    """Open a whole slide.

    OpenSlide is the reference. For TIFF files a faster reader takes its place where sample regions have the same
    pixels. Striped TIFF and the coarse levels of OME-TIFF are read by tifffile alone, PNG and JPEG by Pillow.

    Parameters
    ----------
    path : str or Path
        The slide's file.
    spacing_um_px : float or None
        µm per level-0 pixel, instead of what the file says. Needed where the file says nothing.
    force : bool
        Take the given spacing although that of the file differs from it by more than a factor of 1.5.
    cache_bytes : int
        Decoded tiles that the fast reader keeps.

    Returns
    -------
    Slide

    Raises
    ------
    DataError
        The file is missing, damaged, or not a brightfield slide; its µm per pixel is unknown, or outside 0.1 to 2
        and not given; or the given one contradicts it.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; specify a slide file")
    reader, notes, shrinking = open_reader(path, cache_bytes)
    try:
        spacing, source = _checked_spacing(path, reader.metadata, spacing_um_px, force)
    except DataError:
        reader.close()
        raise
    stated = reader.metadata.spacing_um_px
    if stated is not None and abs(stated - spacing) > _SPACING_AGREEMENT * stated:
        notes = (*notes, f"the given pixel size of {spacing:.4g} µm overrides {stated:.4g} µm of the file")
        log.warning("%s: %s", path, notes[-1])
    return Slide(path, reader, spacing, source, notes, shrinking)


def fingerprint(path: Path) -> str:
    """Return a SHA-256 of a file's size and its first and last megabyte."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(1 << 20))
        file.seek(max(0, size - (1 << 20)))
        digest.update(file.read())
    return digest.hexdigest()


def _mean_over_area(pixels: UInt8Array, factor: int) -> UInt8Array:
    return np.asarray(Image.fromarray(pixels).reduce(factor))


def _checked_spacing(path: Path, metadata: SlideMetadata, given: float | None, force: bool) -> tuple[float, str]:
    stated = metadata.spacing_um_px
    plausible = stated is not None and LEAST_SPACING_UM_PX <= stated <= LARGEST_SPACING_UM_PX
    if given is not None:
        if not given > 0:
            raise DataError(f"{path}: the pixel size must be above 0 µm; got {given}")
        if (
            stated is not None
            and plausible
            and not force
            and max(given / stated, stated / given) > _LARGEST_CONTRADICTION
        ):
            raise DataError(
                f"{path}: the given pixel size of {given:.4g} µm contradicts {stated:.4g} µm of the file "
                f"({metadata.spacing_source}); at a wrong scale, predictions are meaningless; leave out --mpp "
                "(spacing_um_px), correct it, or use --force to accept it"
            )
        return given, "given"
    if stated is None:
        raise DataError(
            f"{path}: unknown pixel size ({metadata.spacing_source}); set it with --mpp (spacing_um_px), such as 0.25 "
            "for a 40× scan, or with a csv that has a row for this slide; at a wrong scale, predictions are meaningless"
        )
    if not plausible:
        raise DataError(
            f"{path}: the pixel size in the file, {stated:g} µm ({metadata.spacing_source}), is outside "
            f"{LEAST_SPACING_UM_PX:g} to {LARGEST_SPACING_UM_PX:g} µm; set the correct value with --mpp (spacing_um_px)"
        )
    return stated, metadata.spacing_source
