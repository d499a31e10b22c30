"""Decode image files to patches."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

import numpy as np
from PIL import Image, UnidentifiedImageError

from sentinode.data.io.files import Files
from sentinode.data.types import (
    DEFAULT_OPTIONS,
    PATCH_SHAPE,
    PATCH_SIZE_PX,
    IndexArray,
    ReadOptions,
    Resize,
    UInt8Array,
)
from sentinode.errors import ConfigError, DataError, first_line

FORMATS = ("JPEG", "PNG", "TIFF")
# Patches are small: a larger image is a slide, or a decompression bomb.
MAX_SIDE_PX = 4096
# Room for a color profile and for what a camera or scanner wrote.
PROFILE_BYTES = 4_000_000


def check_resize(resize: str) -> Resize:
    """Return `resize` when it is a known treatment of other image sizes.

    Raises
    ------
    ConfigError
        It is not; the message lists the known ones.
    """
    if resize not in get_args(Resize):
        raise ConfigError(f"resize must be one of {', '.join(get_args(Resize))}; got {resize!r}")
    return resize  # type: ignore[return-value]


def decode_patch(
    content: bytes, where: str, options: ReadOptions = DEFAULT_OPTIONS, ignore_alpha: bool = False
) -> UInt8Array:
    """Decode an image file to a patch.

    Parameters
    ----------
    content : bytes
        Content of a jpg, png or tif file.
    where : str
        Name of the file in messages.
    options : ReadOptions
        Treatment of images that are not 96 × 96 px: ``"error"``; ``"crop"`` keeps the center, and both sides must be
        at least 96 px; ``"resample"`` scales the image, which must be square.
    ignore_alpha : bool, default=False
        Drop an alpha channel whatever it holds, for sources that are known to store a meaningless one.

    Returns
    -------
    ndarray of uint8, shape (96, 96, 3)
        RGB pixels.

    Raises
    ------
    DataError
        The file is not an image, truncated, not 8-bit color, transparent, or of a size that `options` do not allow.
    """
    with _open(content, where) as image:
        box = _crop_box(image.size, where, options.resize)
        image.load()
        is_plain = image.mode == "RGB" and "transparency" not in image.info
        pixels = image if is_plain else image.convert("RGB") if ignore_alpha else _to_rgb(image, where)
        if box is not None:
            pixels = pixels.crop(box)
        if pixels.size != (PATCH_SIZE_PX, PATCH_SIZE_PX):
            pixels = pixels.resize((PATCH_SIZE_PX, PATCH_SIZE_PX), Image.Resampling.LANCZOS)
        return np.asarray(pixels)


def decode_image(content: bytes, where: str) -> UInt8Array:
    """Decode an image of any size up to 4096 px a side, such as the target of a stain normalization.

    Parameters
    ----------
    content : bytes
        Content of a jpg, png or tif file.
    where : str
        Name of the file in messages.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        RGB pixels.

    Raises
    ------
    DataError
        The file is not an image, truncated, not 8-bit color, transparent, or too large.
    """
    with _open(content, where) as image:
        if max(image.size) > MAX_SIDE_PX:
            raise DataError(
                f"{where}: {image.width} × {image.height} px is larger than {MAX_SIDE_PX} px a side; use a part of it"
            )
        return np.asarray(_to_rgb(image, where))


@contextmanager
def _open(content: bytes, where: str) -> Iterator[Image.Image]:
    """Open an image file and check its kind; any error inside the block is raised as a `DataError`."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_kind(image, where)
            _check_bytes(len(content), image.size, where)
            if image.format == "PNG":
                _verify_png(content)
            yield image
    except DataError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for damaged files, TypeError and struct.error among them.
        reason = "not a jpg, png or tif" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise DataError(f"{where}: unreadable image ({reason}); replace or remove it, or use --skip-bad") from error


def _verify_png(content: bytes) -> None:
    # Pillow does not verify the checksums of the pixels when it decodes.
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        image.verify()


def _check_kind(image: Image.Image, where: str) -> None:
    if image.mode not in ("RGB", "RGBA", "P"):
        raise DataError(f"{where}: image mode {image.mode}, where 8-bit color (RGB) is expected; convert it to RGB")
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise DataError(f"{where}: 16 bits per channel, where 8-bit color (RGB) is expected; convert it to RGB")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise DataError(f"{where}: {frames} images in one file, where one patch is expected; save each in its own file")


def _check_bytes(size_bytes: int, size: tuple[int, int], where: str) -> None:
    """Reject a file much longer than its pixels: a JPEG with a thousand scans would take minutes to decode."""
    limit = 4 * 3 * size[0] * size[1] + PROFILE_BYTES
    if size_bytes > limit:
        raise DataError(
            f"{where}: {size_bytes / 1e6:,.1f} MB for {size[0]} × {size[1]} px, where at most {limit / 1e6:,.1f} MB "
            "are expected; save it again, or remove it"
        )


def _crop_box(size: tuple[int, int], where: str, resize: Resize) -> tuple[int, int, int, int] | None:
    """Return the box to crop, if any.

    Raises
    ------
    DataError
        The size is not allowed.
    """
    width, height = size
    if size == (PATCH_SIZE_PX, PATCH_SIZE_PX):
        return None
    found = f"{where}: {width} × {height} px, where {PATCH_SIZE_PX} × {PATCH_SIZE_PX} px is expected"
    if max(size) > MAX_SIDE_PX:
        raise DataError(f"{found}; an image of more than {MAX_SIDE_PX} px a side is not a patch; cut patches from it")
    if resize == "crop":
        if min(size) < PATCH_SIZE_PX:
            raise DataError(f"{found}; the image is too small to crop; --resize resample enlarges it")
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
            raise DataError(f"{where}: partly transparent, so its colors are not defined; flatten it to RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class ImageFiles:
    """Reader of image files, one per patch.

    Attributes
    ----------
    files : Files
        The files.
    names : sequence of str
        Names of the images.
    options : ReadOptions
        See `decode_patch`.
    ignore_alpha : bool
        See `decode_patch`.
    """

    files: Files
    names: Sequence[str]
    options: ReadOptions = DEFAULT_OPTIONS
    ignore_alpha: bool = False

    def read(self, rows: IndexArray) -> UInt8Array:
        """Decode the files of these rows."""
        out = np.empty((len(rows), *PATCH_SHAPE), dtype=np.uint8)
        for position, row in enumerate(rows):
            name = self.names[row]
            out[position] = decode_patch(
                self.files.read(name), self.files.locate(name), self.options, self.ignore_alpha
            )
        return out

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the stamp of each file with the options that decide its pixels."""
        decoding = f"{self.options.resize} {self.ignore_alpha}"
        return [f"{self.files.stamp(self.names[row])} {decoding}" for row in rows]
