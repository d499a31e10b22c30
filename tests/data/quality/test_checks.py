"""Quality checks: planted faults are found, real patches pass."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.quality.checks import CHECKS, check_pixels, stain_by_group
from sentinode.data.quality.inspection import Quality, inspect_patches
from sentinode.data.quality.statistics import PatchStatistics, QualityStatistics
from sentinode.data.stain.optical_density import STAIN_MATRIX


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 20))


@pytest.fixture(scope="module")
def quality(mini) -> Quality:
    return inspect_patches(mini, quality=True).quality


def blurred(pixels: np.ndarray, sigma_px: float) -> np.ndarray:
    blur = ImageFilter.GaussianBlur(sigma_px)
    return np.stack([np.asarray(Image.fromarray(patch).filter(blur)) for patch in pixels])


def marked(pixels: np.ndarray, color: tuple[int, int, int], width: int = 12) -> np.ndarray:
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).line((0, 80, 95, 15), fill=color, width=width)
    return np.asarray(image)


def fraction(pixels: np.ndarray, check: str) -> float:
    return check_pixels(pixels)[check].mean()


def test_real_patches_pass(quality):
    assert list(quality.checks.columns) == list(CHECKS)
    assert quality.checks.drop(columns="near_blank").to_numpy().mean() < 0.002


def test_one_pass_gives_the_statistics_that_detectors_compare(mini, quality):
    alone = PatchStatistics.from_patches(mini)
    for name, values in vars(alone).items():
        assert np.array_equal(values, getattr(quality.statistics, name)), name


def test_blur_is_found_at_any_contrast(few):
    pixels = few.read()
    assert fraction(blurred(pixels, 2), "out_of_focus") > 0.97
    faint = (pixels // 2 + 100).astype(np.uint8)
    assert fraction(blurred(faint, 2), "out_of_focus") > 0.9
    assert fraction(faint, "out_of_focus") < 0.02
    enlarged = np.stack([np.asarray(Image.fromarray(p).resize((24, 24)).resize((96, 96))) for p in pixels])
    assert fraction(enlarged, "out_of_focus") > 0.9


def test_green_blue_and_black_marks_are_found(few):
    pixels = few.read()
    for color in ((20, 110, 60), (30, 80, 200), (10, 160, 150)):
        assert fraction(np.stack([marked(patch, color) for patch in pixels]), "pen_marks") == 1, color
    assert fraction(np.stack([marked(patch, (20, 20, 22), width=40) for patch in pixels]), "pen_marks") == 1
    assert fraction(np.zeros((1, 96, 96, 3), np.uint8), "pen_marks") == 0


def test_clipped_highlights_are_found(few):
    pixels = few.read().astype(np.int64)
    assert fraction(np.clip(pixels + 150, 0, 255).astype(np.uint8), "clipped") > 0.9
    assert fraction(np.clip(pixels, 0, 254).astype(np.uint8), "clipped") == 0


def test_stain_amounts_are_those_that_were_mixed():
    for amounts in ((1.0, 0.5), (0.4, 1.2)):
        density = np.array(amounts) @ STAIN_MATRIX[:2]
        pixels = np.broadcast_to(np.round(256 * np.exp(-density) - 1).astype(np.uint8), (1, 96, 96, 3))
        measured = QualityStatistics.from_pixels(pixels)
        assert measured.tissue_fraction[0] == 1
        assert np.allclose(measured.stain_amounts[0], amounts, atol=0.03)
        assert np.allclose(measured.tissue_color[0], pixels[0, 0, 0], atol=0.01)


def test_patches_without_tissue_have_no_stain_and_do_not_count():
    glass = np.full((1, 96, 96, 3), 250, np.uint8)
    tissue = np.full((1, 96, 96, 3), (150, 80, 160), np.uint8)
    measured = QualityStatistics.from_pixels(np.concatenate([glass, tissue]))
    assert np.isnan(measured.stain_amounts[0]).all() and measured.tissue_fraction[0] == 0
    found = stain_by_group(measured, pd.Series(["a", "a"]))
    assert found.loc["a", "red"] == 150 and found.loc["a", "patches"] == 2 and found.loc["a", "tissue"] == 0.5


def test_stain_is_summarized_by_centre_else_by_slide_else_by_split(few, quality, tmp_path):
    hdf5 = open_patches(forms.write(forms.pcam_hdf5(few)[0], tmp_path)).cached()
    assert quality.stains_by == "split"
    inspection = inspect_patches(hdf5, quality=True)
    assert inspection.quality.stains_by == ("centre" if hdf5.table["centre"].nunique() > 1 else "slide")
    assert inspection.quality.stains["patches"].sum() == len(hdf5)
    json.dumps(inspection.to_json(), allow_nan=False)
