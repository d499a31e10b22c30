"""The report of a run: one file that needs nothing else and says what the evaluation says."""

import json
import re
import shutil
from dataclasses import replace
from html import escape

import pytest
from tests.report.conftest import HOSTILE
from tests.report.test_data_page import Checked

from sentinode import Evaluation, load_run, write_report
from sentinode.report.data import load_report_data
from sentinode.report.report import write_report_page
from sentinode.storage import write_json


@pytest.fixture(scope="module")
def text(report) -> str:
    return report.read_text(encoding="utf-8")


def test_the_page_is_one_small_file_that_refers_to_nothing(text):
    parsed = Checked(text)
    assert all(each.startswith(("data:image/jpeg;base64,", "#")) for each in parsed.refers)
    assert len(text.encode()) < 5_000_000
    assert "http://" not in text and "https://" not in text and "@import" not in text
    anchors = [each[1:] for each in parsed.refers if each.startswith("#")]
    assert anchors and all(f'id="{anchor}"' in text for anchor in anchors)


def test_no_id_is_used_twice(text):
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_page_holds_results_provenance_and_limitations(text, report_data):
    run, found = report_data.run, report_data.evaluation
    for expected in (
        f"{found.ranking.auc:.3f}".split()[0],
        report_data.patches.fingerprint,
        run.identity["weights_sha256"],
        "Research use only",
        "By centre, lowest AUC first",
        "sentinode evaluate",
        "sentinode stress",
        "The prevalence of tumour is",
    ):
        assert expected in text


def test_figures_follow_the_colors_of_the_page(text):
    figures = re.findall(r'<svg class="plot".*?</svg>', text, re.DOTALL)
    assert len(figures) > 8
    assert all("var(--" in figure and "aria-label" in figure for figure in figures)
    assert not any(re.search(r"#[0-9a-fA-F]{6}\b|font-family", figure) for figure in figures)


def test_names_are_escaped(text):
    assert "<img src=x" not in text and text.count("window.hacked=1</script>") == 0
    assert escape(HOSTILE) in text


def test_values_for_scripts_are_json(text, report_data):
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    values = json.loads(block[1])
    table = report_data.threshold_table
    assert values["threshold_table"]["true_positives"] == table.true_positives.tolist()
    assert values["threshold_table"]["thresholds"] == table.thresholds.tolist()


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(report_data, tmp_path):
    for name in ("a.html", "b.html"):
        write_report_page(report_data, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.fixture
def without_overlays(monkeypatch):
    from sentinode.report import report as module

    monkeypatch.setattr(module, "write_report_page", lambda data, path, explain: write_report_page(data, path))


@pytest.mark.slow
def test_an_existing_evaluation_is_used_unless_it_is_of_other_weights(
    run, patches, report_data, without_overlays, tmp_path
):
    copy = load_run(shutil.copytree(run.path, tmp_path / "moved"))  # A run that was moved keeps its evaluations.
    file = copy.path / "evaluations" / "test" / "metrics.json"
    before = file.stat().st_mtime_ns
    write_report(copy, patches)
    assert file.stat().st_mtime_ns == before
    found = json.loads(file.read_text(encoding="utf-8"))
    found["made_by"]["weights_sha256"] = "0" * 64
    file.write_text(json.dumps(found), encoding="utf-8")
    write_report(copy, patches)
    assert Evaluation.load(file).made_by["weights_sha256"] == run.identity["weights_sha256"]


@pytest.mark.slow
def test_a_run_without_evaluation_is_evaluated(tiny_run, mini, without_overlays, tmp_path):
    fresh = load_run(shutil.copytree(tiny_run.path, tmp_path / "run"))
    [page] = write_report(fresh, mini.split("test").select(range(0, 400, 10)))
    assert page == fresh.path / "report.html"
    assert (fresh.path / "evaluations" / "test" / "metrics.json").is_file()
    text = page.read_text(encoding="utf-8")
    assert "There is no robustness test" in text and "No column with 2 to 30 values" in text


@pytest.mark.slow
def test_an_evaluation_by_other_slides_is_made_again(run, patches, report_data, tmp_path):
    copy = load_run(shutil.copytree(run.path, tmp_path / "run"))
    known = replace(patches, table=patches.table.assign(slide=[f"s{n % 7}" for n in range(len(patches))]))
    assert load_report_data(copy, known).evaluation.clusters == "slide"
    moved = replace(patches, table=patches.table.assign(slide=[f"s{n % 9}" for n in range(len(patches))]))
    assert len(load_report_data(copy, moved).evaluation.subgroups["slide"]) == 9


def test_a_robustness_test_of_other_patches_is_not_shown(run, patches, report_data, tmp_path):
    copy = load_run(shutil.copytree(run.path, tmp_path / "run"))
    assert load_report_data(copy, patches).robustness.made_by["quick"]
    other = patches.table["label"].where(patches.table.index > 0, 1 - patches.table["label"])
    assert load_report_data(copy, replace(patches, table=patches.table.assign(label=other))).robustness is None
    quick = report_data.robustness
    for name, fingerprint in (("stress-test", "another"), ("stress-test-full", patches.fingerprint)):
        made_by = {**quick.made_by, "quick": False, "fingerprint": fingerprint}
        write_json(copy.path / "evaluations" / name / "stress.json", replace(quick, made_by=made_by))
    assert load_report_data(copy, patches).robustness.made_by["fingerprint"] == patches.fingerprint
