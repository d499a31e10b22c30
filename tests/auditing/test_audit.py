"""Audits: planted errors are found, no label affects its own prediction, files are written whole."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from tests import forms
from tests.cli.test_cli import refused, sentinode, succeeded

from sentinode import PatchSet, load_run, open_patches
from sentinode.auditing.audit import Audit, _duplicate_conflicts, audit
from sentinode.auditing.out_of_fold import predict_out_of_fold
from sentinode.data.patchset import patch_table
from sentinode.errors import ConfigError, DataError, OutputError
from sentinode.report.audit_page import write_audit

FLIPPED = 20


def labeled(patches: PatchSet, labels: np.ndarray) -> PatchSet:
    return replace(patches, table=patches.table.assign(label=pd.array(labels, dtype="Int8")))


def penned(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).line((0, 80, 95, 15), fill=(30, 80, 200), width=20)
    return np.asarray(image)


@pytest.fixture(scope="module")
def test_patches(mini) -> PatchSet:
    return mini.split("test")


@pytest.fixture(scope="module")
def flips(test_patches) -> np.ndarray:
    marks = np.zeros(len(test_patches), dtype=bool)
    marks[np.random.default_rng(0).choice(len(marks), FLIPPED, replace=False)] = True
    return marks


@pytest.fixture(scope="module")
def found(test_patches, flips) -> Audit:
    return audit(load_run("d4net-m"), labeled(test_patches, test_patches.labels ^ flips))


@pytest.mark.slow
def test_flipped_labels_are_found(found, flips):
    suspect = found.table["label_issue"].to_numpy()
    assert suspect[flips].mean() > 0.6 and flips[suspect].mean() > 0.4
    first = found.issues.index[:FLIPPED]
    assert flips[first].mean() > 0.5
    doubted = found.label_issue_counts()
    assert doubted["normal"] + doubted["tumour"] == suspect.sum()


@pytest.mark.slow
def test_issues_come_with_the_least_probable_label_first(found):
    doubtful = found.issues[found.issues["label_issue"]]
    assert doubtful["p_label"].is_monotonic_increasing
    assert (found.issues["label_issue"] | (found.issues["outlier"] != "")).all()
    assert found.issues["label_issue"].is_monotonic_decreasing


@pytest.mark.slow
def test_no_label_affects_its_own_prediction():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 4))
    labels, fold = (features[:, 0] + rng.normal(size=200) > 0).astype(int), np.arange(200) % 4
    before = predict_out_of_fold(features, labels, fold, np.ones(200, dtype=bool)).probability
    changed = np.where(fold == 2, 1 - labels, labels)
    after = predict_out_of_fold(features, changed, fold, np.ones(200, dtype=bool)).probability
    np.testing.assert_array_equal(before[fold == 2], after[fold == 2])
    assert (before[fold != 2] != after[fold != 2]).all()


def test_few_patches_are_outliers_for_any_number_of_features():
    rng = np.random.default_rng(0)
    for width in (2, 50):
        features = rng.normal(size=(600, width)) * rng.uniform(0.1, 10, width)
        labels = rng.integers(0, 2, 600)
        features[7] += 60
        distance = predict_out_of_fold(features, labels, np.arange(600) % 3, np.ones(600, dtype=bool)).distance
        assert distance[7] > 1 and (distance > 1).mean() < 0.02


@pytest.fixture(scope="module")
def planted(test_patches, tmp_path_factory) -> PatchSet:
    """Return patches with a turned copy of another label, a patch with a pen's line, one without a label."""
    pixels = test_patches.read([0])[0]
    extra = {
        "test/1/turned.png": np.ascontiguousarray(np.rot90(pixels)),
        "test/1/<i>pen & ink.png": penned(test_patches.read([1])[0]),
    }
    files = forms.class_folders(test_patches.select(range(0, 400, 4)), "png")[0]
    files |= {name: forms.encode(each) for name, each in extra.items()}
    patches = open_patches(forms.write(files, tmp_path_factory.mktemp("planted"))).cached()
    table = patches.table.copy()
    table.loc[3, "label"] = pd.NA
    return replace(patches, table=table)


@pytest.fixture(scope="module")
def audited(planted) -> Audit:
    return audit(load_run("d4net-m"), planted)


def test_duplicates_with_different_labels_are_both_issues(audited):
    both = audited.table[audited.table["duplicate_conflict"]]
    assert len(both) == 2 and both["label_issue"].all() and set(both["label"]) == {0, 1}


def test_a_conflict_with_a_near_duplicate_holds_for_all_copies():
    table = patch_table(["a1", "a2", "turned"], [0, 0, 1]).assign(sha1=["0" * 40, "0" * 40, "1" * 40])
    patches = PatchSet(kind="", path="", table=table, pixels=None, rows=np.arange(3))
    pairs = pd.DataFrame({"first": [0], "second": [2]})
    assert _duplicate_conflicts(patches, pairs).tolist() == [True, True, True]


def test_outliers_are_listed_with_their_failed_quality_checks(audited):
    pen = audited.table[audited.table["id"].str.endswith("ink.png")].iloc[0]
    assert (
        "features" in pen["outlier"] and pen["distance"] > 1 and pen["quality"] == "with pen marks, dye or black areas"
    )


def test_patches_without_a_label_are_left_out(audited, planted):
    assert len(audited.table) == len(planted) - 1
    assert audited.made_by["without_label"] == 1


def test_a_run_trained_on_the_patches_gives_a_warning(tiny_run, mini, caplog):
    few = mini.select(range(0, len(mini), 20))
    seen = audit(tiny_run, few, ["train"], folds=2)
    assert f"was trained on {seen.made_by['trained_on']} of these patches" in caplog.text
    assert seen.table["trained_on"].all()


def test_missing_splits_labels_and_folds_are_refused(tiny_run, mini):
    with pytest.raises(DataError, match="no split 'best'"):
        audit(tiny_run, mini, ["test", "best"])
    with pytest.raises(DataError, match="no patch has a label"):
        audit(tiny_run, replace(mini, table=mini.table.assign(label=pd.array([None] * len(mini), dtype="Int8"))))
    with pytest.raises(ConfigError, match="folds must be at least 2"):
        audit(tiny_run, mini, folds=1)


def test_all_files_are_written_or_none(audited, tmp_path):
    folder = tmp_path / "audit"
    write_audit(audited, folder)
    assert sorted(file.name for file in folder.iterdir()) == ["audit.html", "audit.json", "issues.csv"]
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    damaged = replace(audited, patches=replace(audited.patches, rows=audited.patches.rows + 10**9))
    with pytest.raises(IndexError):
        write_audit(damaged, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["audit"]
    write_audit(audited, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_the_csv_holds_every_issue(audited, tmp_path):
    write_audit(audited, tmp_path / "audit")
    rows = pd.read_csv(tmp_path / "audit" / "issues.csv")
    assert rows["id"].tolist() == audited.issues["id"].tolist()
    np.testing.assert_allclose(rows["p_label"], audited.issues["p_label"], rtol=1e-5)
    content = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    assert sum(content["label_issues"][name] for name in ("normal", "tumour")) == rows["label_issue"].sum()


def test_a_folder_with_other_content_is_refused(audited, tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ConfigError, match="is not an audit"):
        write_audit(audited, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_notes_among_the_files_of_an_audit_are_not_deleted(audited, tmp_path):
    write_audit(audited, tmp_path)
    (tmp_path / ".DS_Store").touch()
    write_audit(audited, tmp_path)
    (tmp_path / "notes.txt").write_text("an hour of review")
    with pytest.raises(OutputError, match=r"contains notes\.txt.* move it, or write to another folder"):
        write_audit(audited, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "an hour of review"


@pytest.mark.slow
def test_the_command_prints_counts_and_files(tmp_path):
    out = tmp_path / "it"
    said = succeeded(sentinode("audit", "pcam-mini", "--split", "test", "--out", out))
    assert "label issues: " in said and "(5 folds, grouped by duplicates)" in said
    assert all(str(out / name) in said for name in ("audit.html", "issues.csv", "audit.json"))
    refused(sentinode("audit", "pcam-mini", "--out", tmp_path), str(tmp_path), "is not an audit")
