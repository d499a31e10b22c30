"""PNG and JPEG images of tissue: one level, no µm per pixel."""

from pathlib import Path

import numpy as np
from PIL import Image

from sentinode.data.types import UInt8Array
from sentinode.errors import DataError, first_line
from sentinode.slides.readers.protocol import WHITE, Level, SlideMetadata
from sentinode.slides.readers.with_openslide import composite

ENDINGS = (".png", ".jpg", ".jpeg")


class FlatImageReader:
    """Reads an image that fits into memory."""

    name = "pillow"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with Image.open(path) as image:
                if image.mode.startswith(("I", "F")):  # Pillow would cut their values off at 255.
                    raise DataError(f"{path}: a gray image of more than 8 bits; save it as RGB with 8 bits per channel")
                pixels = composite(np.asarray(image.convert("RGBA")), WHITE)
        except DataError:
            raise
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise DataError(f"{path}: an image of more than {most:,} pixels; save it as a tiled TIFF") from error
        except Exception as error:  # Pillow raises many kinds for broken files.
            raise DataError(f"{path}: not a readable image ({first_line(error)})") from error
        self._pixels = pixels
        self.levels: tuple[Level, ...] = (Level(pixels.shape[1], pixels.shape[0], 1.0),)
        self.metadata = SlideMetadata(None, "PNG and JPEG files do not state it")

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        """Read a rectangle; see `SlideReader.read`."""
        if level != 0:
            raise DataError(f"{self.path}: there is no level {level}; it has 1")
        out = np.empty((height_px, width_px, 3), np.uint8)
        out[:] = WHITE
        rows, columns, _ = self._pixels.shape
        y0, y1 = max(y_px, 0), min(y_px + height_px, rows)
        x0, x1 = max(x_px, 0), min(x_px + width_px, columns)
        if y1 > y0 and x1 > x0:
            out[y0 - y_px : y1 - y_px, x0 - x_px : x1 - x_px] = self._pixels[y0:y1, x0:x1]
        return out

    def close(self) -> None:
        """Release the pixels."""
        self._pixels = np.empty((0, 0, 3), np.uint8)
