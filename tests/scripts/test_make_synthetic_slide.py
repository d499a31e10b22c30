"""Synthetic slides are read alike by all readers, and their truth is exact."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openslide")
pytest.importorskip("simplejpeg")
shapely = pytest.importorskip("shapely")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from make_synthetic_slide import GLASS, Scene, SlideSpec, make_synthetic_slide  # noqa: E402
from sentinode.slides import open_slide, read_annotations  # noqa: E402
from sentinode.slides.tissue import find_tissue, region_mask  # noqa: E402

SPEC = SlideSpec(
    width_px=6000,
    height_px=5000,
    spacing_um_px=0.486,
    lesions=1,
    pieces=1,
    tissue_fraction=0.3,
    pens=("green",),
    tile_px=256,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_synthetic_slide(tmp_path_factory.mktemp("synthetic"), "small", SPEC)


def test_its_scale_and_levels_are_read_by_openslide_and_the_fast_reader_alike(made):
    with open_slide(made.path) as slide:
        assert slide.spacing_um_px == pytest.approx(0.486)
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        assert slide.reader.name == "tifffile"  # Only where its pixels are those of OpenSlide.


def test_lesions_show_tumour_patches_and_the_rest_normal_ones(made, mini):
    scene = Scene(replace(SPEC, pens=()), "pcam-mini", None)
    inside = scene.lesions[0].representative_point()
    x, y = int(inside.x) // 96 * 96, int(inside.y) // 96 * 96
    pixels, tumour = scene.pixels(x, y, 96, 96), scene.tumour(x, y, 96, 96)
    assert tumour.any()
    patches = mini.read(np.flatnonzero(mini.labels == 1))
    oriented = [
        np.rot90(each[:, ::-1] if flip else each, turns) for each in patches for flip in (0, 1) for turns in range(4)
    ]
    assert any(np.array_equal(pixels[tumour], each[tumour]) for each in oriented)


def test_the_mask_and_the_outlines_are_where_the_tumour_is(made):
    with open_slide(made.path) as slide:
        drawn, mask = (read_annotations(file, slide).tumour for file in (made.annotations, made.mask))
    true = shapely.union_all(made.lesions)
    assert drawn.symmetric_difference(true).area < 1
    assert mask.symmetric_difference(true).area < 0.02 * true.area


def test_its_tissue_is_found_without_the_pen(made):
    with open_slide(made.path) as slide:
        tissue = find_tissue(slide)
    true = region_mask(made.tissue - made.pen, tissue.mask.shape, tissue.pixel_level0_px)
    dice = 2 * (tissue.mask & true).sum() / (tissue.mask.sum() + true.sum())
    assert dice > 0.75  # Many of the few patches show fat or glass.
    assert tissue.pen_mm2 > 0


def test_the_same_arguments_give_the_same_bytes_and_another_seed_another_slide(made, tmp_path):
    again = make_synthetic_slide(tmp_path, "small", SPEC)
    for name in ("path", "annotations", "mask"):
        assert getattr(again, name).read_bytes() == getattr(made, name).read_bytes()


def test_empty_glass_has_one_color_and_a_blurred_place_less_contrast():
    sharp = Scene(SPEC, "pcam-mini", None)
    assert (sharp.pixels(0, 0, 8, 8) == GLASS).all()
    assert sharp.read(1, 0, 0, 8, 8) is None
    blurred = Scene(replace(SPEC, blurred_um=800.0), "pcam-mini", None)
    center = shapely.get_parts(sharp.tissue)[-1].representative_point()
    place = int(center.x) - 50, int(center.y) - 50, 100, 100
    assert (
        np.diff(blurred.pixels(*place).astype(int), axis=0).std()
        < 0.5 * np.diff(sharp.pixels(*place).astype(int), axis=0).std()
    )
