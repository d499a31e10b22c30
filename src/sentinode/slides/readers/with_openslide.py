"""The reference reader: OpenSlide."""

import contextlib
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.errors import DataError, first_line
from sentinode.extras import optional
from sentinode.slides.readers.protocol import WHITE, Level, SlideMetadata


class OpenSlideReader:
    """Reads every format that OpenSlide knows.

    An OpenSlide handle fails for good once it has met damaged data, so it is opened again after each error.
    """

    name = "openslide"

    def __init__(self, path: Path) -> None:
        self._openslide = optional("openslide", "slides")
        self.path = path
        self._lock = threading.Lock()
        self._handle = self._open()
        handle = self._handle
        self.levels = tuple(
            Level(width, height, downsample)
            for (width, height), downsample in zip(handle.level_dimensions, handle.level_downsamples, strict=True)
        )
        self.metadata = _metadata(dict(handle.properties))
        # In other formats, missing tiles have the background color.
        self.fills_missing_tiles = handle.properties.get("openslide.vendor") == "aperio"

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        """Read a rectangle; see `SlideReader.read`."""
        if not 0 <= level < len(self.levels):  # OpenSlide would return transparent pixels.
            raise DataError(f"{self.path}: there is no level {level}; it has {len(self.levels)}")
        downsample = self.levels[level].downsample
        place = round(x_px * downsample), round(y_px * downsample)
        handle = self._handle
        try:
            image = handle.read_region(place, level, (width_px, height_px))
        except self._openslide.OpenSlideError as error:
            with self._lock, contextlib.suppress(DataError):
                if self._handle is handle:
                    self._handle = self._open()
            raise DataError(
                f"{self.path}: level {level} cannot be read at x {x_px}, y {y_px} px ({first_line(error)}); "
                "the file is damaged there, copy it again"
            ) from error
        return composite(np.asarray(image), self.metadata.background)

    def close(self) -> None:
        """Release the file."""
        self._handle.close()

    def _open(self) -> Any:
        try:
            return self._openslide.OpenSlide(str(self.path))
        except self._openslide.OpenSlideUnsupportedFormatError as error:
            raise UnsupportedSlideError(f"{self.path}: not a format that OpenSlide reads") from error
        except (self._openslide.OpenSlideError, OSError) as error:
            raise DataError(
                f"{self.path}: OpenSlide cannot open it ({first_line(error)}); the file may be truncated; copy it "
                "again, and check that its companion files are in the same folder"
            ) from error


class UnsupportedSlideError(DataError):
    """OpenSlide does not know the format; another reader may."""


def composite(rgba: UInt8Array, background: tuple[int, int, int]) -> UInt8Array:
    """Lay pixels over the background color.

    Parameters
    ----------
    rgba : ndarray of uint8, shape (h, w, 4)
        Not premultiplied.
    background : tuple of int
        RGB.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)

    Examples
    --------
    >>> composite(np.zeros((1, 1, 4), np.uint8), (240, 241, 242)).tolist()
    [[[240, 241, 242]]]
    """
    alpha, pixels = rgba[..., 3], rgba[..., :3].copy()
    if alpha.min(initial=255) == 255:
        return pixels
    pixels[alpha == 0] = background  # Missing tiles and places outside; few pixels lie between.
    mixed = (alpha > 0) & (alpha < 255)
    share = alpha[mixed, None].astype(np.float32) / 255
    pixels[mixed] = np.rint(pixels[mixed] * share + np.asarray(background, np.float32) * (1 - share))
    return pixels


def _metadata(properties: dict[str, str]) -> SlideMetadata:
    spacing, source = _spacing(properties)
    bounds = tuple(_number(properties.get(f"openslide.bounds-{name}")) for name in ("x", "y", "width", "height"))
    color = properties.get("openslide.background-color", "")
    background = tuple(bytes.fromhex(color)) if len(color) == 6 else WHITE
    return SlideMetadata(
        spacing_um_px=spacing,
        spacing_source=source,
        bounds_px=tuple(int(each) for each in bounds if each is not None) if None not in bounds else None,  # type: ignore[arg-type]
        background=background,  # type: ignore[arg-type]
        has_color_profile="openslide.icc-size" in properties,
    )


def _spacing(properties: dict[str, str]) -> tuple[float | None, str]:
    """Return the mean spacing of both directions, and where it is from."""
    values = [_number(properties.get(f"openslide.mpp-{axis}")) for axis in ("x", "y")]
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return None, "openslide.mpp-x and openslide.mpp-y are not set"
    return sum(known) / len(known), "openslide.mpp-x and openslide.mpp-y"


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
