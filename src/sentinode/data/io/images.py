"""Decode image files to patches."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from sentinode.data.io.files import Files
from sentinode.data.types import (
    DEFAULT_OPTIONS,
    PATCH_SHAPE,
    PATCH_SIZE_PX,
    PATCH_SPACING_UM_PX,
    IndexArray,
    ReadOptions,
    UInt8Array,
)
from sentinode.errors import DataError, first_line

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "WEBP")
# Patches are small: a larger image is a slide, or a decompression bomb.
MAX_SIDE_PX = 4096
# Room for a color profile and for what a camera or scanner wrote.
PROFILE_BYTES = 4_000_000
WHITE = (255, 255, 255)
_PATCH_SIZE = (PATCH_SIZE_PX, PATCH_SIZE_PX)
_SAMPLES_PER_PIXEL, _BITS_PER_SAMPLE, _SAMPLE_FORMAT, _FLOAT = 277, 258, 339, 3


def decode_patch(
    content: bytes, where: str, options: ReadOptions = DEFAULT_OPTIONS, ignore_alpha: bool = False
) -> UInt8Array:
    """Decode an image file to a patch.

    Parameters
    ----------
    content : bytes
        Content of an image file.
    where : str
        Name of the file in messages.
    options : ReadOptions
        Treatment of other sizes and scales, of transparent and of gray images.
    ignore_alpha : bool, default=False
        Drop an alpha channel whatever it holds, for sources that are known to store a meaningless one.

    Returns
    -------
    ndarray of uint8, shape (96, 96, 3)
        RGB pixels.

    Raises
    ------
    DataError
        The file is not an image or truncated, or `options` do not allow its size, bit depth, color mode or
        transparency.
    """
    with _open(content, where, options) as image:
        check_size(image.size, where, options)
        image.load()
        is_plain = image.mode == "RGB" and "transparency" not in image.info
        pixels = image if is_plain else image.convert("RGB") if ignore_alpha else _to_rgb(image, where, options)
        return _fit(pixels, where, options)


def decode_image(content: bytes, where: str) -> UInt8Array:
    """Decode an image of any size up to 4096 px a side, such as the target of a stain normalization.

    Parameters
    ----------
    content : bytes
        Content of an image file.
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
    with _open(content, where, DEFAULT_OPTIONS) as image:
        if max(image.size) > MAX_SIDE_PX:
            raise DataError(
                f"{where}: {image.width} × {image.height} px is larger than {MAX_SIDE_PX} px a side; use a part of it"
            )
        return np.asarray(_to_rgb(image, where, DEFAULT_OPTIONS))


def fit_array(pixels: UInt8Array, where: str, options: ReadOptions) -> UInt8Array:
    """Resample, crop or pad an RGB image to the size of a patch, as `options` say.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
        The image.
    where : str
        Name of the image in messages.
    options : ReadOptions
        Treatment of other sizes and scales.

    Returns
    -------
    ndarray of uint8, shape (96, 96, 3)
        The patch.

    Raises
    ------
    DataError
        `options` do not allow the size.
    """
    return _fit(Image.fromarray(pixels), where, options)


def check_size(size: tuple[int, int], where: str, options: ReadOptions) -> tuple[int, int]:
    """Return the size (width, height) of an image after it is resampled to the scale of the patches.

    Raises
    ------
    DataError
        `options` do not allow the size.
    """
    width, height = size
    if max(size) > MAX_SIDE_PX:
        raise DataError(
            f"{where}: {width} × {height} px; an image of more than {MAX_SIDE_PX} px a side is not a patch; cut "
            "patches from it"
        )
    found = f"{where}: {width} × {height} px"
    if options.spacing_um_px is not None:
        factor = options.spacing_um_px / PATCH_SPACING_UM_PX
        width, height = (max(1, round(side * factor)) for side in size)
        found = f"{found} of {options.spacing_um_px} µm are {width} × {height} px of {PATCH_SPACING_UM_PX} µm"
        # Tiles are cut to whole pixels, so that a side may be one pixel off.
        width, height = (PATCH_SIZE_PX if abs(side - PATCH_SIZE_PX) <= 1 else side for side in (width, height))
    if (width, height) == _PATCH_SIZE or options.resize == "pad":
        return width, height
    found = f"{found}; expected {PATCH_SIZE_PX} × {PATCH_SIZE_PX} px"
    if options.resize == "crop" and min(width, height) < PATCH_SIZE_PX:
        raise DataError(f"{found}; the image is too small to crop; use --resize pad")
    if options.resize == "resample" and width != height:
        raise DataError(f"{found}; resampling would distort an image that is not square; use --resize pad")
    if options.resize == "error":
        raise DataError(f"{found}; use --resize crop, pad or resample")
    return width, height


@contextmanager
def _open(content: bytes, where: str, options: ReadOptions) -> Iterator[Image.Image]:
    """Open an image file and check its kind; any error inside the block is raised as a `DataError`."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_kind(image, where, options)
            _check_bytes(len(content), image.size, where)
            if image.format == "PNG":
                _verify_png(content)
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{where}: an image of more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels is not a patch; cut patches "
            "from it, or read a whole slide with sentinode scan"
        ) from error
    except Exception as error:  # Pillow raises a dozen kinds for damaged files, TypeError and struct.error among them.
        reason = _unknown_kind(content) if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise DataError(f"{where}: unreadable image ({reason}); replace or remove it, or use --skip-bad") from error


def _unknown_kind(content: bytes) -> str:
    """Describe a file that Pillow does not recognize."""
    try:
        header_bytes = 16 if content[2:3] == b"+" or content[3:4] == b"+" else 8  # BigTIFF has a longer header.
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:header_bytes])
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        kind = "floating-point" if _first(tags.get(_SAMPLE_FORMAT)) == _FLOAT else "integer"
        bits = _first(tags[_BITS_PER_SAMPLE])
        return f"a TIFF with {tags.get(_SAMPLES_PER_PIXEL, 1)} channels of {bits}-bit {kind} numbers, not 8-bit RGB"
    except Exception:  # Not a TIFF, or a damaged one.
        return f"none of {', '.join(FORMATS)}"


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _verify_png(content: bytes) -> None:
    # Pillow does not verify the checksums of the pixels when it decodes.
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        image.verify()


def _check_kind(image: Image.Image, where: str, options: ReadOptions) -> None:
    expected = "expected 8-bit color (RGB); convert it to RGB"
    if image.mode in ("L", "LA", "1"):
        if options.gray == "error":
            raise DataError(f"{where}: a gray image; {expected}, or use --gray rgb")
    elif image.mode not in ("RGB", "RGBA", "P"):
        raise DataError(f"{where}: image mode {image.mode}; {expected}")
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise DataError(f"{where}: 16 bits per channel; {expected}")
    channels = image.tag_v2.get(_SAMPLES_PER_PIXEL, 3) if isinstance(image, TiffImagePlugin.TiffImageFile) else 3
    if image.mode == "RGB" and channels > 3:
        raise DataError(f"{where}: a TIFF with {channels} channels; {expected}")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise DataError(f"{where}: {frames} images in one file; expected one patch; save each in its own file")


def _check_bytes(size_bytes: int, size: tuple[int, int], where: str) -> None:
    """Reject a file much longer than its pixels: a JPEG with a thousand scans would take minutes to decode."""
    limit = 4 * 3 * size[0] * size[1] + PROFILE_BYTES
    if size_bytes > limit:
        raise DataError(
            f"{where}: {size_bytes / 1e6:,.1f} MB for {size[0]} × {size[1]} px; expected at most {limit / 1e6:,.1f} "
            "MB; save it again, or remove it"
        )


def _to_rgb(image: Image.Image, where: str, options: ReadOptions) -> Image.Image:
    if "transparency" in image.info or image.mode == "LA":
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        lowest, _ = image.getchannel("A").getextrema()
        if lowest != 255 and options.flatten == "error":
            raise DataError(
                f"{where}: partly transparent, so its colors are not defined; save it as RGB, or use --flatten white"
            )
        background = Image.new("RGBA", image.size, (*WHITE, 255))
        image = Image.alpha_composite(background, image)
    return image.convert("RGB")


def _fit(image: Image.Image, where: str, options: ReadOptions) -> UInt8Array:
    size = check_size(image.size, where, options)
    if options.resize == "resample":
        size = _PATCH_SIZE
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    if size != _PATCH_SIZE:  # Keep the center; what lies outside the image is white.
        width, height = size
        left, top = (width - PATCH_SIZE_PX) // 2, (height - PATCH_SIZE_PX) // 2
        patch = Image.new("RGB", _PATCH_SIZE, WHITE)
        patch.paste(image, (-left, -top))
        image = patch
    return np.asarray(image)


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
            where = self.files.locate(name)
            out[position] = decode_patch(self.files.read(name), where, self.options, self.ignore_alpha)
        return out

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the stamp of each file with the options that decide its pixels."""
        decoding = f"{self.options.decoding} {self.ignore_alpha}"
        return [f"{self.files.stamp(self.names[row])} {decoding}" for row in rows]
