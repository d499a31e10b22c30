"""Warnings of patches that look unlike those of the training: what is found, and how often falsely."""

import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sentinode import load_run, predict
from sentinode.errors import RunError
from sentinode.inference.ood import WARNINGS, PatchStatistics
from sentinode.inference.predictions import Predictions


@pytest.fixture(scope="module")
def usual(mini) -> PatchStatistics:
    return PatchStatistics.of(mini.split("train"), mini.split("valid"))


@pytest.fixture(scope="module")
def pixels(mini) -> np.ndarray:
    return mini.split("test").read()


def share(usual: PatchStatistics, pixels: np.ndarray, kind: str = "") -> float:
    return float(np.mean([kind in warning if kind else bool(warning) for warning in usual.warnings(pixels)]))


def each(pixels: np.ndarray, change) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(patch))) for patch in pixels])


def test_few_patches_of_other_slides_are_warned_of(usual, pixels):
    assert share(usual, pixels) < 0.08
    assert usual.false_alarms < 0.1


def test_glass_is_no_tissue(usual):
    assert usual.warnings(np.full((2, 96, 96, 3), 245, np.uint8)) == ["tissue", "tissue"]


def test_what_is_out_of_focus_is_found(usual, pixels):
    assert share(usual, each(pixels, lambda i: i.filter(ImageFilter.GaussianBlur(1.5))), "focus or scale") > 0.9


@pytest.mark.parametrize(("factor", "found"), [(0.5, 0.95), (0.7, 0.95), (1.3, 0.5)])
def test_too_little_and_too_much_light_is_found(usual, pixels, factor, found):
    assert share(usual, np.clip(pixels * factor, 0, 255).astype(np.uint8), "light") > found
    assert share(usual, pixels, "light") < 0.03


def test_another_stain_is_found(usual, pixels):
    assert share(usual, 255 - pixels, "stain") > 0.8
    green = pixels[..., [1, 0, 2]]
    assert share(usual, green, "stain") > 0.5


def test_the_order_of_patches_and_batches_does_not_matter(usual, pixels):
    together = usual.warnings(pixels)
    assert together[::-1] == usual.warnings(pixels[::-1])
    assert together == [warning for patch in pixels for warning in usual.warnings(patch[None])]
    assert {part for warning in together for part in warning.split(", ")} <= {"", *WARNINGS}


def test_it_is_written_and_read_without_loss(usual, pixels):
    again = PatchStatistics.from_json(json.loads(json.dumps(usual.to_json())))
    assert again.warnings(pixels) == usual.warnings(pixels)
    assert again.false_alarms == usual.false_alarms


def test_predictions_of_a_run_call_and_warn(tiny_run, mini, tmp_path):
    predictions = predict(tiny_run, mini.split("test"))
    table = predictions.table
    assert (table["prediction"] == (table["probability"] >= tiny_run.threshold)).all()
    assert table["warning"].tolist() == tiny_run.usual.warnings(mini.split("test").read())
    predictions.write(tmp_path / "it.csv")
    again = Predictions.read(tmp_path / "it.csv").table
    assert again.columns.tolist() == ["id", "label", "probability", "logit", "prediction", "warning"]
    assert again["warning"].tolist() == table["warning"].tolist()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"light": [1, 1], "stain": 1, "detail": 2}',
        '{"light": [1, 1], "stain": {}, "detail": {}, "false_alarms": 0}',
        '{"light": 1, "stain": {}, "detail": {}, "false_alarms": 0}',
    ],
)
def test_a_damaged_file_is_refused(tiny_run, tmp_path, content):
    import shutil

    shutil.copytree(tiny_run.path, tmp_path / "run")
    (tmp_path / "run" / "usual.json").write_text(content)
    with pytest.raises(RunError, match=r"usual\.json"):
        _ = load_run(tmp_path / "run").usual
