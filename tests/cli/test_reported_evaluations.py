"""Cases from public bug reports about evaluation and comparison, on the command line."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from tests.commands import refused, sentinode, succeeded

from sentinode import metrics
from sentinode.errors import DataError

MODEL = ("--model", "d4net-m")


@pytest.fixture(scope="module")
def few(mini):
    return mini.split("test").select(range(0, 400, 10))


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def class_folders(few, folder, label_of=lambda label: label):
    """Write patches into class folders and return their ids."""
    ids = [f"test/{label_of(label)}/{row}.png" for row, label in enumerate(few.labels)]
    for name, pixels in zip(ids, few.read(), strict=True):
        save(pixels, folder / name)
    return ids


@pytest.mark.slow
def test_a_kaggle_submission_can_be_compared(few, tmp_path):
    data = tmp_path / "data"
    for row, pixels in enumerate(few.read()):
        save(pixels, data / "train" / f"{row:040x}.tif")
    labels = pd.DataFrame({"id": [f"{row:040x}" for row in range(len(few))], "label": few.labels})
    labels.to_csv(data / "train_labels.csv", index=False)
    submission = tmp_path / "submission.csv"
    succeeded(sentinode("predict", data, "--kaggle", "--split", "train", *MODEL, "--out", submission))
    (tmp_path / "semicolons.csv").write_text(
        submission.read_text().replace("id,label", "id,probability").replace(",", ";")
    )
    (tmp_path / "filename.csv").write_text(submission.read_text().replace("id,label", "filename,probability"))
    models = [f"--model={tmp_path / name}" for name in ("submission.csv", "semicolons.csv", "filename.csv")]
    succeeded(sentinode("compare", data, "--split", "train", *models, "--out", tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "compare.json").read_text())["models"]
    assert len({model["auc"]["estimate"] for model in found}) == 1
    assert {model["made_by"][0]["matched_by"] for model in found} == {"path without file ending"}


def test_predictions_of_another_split_are_refused(mini, few, tmp_path):
    """keras-team/keras#7110, #6234: predictions of another set paired with labels."""
    valid = mini.split("valid").select(range(0, 180, 5))
    for split, patches in (("valid", valid), ("test", few)):
        for part, values in (("x", patches.read()), ("y", patches.labels)):
            with h5py.File(tmp_path / f"{split}_{part}.h5", "w") as file:
                file[part] = values
    table = pd.DataFrame({"id": [f"valid/{row}" for row in range(40)], "probability": np.linspace(0, 1, 40)})
    table.to_csv(tmp_path / "valid.csv", index=False)
    models = ("--model", "d4net-m", "--model", tmp_path / "valid.csv")
    refused(sentinode("compare", tmp_path, *models, "--out", tmp_path / "out"), "40 of the 40 patches", "valid/0")
    assert not (tmp_path / "out").exists()


def test_one_class_and_two_patches_are_handled(few, tmp_path):
    """Undefined AUC with one class; tiny sets."""
    normal, tumour = (int(np.flatnonzero(few.labels == label)[0]) for label in (0, 1))
    save(few.read([normal])[0], tmp_path / "one" / "test" / "0" / "a.png")
    for label, row in enumerate((normal, tumour)):
        save(few.read([row])[0], tmp_path / "two" / "test" / str(label) / "a.png")
    refused(sentinode("evaluate", tmp_path / "one", *MODEL, "--out", tmp_path / "out"), "needs both classes")
    output = succeeded(sentinode("evaluate", tmp_path / "two", *MODEL, "--out", tmp_path / "out"))
    assert "nan" not in output and "1 normal, 1 tumour" in output
    models = ("--model", "d4net-m", "--model", "again=d4net-m")
    succeeded(sentinode("compare", tmp_path / "two", *models, "--out", tmp_path / "compared"))


def test_exchanged_classes_are_remarked_on(few, tmp_path):
    class_folders(few, tmp_path / "data", lambda label: 1 - label)
    done = sentinode("evaluate", tmp_path / "data", *MODEL, "--out", tmp_path / "out")
    succeeded(done)
    assert "labels are not swapped" in done.stderr


@pytest.mark.slow
def test_predictions_in_another_order_have_an_auc_of_one_half_and_no_error(few, tmp_path):
    """keras: flow_from_directory with shuffle=True."""
    ids = class_folders(few, tmp_path / "data")
    shuffled = np.random.default_rng(1).permutation(few.labels)
    pd.DataFrame({"id": ids, "probability": 0.1 + 0.8 * shuffled}).to_csv(tmp_path / "shuffled.csv", index=False)
    models = (*MODEL, "--model", f"theirs={tmp_path / 'shuffled.csv'}")
    succeeded(sentinode("compare", tmp_path / "data", *models, "--out", tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert abs(found["models"][1]["auc"]["estimate"] - 0.5) < 0.25 < found["models"][0]["auc"]["estimate"] - 0.5


def test_predictions_keep_the_given_order_and_repeated_or_missing_files_are_refused(few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for row, pixels in enumerate(few.read(range(3))):
        save(pixels, Path("d") / f"{(2, 10, 1)[row]}.png")
        save(pixels[::-1], Path("e") / f"{(2, 10, 1)[row]}.png")
    given = ["d/2.png", "d/10.png", "d/1.png"]
    succeeded(sentinode("predict", *given, *MODEL, "--out", "p.csv"))
    assert [os.path.basename(name) for name in pd.read_csv("p.csv")["id"]] == ["2.png", "10.png", "1.png"]  # noqa: PTH119
    for wrong in (["d/2.png", "d/2.png"], ["d", "missing.png"], ["d/*.jpg"]):
        assert sentinode("predict", *wrong, *MODEL, "--out", "q.csv").returncode == 1
    succeeded(sentinode("predict", "d", "e", *MODEL, "--out", "both.csv"))
    both = pd.read_csv("both.csv")
    assert len(both) == both["id"].nunique() == 6


def test_metrics_equal_those_of_scikit_learn_and_refuse_what_it_would_misread():
    rng = np.random.default_rng(0)
    for _ in range(100):
        n = rng.integers(4, 60)
        labels, scores = rng.integers(0, 2, n), np.round(rng.random(n), rng.integers(0, 4))
        labels[:2] = 0, 1
        assert metrics.auc(labels, scores).estimate == pytest.approx(roc_auc_score(labels, scores))
        expected = average_precision_score(labels, scores)
        assert metrics.average_precision(labels, scores).estimate == pytest.approx(expected)
        assert metrics.brier_score(labels, scores).score.estimate == pytest.approx(brier_score_loss(labels, scores))
    labels, scores = [0, 1, 0, 1, 1], [0.1, 0.9, 0.4, 0.35, 0.8]
    assert metrics.auc(np.array(labels, dtype=bool), scores) == metrics.auc(
        labels, np.float32(scores).tolist() and scores
    )
    for wrong in (
        (labels, [0.1, np.nan, 0.4, 0.3, 0.8]),
        ([1, 1, 1, 1, 1], scores),
        (scores, labels),
        (list("ababb"), scores),
        ([-1, 1, -1, 1, 1], scores),
        (labels, np.c_[scores, scores]),
        (labels, scores[:3]),
        ([], []),
    ):
        with pytest.raises(DataError):
            metrics.auc(*wrong)
