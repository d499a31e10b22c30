"""Out-of-distribution warnings: what is detected, and how often falsely."""

import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sentinode import TrainConfig, build_model, load_run, open_patches, predict, train
from sentinode.errors import RunError
from sentinode.inference.ood import WARNINGS, OODDetector
from sentinode.inference.predictions import Predictions
from sentinode.serialize import from_json, to_json

FLAT = {"center": [0, 0, 0], "inverse_covariance": [1, 0, 0], "threshold": 1}


@pytest.fixture(scope="module")
def detector(mini) -> OODDetector:
    return OODDetector.fit(mini.split("train"), mini.split("valid"))


@pytest.fixture(scope="module")
def pixels(mini) -> np.ndarray:
    return mini.split("test").read()


def share(detector: OODDetector, pixels: np.ndarray, kind: str = "") -> float:
    return float(np.mean([kind in warning if kind else bool(warning) for warning in detector.warnings(pixels)]))


def each(pixels: np.ndarray, change) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(patch))) for patch in pixels])


def test_few_patches_of_other_slides_get_a_warning(detector, pixels):
    assert share(detector, pixels) < 0.08
    assert detector.validation_warning_rate < 0.1


def test_glass_has_no_tissue(detector):
    assert detector.warnings(np.full((2, 96, 96, 3), 245, np.uint8)) == ["tissue", "tissue"]


def test_blurred_patches_are_detected(detector, pixels):
    assert share(detector, each(pixels, lambda i: i.filter(ImageFilter.GaussianBlur(1.5))), "focus or scale") > 0.9


@pytest.mark.parametrize(("factor", "found"), [(0.5, 0.95), (0.7, 0.95), (1.3, 0.5)])
def test_dark_and_bright_patches_are_detected(detector, pixels, factor, found):
    assert share(detector, np.clip(pixels * factor, 0, 255).astype(np.uint8), "brightness") > found
    assert share(detector, pixels, "brightness") < 0.03


def test_another_stain_is_detected(detector, pixels):
    assert share(detector, 255 - pixels, "stain") > 0.8
    green = pixels[..., [1, 0, 2]]
    assert share(detector, green, "stain") > 0.5


def test_the_order_of_patches_and_batches_does_not_matter(detector, pixels):
    together = detector.warnings(pixels)
    assert together[::-1] == detector.warnings(pixels[::-1])
    assert together == [warning for patch in pixels for warning in detector.warnings(patch[None])]
    assert {part for warning in together for part in warning.split(", ")} <= {"", *WARNINGS}


def test_json_round_trip_keeps_all_warnings(detector, pixels):
    again = from_json(OODDetector, json.loads(json.dumps(to_json(detector))))
    assert again.warnings(pixels) == detector.warnings(pixels)
    assert again.validation_warning_rate == detector.validation_warning_rate


def test_predictions_of_a_run_call_and_warn(tiny_run, mini, tmp_path):
    predictions = predict(tiny_run, mini.split("test"))
    table = predictions.table
    assert (table["prediction"] == (table["probability"] >= tiny_run.threshold)).all()
    assert table["warning"].tolist() == tiny_run.ood.warnings(mini.split("test").read())
    predictions.write(tmp_path / "it.csv")
    again = Predictions.read(tmp_path / "it.csv").table
    assert again.columns.tolist() == ["id", "label", "probability", "logit", "prediction", "warning"]
    assert again["warning"].tolist() == table["warning"].tolist()


def test_a_run_on_patches_without_tissue_detects_nothing_and_says_so(tmp_path, caplog):
    pixels = np.random.default_rng(0).integers(236, 246, (20, 96, 96, 3), dtype=np.uint8)
    np.savez(tmp_path / "glass.npz", x=pixels, y=np.arange(20) % 2)
    config = TrainConfig(epochs=1)
    run = train(build_model("mlp", dense_units=1), open_patches(tmp_path / "glass.npz"), config, out=tmp_path / "run")
    assert "fewer than two of the training patches have tissue" in caplog.text
    assert load_run(run.path).ood is None
    assert "warning" not in predict(run, pixels).table


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"brightness_limits": [1, 1], "stain": 1, "detail": 2}',
        '{"brightness_limits": [1, 1], "stain": {}, "detail": {}, "validation_warning_rate": 0}',
        json.dumps({"brightness_limits": [1, 1], "stain": FLAT, "detail": FLAT, "validation_warning_rate": 0}),
    ],
)
def test_a_damaged_file_is_refused(tiny_run, tmp_path, content):
    import shutil

    shutil.copytree(tiny_run.path, tmp_path / "run")
    (tmp_path / "run" / "ood.json").write_text(content)
    with pytest.raises(RunError, match=r"ood\.json"):
        _ = load_run(tmp_path / "run").ood
