"""Image files that are no patches are found before training, and one line names the file."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.cache.store import list_cache


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 60))


@pytest.fixture(scope="module")
def patch(few) -> np.ndarray:
    return few.read([0])[0]


def saved(image: Image.Image, ending: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, forms.FORMATS[ending], **options)
    return buffer.getvalue()


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """Write 16-bit RGB, which Pillow cannot write."""
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels.astype(int) * 257)
    header = struct.pack(">IIBBBBB", 96, 96, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def half_transparent(pixels: np.ndarray) -> Image.Image:
    alpha = np.full((96, 96, 1), 255, np.uint8)
    alpha[:48] = 0
    return Image.fromarray(np.concatenate([pixels, alpha], axis=2))


IMAGES = {
    "truncated jpg": ("jpg", lambda p: forms.encode(p, "jpg")[:-200], "unreadable"),
    "truncated png": ("png", lambda p: forms.encode(p, "png")[:-200], "unreadable"),
    "truncated tif": ("tif", lambda p: forms.encode(p, "tif")[:-200], "unreadable"),
    "much longer than its pixels": (
        "jpg",
        lambda p: forms.encode(p, "jpg") + bytes(4_200_000),
        "4.2 MB for 96 × 96 px",
    ),
    "empty file": ("jpg", lambda p: b"", "unreadable image"),
    "text": ("png", lambda p: b"no picture\n" * 99, "unreadable image"),
    "gif named png": ("png", lambda p: b"GIF89a" + bytes(500), "unreadable image"),
    "too small": ("png", lambda p: forms.encode(p[:, :95]), "95 × 96 px"),
    "too large": ("tif", lambda p: forms.encode(np.tile(p, (2, 1, 1)), "tif"), "96 × 192 px"),
    "far too large": ("png", lambda p: saved(Image.new("RGB", (4097, 96)), "png"), "4097 × 96 px"),
    "grayscale": ("jpg", lambda p: forms.encode(p[..., 0], "jpg"), "gray image"),
    "gray of 16 bits, png": ("png", lambda p: forms.encode(p[..., 0].astype(np.uint16) * 257), "mode I;16"),
    "gray of 16 bits, tif": ("tif", lambda p: forms.encode(p[..., 0].astype(np.uint16) * 257, "tif"), "mode I;16"),
    "color of 16 bits": ("png", png_of_16_bits, "8-bit"),
    "cmyk": ("jpg", lambda p: saved(Image.fromarray(p).convert("CMYK"), "jpg"), "mode CMYK"),
    "transparent": ("png", lambda p: saved(half_transparent(p), "png"), "transparent"),
    "transparent, palette": ("png", lambda p: saved(half_transparent(p).quantize(), "png"), "transparent"),
    "transparent, one color": (
        "png",
        lambda p: saved(Image.fromarray(p), "png", transparency=tuple(map(int, p[0, 0]))),
        "transparent",
    ),
    "two pages": (
        "tif",
        lambda p: saved(Image.fromarray(p), "tif", save_all=True, append_images=[Image.fromarray(p)]),
        "2 images",
    ),
    "animated": (
        "png",
        lambda p: saved(Image.fromarray(p), "png", save_all=True, append_images=[Image.fromarray(255 - p)]),
        "2 images",
    ),
}


@pytest.mark.parametrize("container", ["folder", "deflated"])
@pytest.mark.parametrize("broken", IMAGES)
def test_an_image_that_is_no_patch_is_found_before_training(few, patch, broken, container, tmp_path):
    ending, break_it, reason = IMAGES[broken]
    files, _ = forms.class_folders(few, ending)
    name = sorted(files)[17]
    files[name] = break_it(patch)
    path = forms.write(files, tmp_path / "patches", container)
    opened = open_patches(path)
    forms.refused(lambda: opened.cached(tmp_path / "cache"), str(path), name, reason)
    assert not any(entry.patches == len(opened.split("train")) for entry in list_cache(tmp_path / "cache"))


@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 600), marks=pytest.mark.slow)], ids=len)
@pytest.mark.parametrize("ending", forms.FORMATS)
def test_damaged_images_are_read_or_refused(patch, ending, seeds, tmp_path):
    content = forms.encode(patch, ending)
    path = tmp_path / f"damaged.{ending}"
    for seed in seeds:
        damaged, draw = bytearray(content), random.Random(seed)
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(400)] = draw.randrange(256)
        path.write_bytes(damaged)
        forms.accepted_or_refused(path)


def test_images_of_more_channels_or_other_numbers_are_named_as_what_they_are(patch, tmp_path):
    """Pillow would read the first three of five channels, and does not know floating-point colors."""
    for name, pixels, named in (
        ("five.tif", np.dstack([patch, patch[..., :2]]), "a TIFF with 5 channels"),
        ("float.tif", (patch / 255).astype(np.float32), "a TIFF with 3 channels of 32-bit floating-point numbers"),
    ):
        (tmp_path / name).write_bytes(plain_tiff(pixels))
        forms.refused(open_patches(tmp_path / name).read, name, named)


def plain_tiff(pixels: np.ndarray) -> bytes:
    """Write an uncompressed TIFF of any number of channels, which Pillow cannot write."""
    height, width, channels = pixels.shape
    bits, kind = pixels.dtype.itemsize * 8, 3 if pixels.dtype.kind == "f" else 1
    entries = [
        (256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * channels), (259, 3, [1]), (262, 3, [2]),
        (273, 4, [0]), (277, 3, [channels]), (278, 3, [height]), (279, 4, [pixels.nbytes]),
        (338, 3, [0] * (channels - 3)), (339, 3, [kind] * channels),
    ]  # fmt: skip
    entries = [entry for entry in entries if entry[2]]
    first = 8 + 2 + 12 * len(entries) + 4
    tail, directory = b"", b""
    for tag, size, values in entries:
        packed = struct.pack(f"<{len(values)}{'HI'[size - 3]}", *values)
        if len(packed) > 4:
            tail, packed = tail + packed, struct.pack("<I", first + len(tail))
        directory += struct.pack("<HHI", tag, size, len(values)) + packed.ljust(4, b"\0")
    place = directory.index(struct.pack("<HHI", 273, 4, 1)) + 8
    directory = directory[:place] + struct.pack("<I", first + len(tail)) + directory[place + 4 :]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + tail + pixels.tobytes()
