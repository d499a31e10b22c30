"""Tissue is told from glass, pen marks, dust and coverslips."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sentinode.errors import DataError
from sentinode.slides import open_slide
from sentinode.slides.tissue import find_tissue, region_mask
from sentinode.slides.tissue_mask import tissue_mask

GLASS = (241, 240, 242)
STAINS = {"H&E": (214, 140, 190), "dark": (92, 60, 120), "pale": (236, 212, 228), "hematoxylin": (170, 170, 200)}
INKS = {
    "red": (208, 40, 60),
    "faint red": (240, 196, 204),
    "dark red": (70, 24, 38),
    "green": (60, 170, 150),
    "blue": (60, 110, 200),
    "black": (30, 30, 34),
}


def draw(shape, color, spot=(100, 100, 200, 200)):
    """Return a picture of 300 × 300 px at 8 µm/px: glass with noise, and one shape."""
    image = Image.new("RGB", (300, 300), GLASS)
    getattr(ImageDraw.Draw(image), shape)(spot, fill=color)
    noise = np.random.default_rng(0).normal(0, 2, (300, 300, 3))
    return np.clip(np.asarray(image) + noise, 0, 254).astype(np.uint8)


@pytest.mark.parametrize("stain", STAINS)
def test_stained_tissue_is_found_with_its_edge(stain):
    tissue, pen = tissue_mask(draw("rectangle", STAINS[stain]), 8.0)
    expected = np.zeros_like(tissue)
    expected[100:201, 100:201] = True
    assert 2 * (tissue & expected).sum() / (tissue.sum() + expected.sum()) > 0.97
    assert not pen.any()


@pytest.mark.parametrize("glass", [(1, 1, 1), (1, 0.98, 0.95)], ids=["neutral", "warm"])
@pytest.mark.parametrize("exposure", [0.9, 0.85, 0.8, 0.75, 0.7, 0.5, 0.3])
@pytest.mark.parametrize("stain", STAINS)
def test_tissue_of_an_underexposed_slide_is_found_too(stain, exposure, glass):
    picture = draw("rectangle", STAINS[stain]) * np.array(glass)
    (expected, _), (tissue, pen) = (tissue_mask(each.astype(np.uint8), 8.0) for each in (picture, picture * exposure))
    assert expected.any()
    assert np.mean(tissue != expected) < 0.002
    assert not pen.any()


@pytest.mark.parametrize("ink", INKS)
def test_ink_is_no_tissue(ink):
    tissue, pen = tissue_mask(draw("rectangle", INKS[ink], (20, 100, 280, 115)), 8.0)
    assert not tissue.any()
    assert pen.sum() > 3000


@pytest.mark.parametrize("gray", [60, 150, 210])
def test_gray_lines_and_shadows_are_no_tissue(gray):
    assert not tissue_mask(draw("rectangle", (gray, gray, gray - 3), (0, 100, 299, 108)), 8.0)[0].any()


def test_pieces_smaller_than_a_patch_are_left_out_and_small_holes_filled():
    pixels = draw("rectangle", STAINS["H&E"])
    pixels[20:26, 20:26] = STAINS["H&E"]
    pixels[150:162, 150:162] = GLASS
    pixels[150:155, 110:135] = GLASS
    tissue = tissue_mask(pixels, 8.0)[0]
    assert not tissue[:60, :60].any()
    assert tissue[140:170, 140:170].all()


@pytest.mark.skipif("SENTINODE_TEST_DATA" not in os.environ, reason="needs pictures of pen marks")
@pytest.mark.parametrize("name", ["no-tissue-green-pen", "no-tissue-red-pen"])
def test_pictures_of_pen_alone_have_no_tissue(name):
    file = Path(os.environ["SENTINODE_TEST_DATA"]) / "slides" / "pen" / f"{name}.png"
    pixels = np.asarray(Image.open(file).convert("RGB").reduce(8))
    assert not tissue_mask(pixels, 8.0)[0].any()


@pytest.mark.parametrize("size", [(20, 3000), (3000, 20), (10, 10)])
def test_a_slide_narrower_than_a_pixel_of_the_overview_is_smaller_than_a_patch(tmp_path, size):
    Image.new("RGB", size, STAINS["H&E"]).save(tmp_path / "tiny.png")
    with (
        open_slide(tmp_path / "tiny.png", spacing_um_px=0.25) as slide,
        pytest.raises(DataError, match=r"tiny\.png: .* is smaller than one patch of 96 px"),
    ):
        find_tissue(slide)


@pytest.mark.parametrize("seed", range(20))
def test_every_pixel_that_a_region_covers_in_part_belongs_to_it(seed):
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(seed)
    discs, holes = (
        shapely.union_all([shapely.Point(rng.uniform(0, 400, 2)).buffer(rng.uniform(*radii)) for _ in range(count)])
        for radii, count in (((50, 150), 4), ((3, 60), 8))
    )
    region, side_px = discs - holes, rng.uniform(5, 12)
    rows, columns = (each.ravel() for each in np.mgrid[:40, :45])
    boxes = shapely.box(columns, rows, columns + 1, rows + 1)
    covered = shapely.area(shapely.intersection(boxes, shapely.transform(region, lambda points: points / side_px)))
    np.testing.assert_array_equal(region_mask(region, (40, 45), side_px), (covered > 1e-9).reshape(40, 45))
