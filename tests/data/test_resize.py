"""Images that are not 96 × 96 px: refused, cropped or resampled, as asked and never otherwise."""

import io

import numpy as np
import pytest
from PIL import Image
from tests import forms

from sentinode import open_patches
from sentinode.data.cache.store import list_cache
from sentinode.errors import ConfigError


@pytest.fixture(scope="module")
def tissue(mini) -> np.ndarray:
    """A real field of 480 × 480 px, laid together from patches."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in mini.read(range(25)).reshape(5, 5, 96, 96, 3)])


def cut(tissue: np.ndarray, width: int, height: int) -> np.ndarray:
    return tissue[:height, :width]


def open_one(pixels: np.ndarray, tmp_path, resize: str, container: str = "folder"):
    return open_patches(forms.write({"a.png": forms.encode(pixels)}, tmp_path / "images", container), resize=resize)


@pytest.mark.parametrize("container", forms.CONTAINERS)
@pytest.mark.parametrize("resize", ["error", "crop", "resample"])
def test_a_patch_of_the_right_size_stays_as_it_is(tissue, resize, container, tmp_path):
    pixels = cut(tissue, 96, 96)
    assert np.array_equal(open_one(pixels, tmp_path, resize, container).read()[0], pixels)


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
def test_a_whole_slide_is_no_patch_however_it_should_fit(resize, tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4097, 4097), "pink").save(buffer, "PNG")
    path = forms.write({"slide.png": buffer.getvalue()}, tmp_path / "images")
    forms.refused(open_patches(path, resize=resize).read, "slide.png", "4097 × 4097 px", "not a patch")


def test_a_way_to_fit_that_there_is_not_is_refused(tissue, tmp_path):
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
