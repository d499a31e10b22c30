"""What can be wrong with a patch without a model: planted faults are found, real patches are left in peace."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.quality.checks import (
    FLAGS,
    STAINS,
    has_pen,
    is_clipped,
    is_out_of_focus,
    judge,
    measure_stain,
    stain_statistics,
)


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 20))


def blurred(pixels: np.ndarray, sigma_px: float) -> np.ndarray:
    blur = ImageFilter.GaussianBlur(sigma_px)
    return np.stack([np.asarray(Image.fromarray(patch).filter(blur)) for patch in pixels])


def marked(pixels: np.ndarray, colour: tuple[int, int, int], width: int = 12) -> np.ndarray:
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).line((0, 80, 95, 15), fill=colour, width=width)
    return np.asarray(image)


def test_real_patches_are_left_in_peace(mini):
    flags = judge(mini).flags
    assert list(flags.columns) == list(FLAGS)
    assert flags.drop(columns="near_blank").to_numpy().mean() < 0.002


def test_blur_is_found_whatever_the_contrast(few):
    pixels = few.read()
    assert is_out_of_focus(blurred(pixels, 2)).mean() > 0.97
    faint = (pixels // 4 + 150).astype(np.uint8)
    assert is_out_of_focus(blurred(faint, 2)).mean() > 0.9
    assert is_out_of_focus(faint).mean() < 0.02
    enlarged = np.stack([np.asarray(Image.fromarray(p).resize((24, 24)).resize((96, 96))) for p in pixels])
    assert is_out_of_focus(enlarged).mean() > 0.9


def test_pens_of_green_blue_and_black_are_found(few):
    pixels = few.read()
    for colour in ((20, 110, 60), (30, 80, 200), (10, 160, 150)):
        assert has_pen(np.stack([marked(patch, colour) for patch in pixels])).all(), colour
    assert has_pen(np.stack([marked(patch, (20, 20, 22), width=40) for patch in pixels])).all()
    assert not has_pen(np.zeros((1, 96, 96, 3), np.uint8)).any()


def test_clipped_highlights_are_found(few):
    pixels = few.read().astype(np.int64)
    assert is_clipped(np.clip(pixels + 150, 0, 255).astype(np.uint8)).mean() > 0.9
    assert not is_clipped(np.clip(pixels, 0, 254).astype(np.uint8)).any()


def test_amounts_of_stain_are_those_that_were_mixed():
    unit = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    for amounts in ((1.0, 0.5), (0.4, 1.2)):
        density = np.array(amounts) @ unit[:2]
        pixels = np.broadcast_to(np.round(256 * np.exp(-density) - 1).astype(np.uint8), (1, 96, 96, 3))
        measured = measure_stain(pixels)[0]
        assert measured[0] == 1
        assert np.allclose(measured[1:3], amounts, atol=0.03)
        assert np.allclose(measured[3:], pixels[0, 0, 0], atol=0.01)


def test_patches_without_tissue_have_no_stain_and_do_not_count():
    glass = np.full((1, 96, 96, 3), 250, np.uint8)
    tissue = np.full((1, 96, 96, 3), (150, 80, 160), np.uint8)
    measured = measure_stain(np.concatenate([glass, tissue]))
    assert np.isnan(measured[0, 1:]).all() and measured[0, 0] == 0
    found = stain_statistics(measured, pd.Series(["a", "a"]))
    assert found.loc["a", "red"] == 150 and found.loc["a", "patches"] == 2 and found.loc["a", "tissue"] == 0.5


def test_stain_is_told_by_centre_else_by_slide_else_by_split(few, tmp_path):
    hdf5 = open_patches(forms.write(forms.pcam_hdf5(few)[0], tmp_path)).cached()
    assert judge(few).stains_by == "split"
    found = judge(hdf5)
    expected = "centre" if hdf5.table["centre"].nunique() > 1 else "slide"
    assert found.stains_by == expected
    assert found.stains["patches"].sum() == len(hdf5)
    json.dumps(found.to_json(), allow_nan=False)
