"""The model card: metadata that parses, the results of the evaluation, and no folder of this machine."""

import shutil
from dataclasses import replace

import pytest
import yaml

from sentinode import load_run
from sentinode.report.data import load_report_data
from sentinode.report.model_card import write_model_card


@pytest.fixture(scope="module")
def card(tiny_run, mini, tmp_path_factory):
    run = load_run(shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("card") / "run: <one> | #1"))
    data = load_report_data(run, mini.split("test").select(range(0, 400, 8)))
    write_model_card(data, run.path / "model-card.md")
    return data, (run.path / "model-card.md").read_text(encoding="utf-8")


def test_its_metadata_is_what_hugging_face_reads(card):
    data, text = card
    run = data.run
    _, block, body = text.split("---\n", 2)
    found = yaml.safe_load(block)
    assert (found["library_name"], found["pipeline_tag"]) == ("keras", "image-classification")
    [index] = found["model-index"]
    assert index["name"] == run.name
    [result] = index["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"type": "pcam-mini", "name": "pcam-mini", "split": "test"}
    values = {each["type"]: each["value"] for each in result["metrics"]}
    assert values == {
        "roc_auc": pytest.approx(data.evaluation.auc, abs=1e-6),
        "recall": pytest.approx(data.point.sensitivity.estimate, abs=1e-6),
        "specificity": pytest.approx(data.point.specificity.estimate, abs=1e-6),
        "accuracy": pytest.approx(data.point.accuracy.estimate, abs=1e-6),
    }
    assert "license" not in found  # Whoever trained the weights says that.
    assert "run: &lt;one> \\| #1" in body


def test_it_states_data_weights_and_use(card):
    data, text = card
    run = data.run
    for words in (run.fingerprint("train"), run.fingerprint("valid"), run.identity["weights_sha256"]):
        assert words in text
    assert "Research use only: not a medical device" in text
    assert str(run.path.parent) not in text


def test_no_name_becomes_markup(card, tmp_path):
    data = card[0]
    named = replace(data, patches=replace(data.patches, path="a`b``<img src=x>\n\n# [c](d) *e* _f_"))
    write_model_card(named, tmp_path / "card.md")
    body = (tmp_path / "card.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    assert "On a\\`b\\`\\`&lt;img src=x>  # \\[c](d) \\*e\\* \\_f\\_, split test, with" in body
    assert "- Evaluation: ``` sentinode evaluate 'a`b``<img src=x>  # [c](d) *e* _f_' --model" in body
    assert body.count("<img") == body.count("``` sentinode") == body.count(" ```\n") == 2
