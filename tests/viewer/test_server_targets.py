"""What `sentinode view` takes its targets for."""

import shutil

import pytest
from PIL import Image
from tests.commands import refused, sentinode

from sentinode import open_patches
from sentinode.errors import ConfigError
from sentinode.viewer.targets import sort_targets


def test_slides_results_models_and_patches_are_told_apart(view_slide, results, tmp_path):
    slides = tmp_path / "slides"
    slides.mkdir()
    shutil.copy(view_slide, slides)
    predictions = tmp_path / "evaluation"
    predictions.mkdir()
    (predictions / "predictions.csv").write_text("id,probability\na,0.5\n")
    found = sort_targets([slides, results / view_slide.stem, "d4net-m", "pcam-mini", predictions])
    assert found.slides == (slides / view_slide.name,)
    assert found.results == (results,)
    assert (found.model, found.patches) == ("d4net-m", "pcam-mini")
    assert found.predictions == predictions / "predictions.csv"


def test_a_folder_with_slides_and_results_is_both(view_slide, results, tmp_path):
    shutil.copytree(results, tmp_path / "case")
    slide = shutil.copy(view_slide, tmp_path / "case" / view_slide.name)
    found = sort_targets([tmp_path / "case"])
    assert (found.slides, found.results) == ((slide,), (tmp_path / "case",))


def test_a_folder_of_small_tiff_files_holds_patches(tmp_path):
    for number, pixels in enumerate(open_patches("pcam-mini", split="test").read([0, 1])):
        Image.fromarray(pixels).save(tmp_path / f"{number}.tif")
    assert sort_targets([tmp_path]).patches == str(tmp_path)


def test_two_slides_of_one_name_and_two_models_are_refused(view_slide, tmp_path):
    other = shutil.copy(view_slide, tmp_path)
    with pytest.raises(ConfigError, match="same name"):
        sort_targets([view_slide, other])
    with pytest.raises(ConfigError, match="one model"):
        sort_targets(["d4net-m", "d4net-m"])


def test_a_target_that_cannot_be_shown_is_refused_in_one_line(results, tmp_path):
    refused(sentinode("view", tmp_path / "missing.svs", "--no-browser"), "missing.svs", "no such file")
    refused(sentinode("view", results, "--no-browser"), "specify the slides")
    refused(sentinode("view", tmp_path / "missing", "--no-browser"), "missing")
    refused(sentinode("view", "pcam-mini", "--no-browser", "--user", " "), "--user")
