"""From bytes to pixels: image files are decoded, checked, and never squeezed in silence."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, UnidentifiedImageError

from sentinode.data.io.files import Files
from sentinode.data.types import PATCH_SHAPE, PATCH_SIZE_PX, IndexArray, UInt8Array
from sentinode.errors import ConfigError, DataError, first_line

Resize = Literal["error", "crop", "resample"]
FORMATS = ("JPEG", "PNG", "TIFF")
# A patch is small: whatever is larger than this was never one, and may be a bomb.
MAX_SIDE_PX = 4096
# Beside its pixels a file may hold a colour profile and what a camera or a scanner wrote.
PROFILE_BYTES = 4_000_000


def check_resize(resize: str) -> Resize:
    """Return `resize` when it is one of the ways to treat patches of another size.

    Raises
    ------
    ConfigError
        It is none of them.
    """
    if resize not in get_args(Resize):
        raise ConfigError(f"resize must be one of {', '.join(get_args(Resize))}; got {resize!r}")
    return resize  # type: ignore[return-value]


def decode_patch(content: bytes, where: str, resize: Resize = "error", opaque: bool = False) -> UInt8Array:
    """Decode one image file into one patch.

    Parameters
    ----------
    content
        The bytes of a jpg, png or tif.
    where
        What error messages call the file.
    resize
        What to do with an image that is not 96 × 96 px: ``"error"`` it; ``"crop"`` its centre (both sides must
        be at least 96 px); ``"resample"`` it (it must be square).
    opaque
        The source is known to mean its colours whatever its transparency says.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape ``(96, 96, 3)``.

    Raises
    ------
    DataError
        Not an image, truncated, not 8-bit colour, transparent, or of a size that `resize` does not allow.
    """
    with _opened(content, where) as image:
        box = _check_size(image.size, where, resize)
        image.load()
        plain = image.mode == "RGB" and "transparency" not in image.info
        pixels = image if plain else image.convert("RGB") if opaque else _to_rgb(image, where)
        if box is not None:
            pixels = pixels.crop(box)
        if pixels.size != (PATCH_SIZE_PX, PATCH_SIZE_PX):
            pixels = pixels.resize((PATCH_SIZE_PX, PATCH_SIZE_PX), Image.Resampling.LANCZOS)
        return np.asarray(pixels)


def decode_image(content: bytes, where: str) -> UInt8Array:
    """Decode one image of any size up to 4096 px a side, such as a tile that shows a stain.

    Parameters
    ----------
    content
        The bytes of a jpg, png or tif.
    where
        What error messages call the file.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape ``(h, w, 3)``.

    Raises
    ------
    DataError
        Not an image, truncated, not 8-bit colour, transparent, or too large.
    """
    with _opened(content, where) as image:
        if max(image.size) > MAX_SIDE_PX:
            raise DataError(
                f"{where}: {image.width} × {image.height} px, where {MAX_SIDE_PX} px a side at most are expected; "
                "cut a part out of it"
            )
        return np.asarray(_to_rgb(image, where))


@contextmanager
def _opened(content: bytes, where: str) -> Iterator[Image.Image]:
    """Open an image file and check what it is; whatever is wrong with it inside the block is a `DataError`."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_kind(image, where)
            _check_bytes(len(content), image.size, where)
            if image.format == "PNG":
                _check_sums(content)
            yield image
    except DataError:
        raise
    except Exception as error:  # For damaged files Pillow raises a dozen kinds, TypeError and struct.error among them.
        text = first_line(error)
        reason = "not a jpg, png or tif" if isinstance(error, UnidentifiedImageError) else text
        raise DataError(
            f"{where}: unreadable image ({reason}); replace the file, take it out, or pass --skip-bad"
        ) from error


def _check_sums(png: bytes) -> None:
    """Compare the checksums of a PNG, those of its pixels too, which Pillow passes over when it decodes."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        image.verify()


def _check_kind(image: Image.Image, where: str) -> None:
    if image.mode not in ("RGB", "RGBA", "P"):
        raise DataError(f"{where}: image mode {image.mode}, where 8-bit colour (RGB) is expected; convert it to RGB")
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise DataError(f"{where}: 16 bits a channel, where 8-bit colour (RGB) is expected; convert it to RGB")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise DataError(f"{where}: {frames} images in one file, where one patch is expected; save each on its own")


def _check_bytes(size_bytes: int, size: tuple[int, int], where: str) -> None:
    """Refuse a file that is much longer than its pixels: a thousand passes over them would take minutes to decode."""
    most = 4 * 3 * size[0] * size[1] + PROFILE_BYTES
    if size_bytes > most:
        raise DataError(
            f"{where}: {size_bytes / 1e6:,.1f} MB for {size[0]} × {size[1]} px, where {most / 1e6:,.1f} MB at most are "
            "expected; save it anew, or take it out"
        )


def _check_size(size: tuple[int, int], where: str, resize: Resize) -> tuple[int, int, int, int] | None:
    """Return the box to crop, if any; refuse what `resize` does not allow."""
    width, height = size
    if size == (PATCH_SIZE_PX, PATCH_SIZE_PX):
        return None
    found = f"{where}: {width} × {height} px, where {PATCH_SIZE_PX} × {PATCH_SIZE_PX} px is expected"
    if max(size) > MAX_SIDE_PX:
        raise DataError(f"{found}; an image of more than {MAX_SIDE_PX} px a side is not a patch: cut patches from it")
    if resize == "crop":
        if min(size) < PATCH_SIZE_PX:
            raise DataError(f"{found}; it is too small to crop; --resize resample enlarges it")
        left, top = (width - PATCH_SIZE_PX) // 2, (height - PATCH_SIZE_PX) // 2
        return left, top, left + PATCH_SIZE_PX, top + PATCH_SIZE_PX
    if resize == "resample":
        if width != height:
            raise DataError(f"{found}; resampling would distort an image that is not square; use --resize crop")
        return None
    raise DataError(f"{found}; use --resize crop (the center, same scale) or --resize resample (the whole image)")


def _to_rgb(image: Image.Image, where: str) -> Image.Image:
    if "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        lowest, _ = image.getchannel("A").getextrema()
        if lowest != 255:
            raise DataError(f"{where}: partly transparent, so its colours are not certain; flatten it to RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class ImageFiles:
    """Patches that are image files, one each."""

    files: Files
    names: Sequence[str]
    resize: Resize = "error"
    opaque: bool = False

    def read(self, rows: IndexArray) -> UInt8Array:
        """Decode the files of `rows`."""
        out = np.empty((len(rows), *PATCH_SHAPE), dtype=np.uint8)
        for position, row in enumerate(rows):
            name = self.names[row]
            out[position] = decode_patch(self.files.read(name), self.files.locate(name), self.resize, self.opaque)
        return out

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return each file's stamp, and how it is resized."""
        how = f"{self.resize} opaque" if self.opaque else self.resize
        return [f"{self.files.stamp(self.names[row])} {how}" for row in rows]
