"""The model card: metadata that parses, figures of metrics.json, and nothing of the machine."""

import json
import shutil

import pytest
import yaml

from sentinode import load_run, write_report


@pytest.fixture(scope="module")
def card(tiny_run, mini, tmp_path_factory):
    run = load_run(shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("card") / "run: <one> | #1"))
    path = write_report(run, mini.split("test").select(range(0, 400, 8)), model_card=True)[1]
    return run, path.read_text(encoding="utf-8")


def test_its_metadata_is_what_hugging_face_reads(card):
    run, text = card
    _, block, body = text.split("---\n", 2)
    found = yaml.safe_load(block)
    assert (found["library_name"], found["pipeline_tag"]) == ("keras", "image-classification")
    [index] = found["model-index"]
    assert index["name"] == run.name
    [result] = index["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"type": "pcam-mini", "name": "pcam-mini", "split": "test"}
    metrics = json.loads((run.path / "evaluations" / "test" / "metrics.json").read_text(encoding="utf-8"))
    point = metrics["operating_points"]["validation"]
    values = {each["type"]: each["value"] for each in result["metrics"]}
    assert values == {
        "roc_auc": pytest.approx(metrics["ranking"]["auc"]["estimate"], abs=1e-6),
        "recall": pytest.approx(point["sensitivity"]["estimate"], abs=1e-6),
        "specificity": pytest.approx(point["specificity"]["estimate"], abs=1e-6),
        "accuracy": pytest.approx(point["accuracy"]["estimate"], abs=1e-6),
    }
    assert "license" not in found  # Whoever trained the weights says that.
    assert "run: &lt;one> \\| #1" in body


def test_it_says_what_was_trained_on_what_and_for_what(card):
    run, text = card
    for words in (run.fingerprint("train"), run.fingerprint("valid"), run.identity["weights_sha256"]):
        assert words in text
    assert "Research use only: not a medical device" in text
    assert str(run.path.parent) not in text
