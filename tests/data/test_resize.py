"""Images of other sizes, scales and color modes: an error, or changed as asked and never otherwise."""

import io

import numpy as np
import pytest
from PIL import Image
from tests import forms

from sentinode import open_patches
from sentinode.data.cache.store import list_cache
from sentinode.data.tables import write_patch_table
from sentinode.errors import ConfigError


@pytest.fixture(scope="module")
def tissue(mini) -> np.ndarray:
    """A real field of 480 × 480 px, laid together from patches."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in mini.read(range(25)).reshape(5, 5, 96, 96, 3)])


def cut(tissue: np.ndarray, width: int, height: int) -> np.ndarray:
    return tissue[:height, :width]


def open_one(pixels: np.ndarray, tmp_path, resize: str = "error", **options):
    return open_patches(forms.write({"a.png": forms.encode(pixels)}, tmp_path / "images"), resize=resize, **options)


@pytest.mark.parametrize("resize", ["error", "crop", "pad", "resample"])
def test_a_patch_of_the_right_size_stays_as_it_is(tissue, resize, tmp_path):
    pixels = cut(tissue, 96, 96)
    assert np.array_equal(open_one(pixels, tmp_path, resize).read()[0], pixels)


@pytest.mark.parametrize("size", [(97, 96), (96, 99), (100, 120), (128, 97), (480, 301)])
def test_crop_keeps_the_centre_and_its_scale(tissue, size, tmp_path):
    pixels = cut(tissue, *size)
    left, top = (size[0] - 96) // 2, (size[1] - 96) // 2
    found = open_one(pixels, tmp_path, "crop").read()[0]
    assert np.array_equal(found, pixels[top : top + 96, left : left + 96])
    # What is cut off on two opposite sides is the same, give or take one pixel.
    assert abs((size[0] - 96 - left) - left) <= 1 and abs((size[1] - 96 - top) - top) <= 1


@pytest.mark.parametrize("side", [48, 95, 97, 192, 480])
def test_resample_keeps_the_whole_in_another_scale(tissue, side, tmp_path):
    pixels = cut(tissue, side, side)
    found = open_one(pixels, tmp_path, "resample").read()[0]
    lanczos = np.asarray(Image.fromarray(pixels).resize((96, 96), Image.Resampling.LANCZOS))
    assert np.array_equal(found, lanczos)
    assert np.allclose(found.mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), atol=1)


def test_an_opaque_image_with_an_alpha_channel_fits_like_any_other(tissue, tmp_path):
    pixels = cut(tissue, 120, 120)
    opaque = np.dstack([pixels, np.full((120, 120), 255, np.uint8)])
    for resize in ("crop", "resample"):
        plain = open_one(pixels, tmp_path / resize / "rgb", resize).read()
        assert np.array_equal(open_one(opaque, tmp_path / resize / "rgba", resize).read(), plain)


@pytest.mark.parametrize(
    ("resize", "size", "reason"),
    [
        ("error", (97, 96), "use --resize crop"),
        ("error", (192, 192), "use --resize crop"),
        ("error", (95, 95), "use --resize crop"),
        ("crop", (95, 200), "too small to crop"),
        ("crop", (200, 95), "too small to crop"),
        ("resample", (96, 97), "not square"),
        ("resample", (192, 96), "not square"),
    ],
)
def test_what_would_distort_or_enlarge_unasked_is_refused(tissue, resize, size, reason, tmp_path):
    opened = open_one(cut(tissue, *size), tmp_path, resize)
    forms.refused(opened.read, "a.png", f"{size[0]} × {size[1]} px", reason)
    forms.refused(lambda: opened.cached(tmp_path / "cache"), "a.png", f"{size[0]} × {size[1]} px", reason)


@pytest.mark.parametrize("resize", ["error", "crop", "resample"])
def test_a_whole_slide_is_refused_as_a_patch_for_every_resize_option(resize, tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4097, 4097), "pink").save(buffer, "PNG")
    path = forms.write({"slide.png": buffer.getvalue()}, tmp_path / "images")
    forms.refused(open_patches(path, resize=resize).read, "slide.png", "4097 × 4097 px", "not a patch")


def test_an_unknown_resize_option_is_refused(tissue, tmp_path):
    forms.refused(
        lambda: open_one(cut(tissue, 96, 96), tmp_path, "squeeze"), "'squeeze'", "crop", "resample", error=ConfigError
    )


def test_crop_and_resample_of_the_same_file_do_not_share_a_cache(tissue, tmp_path):
    pixels = cut(tissue, 192, 192)
    cropped = open_one(pixels, tmp_path, "crop").cached(tmp_path / "cache")
    resampled = open_one(pixels, tmp_path, "resample").cached(tmp_path / "cache")
    assert np.array_equal(cropped.read()[0], pixels[48:144, 48:144])
    assert not np.array_equal(cropped.read(), resampled.read())
    assert len(list_cache(tmp_path / "cache")) == 2


@pytest.mark.parametrize("size", [(50, 32), (96, 40), (50, 120), (120, 130)])
def test_pad_fills_up_with_white_around_the_center(tissue, size, tmp_path):
    pixels = cut(tissue, *size)
    found = open_one(pixels, tmp_path, "pad").read()[0]
    expected = np.full((96, 96, 3), 255, np.uint8)
    starts = [(side - 96) // 2 for side in pixels.shape[:2]]
    inner = tuple(
        slice(max(0, -start), max(0, -start) + min(96, side)) for start, side in zip(starts, pixels.shape, strict=False)
    )
    outer = tuple(
        slice(max(0, start), max(0, start) + min(96, side)) for start, side in zip(starts, pixels.shape, strict=False)
    )
    expected[inner] = pixels[outer]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("resize", "size"), [("crop", (50, 32)), ("crop", (50, 120)), ("resample", (50, 32))])
def test_the_remedy_of_a_refused_size_reads_it(tissue, resize, size, tmp_path):
    forms.refused(open_one(cut(tissue, *size), tmp_path, resize).read, "use --resize pad")
    assert open_one(cut(tissue, *size), tmp_path, "pad").read().shape == (1, 96, 96, 3)


def test_images_of_another_scale_are_resampled_to_that_of_the_patches(tissue, tmp_path):
    # 373 px of 0.25 µm are 95.9 px of 0.972 µm: one pixel off, as tiles of whole pixels are.
    found = open_one(cut(tissue, 373, 373), tmp_path, spacing_um_px=0.25).read()[0]
    expected = Image.fromarray(cut(tissue, 373, 373)).resize((96, 96), Image.Resampling.LANCZOS)
    assert np.array_equal(found, expected)
    forms.refused(
        open_one(cut(tissue, 256, 256), tmp_path, spacing_um_px=0.5).read, "256 × 256 px of 0.5 µm are 132 × 132 px"
    )
    cropped = open_one(cut(tissue, 256, 256), tmp_path, "crop", spacing_um_px=0.5).read()[0]
    scaled = np.asarray(Image.fromarray(cut(tissue, 256, 256)).resize((132, 132), Image.Resampling.LANCZOS))
    assert np.array_equal(cropped, scaled[18:114, 18:114])


def test_transparent_tiles_are_put_on_white_on_request(tissue, tmp_path):
    pixels = cut(tissue, 96, 96)
    edge = np.dstack([pixels, np.full((96, 96), 255, np.uint8)])
    edge[:, 80:] = 0
    forms.refused(open_one(edge, tmp_path).read, "partly transparent", "--flatten white")
    found = open_one(edge, tmp_path, flatten="white").read()[0]
    assert np.array_equal(found[:, :80], pixels[:, :80]) and (found[:, 80:] == 255).all()


def test_gray_images_are_read_on_request(tissue, tmp_path):
    gray = cut(tissue, 96, 96)[..., 0]
    forms.refused(open_one(gray, tmp_path).read, "a gray image", "--gray rgb")
    assert np.array_equal(open_one(gray, tmp_path, gray="rgb").read()[0], np.dstack([gray] * 3))


@pytest.mark.parametrize(
    "options",
    [
        {"spacing_um_px": 0}, {"spacing_um_px": 250}, {"flatten": "black"}, {"gray": "yes"}, {"group_by": "slide"},
        {"patient_from": "no group"}, {"patient_from": "("}, {"classes": {"TUM": 2}},
    ],
)  # fmt: skip
def test_impossible_options_are_refused(tissue, options, tmp_path):
    name = next(iter(options)) if "classes" not in options else "class"
    forms.refused(lambda: open_one(cut(tissue, 96, 96), tmp_path, **options), name, error=ConfigError)


def test_a_table_remembers_how_its_patches_were_read(tissue, tmp_path):
    files = {f"TUM/{n}.png": forms.encode(cut(tissue, 40 + n, 60)) for n in range(3)}
    path = forms.write(files | {"STR/4.png": forms.encode(cut(tissue, 96, 96))}, tmp_path / "data")
    opened = open_patches(path, resize="pad", classes={"TUM": 1, "*": 0}).cached()
    write_patch_table(opened, str(path), tmp_path / "table.csv")
    again = open_patches(tmp_path / "table.csv").cached()
    assert again.fingerprint == opened.fingerprint
    write_patch_table(again.select([1, 0]), str(tmp_path / "table.csv"), tmp_path / "other" / "table.csv")
    assert np.array_equal(open_patches(tmp_path / "other" / "table.csv").read(), opened.read([1, 0]))
