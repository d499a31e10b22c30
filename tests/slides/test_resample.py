"""Pixels at a scale that is no whole fraction: the mean over area, and the same in every block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sentinode.slides import open_slide
from sentinode.slides.slide import LevelSelection

SHRINKS = (0.3, 0.648, 0.81, 1.24, 1.5, 1.62, 2.5, 3.471)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """An open slide of noise, with its pixels; Pillow clips between its two passes, so there is no black and white."""
    pixels = np.random.default_rng(0).integers(60, 190, (300, 400, 3), dtype=np.uint8)
    file = tmp_path_factory.mktemp("noise") / "noise.png"
    Image.fromarray(pixels).save(file)
    with open_slide(file, spacing_um_px=0.5) as slide:
        yield slide, pixels


def selection(shrink):
    return LevelSelection(0, 0.5 * shrink, 0.5 * shrink, shrink)


def area_means(size, shrink, count):
    """Return the share of each of `size` source pixels in each of `count` resulting pixels."""
    edges = np.arange(count + 1) * shrink
    overlap = np.minimum(edges[1:, None], np.arange(size) + 1) - np.maximum(edges[:-1, None], np.arange(size))
    return np.maximum(overlap, 0) / shrink


@pytest.mark.parametrize("shrink", [each for each in SHRINKS if each > 1])
def test_shrinking_by_a_fraction_is_the_mean_over_area(noise, shrink):
    slide, pixels = noise
    rows, columns = (int(side / shrink) for side in pixels.shape[:2])
    means = np.einsum("yr,rcx->ycx", area_means(300, shrink, rows), pixels.astype(float))
    means = np.einsum("xc,ycz->yxz", area_means(400, shrink, columns), means)
    read = slide.read(selection(shrink), 0, 0, columns, rows)
    assert np.abs(read - means).max() < 0.501


@pytest.mark.parametrize("shrink", [each for each in SHRINKS if each < 1])
def test_enlarging_is_bicubic(noise, shrink):
    slide, pixels = noise
    rows, columns = (int(side / shrink) for side in pixels.shape[:2])
    box = (0, 0, columns * shrink, rows * shrink)
    expected = np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BICUBIC, box))
    read = slide.read(selection(shrink), 0, 0, columns, rows)
    inside = slice(8, -8), slice(8, -8)  # At the border, Pillow leaves the background out.
    assert np.abs(read[inside].astype(int) - expected[inside]).max() <= 1


def test_an_even_slide_stays_even(tmp_path):
    Image.new("RGB", (90, 80), (255, 0, 131)).save(tmp_path / "even.png")
    with open_slide(tmp_path / "even.png", spacing_um_px=0.5) as slide:
        for shrink in SHRINKS:
            assert (slide.read(selection(shrink), 9, 9, int(80 / shrink) - 9, 9) == (255, 0, 131)).all()


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(SHRINKS),
    st.tuples(st.integers(-20, 60), st.integers(-20, 60), st.integers(1, 90), st.integers(1, 90)),
    st.tuples(*[st.integers(0, 50)] * 4),
)
def test_a_region_read_alone_is_that_part_of_a_larger_one(noise, shrink, region, margins):
    slide, _ = noise
    x, y, width, height = region
    left, top, right, bottom = margins
    alone = slide.read(selection(shrink), x, y, width, height)
    size = width + left + right, height + top + bottom
    larger = slide.read(selection(shrink), x - left, y - top, *size)
    np.testing.assert_array_equal(alone, larger[top : top + height, left : left + width])
