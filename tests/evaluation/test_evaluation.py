"""An evaluation: on which patches, with which numbers, and what is written."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics

from sentinode import Evaluation, evaluate, load_run, open_patches, predict, stress
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.files import default_folder
from sentinode.evaluation.formatting import format_evaluation
from sentinode.metrics import choose_threshold
from sentinode.samples import DEFAULT_MODEL
from sentinode.serialize import to_json

PICTURES = {"roc.png", "curves.png", "confusion.png"}
TABLES = {"roc.csv", "precision_recall.csv", "risk_coverage.csv", "predictions.csv"}
WRITTEN = {"metrics.json", "predictions.csv.json", *PICTURES, *TABLES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def evaluation(tiny_run, mini, folder):
    return evaluate(tiny_run, mini, out=folder)


def test_everything_is_written(evaluation, folder):
    assert {path.name for path in folder.iterdir()} == WRITTEN
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert picture.format == "PNG"


def test_the_numbers_follow_from_the_predictions(evaluation, folder, tiny_run):
    table = pd.read_csv(folder / "predictions.csv")
    found = json.loads((folder / "metrics.json").read_text())
    assert list(table.columns) == ["id", "label", "probability", "logit", "prediction", "warning"]
    assert (found["normal"], found["tumour"]) == (int((table.label == 0).sum()), int((table.label == 1).sum()))
    assert found["ranking"]["auc"]["estimate"] == pytest.approx(metrics.roc_auc_score(table.label, table.logit))
    assert set(found["operating_points"]) == {"0.5", "validation"}
    for name, threshold in (("0.5", 0.5), ("validation", tiny_run.threshold)):
        point = found["operating_points"][name]
        called = table.probability >= threshold
        counts = metrics.confusion_matrix(table.label, called).ravel().tolist()
        assert point["threshold"] == threshold
        cells = ("true_negatives", "false_positives", "false_negatives", "true_positives")
        assert [point["counts"][cell] for cell in cells] == counts
        expected = {
            "accuracy": metrics.accuracy_score(table.label, called),
            "sensitivity": metrics.recall_score(table.label, called),
            "specificity": metrics.recall_score(table.label, called, pos_label=0),
        }
        if called.any():
            expected["ppv"] = metrics.precision_score(table.label, called)
            expected["f1"] = metrics.f1_score(table.label, called)
        for key, value in expected.items():
            assert point[key]["estimate"] == pytest.approx(value)
            assert point[key]["low"] <= value <= point[key]["high"]


def test_the_curve_follows_from_the_predictions(evaluation, folder):
    table = pd.read_csv(folder / "predictions.csv")
    curve = pd.read_csv(folder / "roc.csv")
    fpr, tpr, thresholds = metrics.roc_curve(table.label, table.logit, drop_intermediate=False)
    assert list(curve.columns) == ["false_positive_rate", "true_positive_rate", "logit_at_least"]
    assert np.array_equal(curve.false_positive_rate, fpr)
    assert np.array_equal(curve.true_positive_rate, tpr)
    assert np.array_equal(curve.logit_at_least, thresholds)
    assert metrics.auc(curve.false_positive_rate, curve.true_positive_rate) == pytest.approx(evaluation.auc)


def test_a_saved_evaluation_loads_equal(evaluation, folder):
    for path in (folder, folder / "metrics.json"):
        loaded = Evaluation.load(path)
        assert to_json(loaded) == to_json(evaluation) == json.loads((folder / "metrics.json").read_text())
        for name in ("roc", "precision_recall", "risk_coverage"):
            assert to_json(getattr(loaded, name)) == to_json(getattr(evaluation, name))
        assert loaded.table().equals(evaluation.table())
    assert evaluation.table().loc["0.5", "accuracy_low"] == evaluation.operating_points["0.5"].accuracy.low


def test_a_damaged_or_missing_evaluation_is_refused_with_its_file(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    content = json.loads((copy / "metrics.json").read_text())
    del content["ranking"]["auc"]
    (copy / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"metrics.json: .*Ranking\.auc is missing"):
        Evaluation.load(copy)
    with pytest.raises(DataError):
        Evaluation.load(tmp_path / "none")


def test_nothing_is_written_without_out(tiny_run, mini, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tiny_run.path.rglob("*"))
    few = mini.select(range(0, len(mini), 20))
    evaluate(tiny_run, few)
    stress(tiny_run, few, quick=True)
    assert sorted(tiny_run.path.rglob("*")) == before and not list(tmp_path.iterdir())


def test_one_class_cannot_be_evaluated(tiny_run, mini, tmp_path):
    normal = mini.select(np.flatnonzero((mini.table["label"] == 0).to_numpy(dtype=bool)))
    with pytest.raises(DataError, match="a ROC curve needs both classes"):
        evaluate(tiny_run, normal.split("valid"), out=tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_the_cache_of_an_evaluation_can_be_elsewhere(tiny_run, tmp_path):
    patches = open_patches("pcam-mini", split="valid").select(range(80, 100))
    evaluate(tiny_run, patches, out=tmp_path / "out", cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("pixels.npy"))) == 1


def test_results_of_other_patches_get_a_folder_of_their_own(evaluation, tmp_path):
    fingerprint = evaluation.made_by["fingerprint"]
    first = default_folder(tmp_path, "test", fingerprint, "metrics.json")
    assert first == tmp_path / "evaluations" / "test"
    evaluation.save(first)
    assert default_folder(tmp_path, "test", fingerprint, "metrics.json") == first
    assert default_folder(tmp_path, "test", "0" * 64, "metrics.json").name == "test-00000000"
    (first / "metrics.json").write_text("damaged")
    assert default_folder(tmp_path, "test", fingerprint, "metrics.json").name == f"test-{fingerprint[:8]}"


def with_slides(patches, slides):
    """Give patches slides, in turn."""
    names = [f"slide_{number % slides}" for number in range(len(patches))]
    return replace(patches, table=patches.table.assign(slide=pd.Series(names, dtype="str")))


def test_unknown_slides_are_reported(evaluation):
    assert evaluation.clusters is None and evaluation.ranking.auc.clusters is None
    assert "slides are unknown" in format_evaluation(evaluation)


@pytest.mark.parametrize("full", [False, True])
def test_the_text_has_the_main_metrics_and_with_full_all_of_them(evaluation, full):
    text = format_evaluation(evaluation, full)
    point = evaluation.operating_point
    for interval in (evaluation.ranking.auc, point.accuracy, point.sensitivity, point.specificity):
        assert f"{interval:.3f}" in text
    assert f"{point.counts.true_positives}" in text
    for name in ("average precision", "calibration error", "PPV at 5 % prevalence", "selective prediction"):
        assert (name in text) == full
    assert full or len(text.splitlines()) <= 13
    assert all(len(line) <= 120 for line in text.splitlines())


def test_the_roc_curve_lies_inside_its_confidence_band(evaluation):
    band, curve = evaluation.roc_band, evaluation.roc
    tpr = np.interp(band.false_positive_rate, curve.false_positive_rate, curve.true_positive_rate)
    assert np.mean((band.low <= tpr + 0.02) & (tpr - 0.02 <= band.high)) > 0.95


def test_intervals_are_over_slides_where_they_are_known(tiny_run, mini, tmp_path):
    found = evaluate(tiny_run, with_slides(mini.split("test"), 8), out=tmp_path)
    assert found.clusters == "slide"
    assert found.ranking.auc.clusters == found.operating_points["0.5"].accuracy.clusters == 8
    assert "over 8 slides" in format_evaluation(found)
    assert {path.name for path in tmp_path.iterdir()} == WRITTEN | {"by-slide.csv", "by-slide.png"}
    table = pd.read_csv(tmp_path / "by-slide.csv")
    assert len(table) == 8 and list(table["auc"]) == sorted(table["auc"])


def test_any_column_makes_groups_and_a_patch_without_one_is_in_its_own(tiny_run, mini, tmp_path):
    patches = mini.split("test")
    color = pd.Series(["red", "blue", None] * 200)[: len(patches)]
    found = evaluate(tiny_run, replace(patches, table=patches.table.assign(color=color)), out=tmp_path, by=["color"])
    assert {group.name for group in found.subgroups["color"]} == {"red", "blue", "not known"}
    assert sum(group.normal + group.tumour for group in found.subgroups["color"]) == len(patches)
    with pytest.raises(ConfigError, match="no column 'flavour'; use one of label, split"):
        evaluate(tiny_run, patches, out=tmp_path, by=["flavour"])


def test_operating_points_are_chosen_on_the_validation_patches_of_the_run(tiny_run, mini, tmp_path):
    rules = ["sensitivity>=0.9", "cost=5:1", 0.25]
    found = evaluate(tiny_run, mini, out=tmp_path, points=rules)
    assert list(found.operating_points) == ["0.5", "validation", *map(str, rules)]
    validation = pd.read_csv(tiny_run.path / "valid_predictions.csv")
    chosen = found.operating_points["sensitivity>=0.9"].threshold
    assert (validation.probability[validation.label == 1] >= chosen).mean() >= 0.9
    assert found.operating_points["0.25"].threshold == 0.25


@pytest.mark.slow
def test_points_of_pretrained_weights_are_chosen_on_the_validation_split_of_the_user(mini):
    few, model = mini.select(range(0, len(mini), 5)), load_run(DEFAULT_MODEL)
    found = evaluate(model, few, points=["sensitivity>=0.9", 0.25])
    chosen_on = found.made_by["points_chosen_on"]
    valid = predict(model, few.split("valid"))
    assert chosen_on["split"] == "valid" and chosen_on["fingerprint"] == few.split("valid").cached().fingerprint
    threshold = choose_threshold("sensitivity>=0.9", valid.labels, valid.table["probability"])
    assert found.operating_points["sensitivity>=0.9"].threshold == threshold
    assert list(found.operating_points) == ["0.5", "validation", "sensitivity>=0.9", "0.25"]


def test_points_of_a_run_can_be_chosen_on_another_split(tiny_run, mini):
    few = mini.select(range(0, len(mini), 10))
    own, other = (evaluate(tiny_run, few, points=["youden"], point_split=split) for split in (None, "train"))
    assert own.made_by["points_chosen_on"] == "validation patches of the model"
    assert other.made_by["points_chosen_on"]["split"] == "train"
    assert own.operating_points["youden"].threshold == tiny_run.threshold


@pytest.mark.parametrize("options", [{}, {"point_split": "test"}, {"point_split": "train"}])
def test_points_are_not_chosen_without_other_labeled_patches(mini, tmp_path, options):
    with pytest.raises(ConfigError, match="d4net-m: operating points are chosen on validation patches"):
        evaluate(load_run(DEFAULT_MODEL), mini.split("test"), out=tmp_path, points=["youden"], **options)
    assert not list(tmp_path.iterdir())


def test_exchanged_labels_are_reported(mini, caplog):
    test = mini.split("test").select(range(0, 400, 10))
    exchanged = replace(test, table=test.table.assign(label=1 - test.table["label"]))
    found = evaluate(load_run(DEFAULT_MODEL), exchanged)
    assert found.auc < 0.2 and "labels are not swapped" in found.warnings[-1] and "not swapped" in caplog.text
    caplog.clear()
    assert not any("swapped" in warning for warning in evaluate(load_run(DEFAULT_MODEL), test).warnings)
    two = exchanged.select([0, len(exchanged) - 1])  # An AUC of 0 by chance.
    assert not any("swapped" in warning for warning in evaluate(load_run(DEFAULT_MODEL), two).warnings)


def test_a_notebook_shows_the_metrics(evaluation):
    html = evaluation._repr_html_()
    assert f"{evaluation.ranking.auc:.3f}" in html and "pcam-mini, split test" in html


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, float("nan")])
def test_an_invalid_prevalence_is_refused(tiny_run, mini, tmp_path, prevalence):
    with pytest.raises(ConfigError, match="prevalence must be above 0 and below 1"):
        evaluate(tiny_run, mini, out=tmp_path, prevalences=[prevalence])


@pytest.mark.slow
def test_predictive_values_fall_with_the_prevalence(tiny_run, mini, tmp_path):
    found = evaluate(tiny_run, mini, out=tmp_path, points=["youden"], prevalences=[0.01, 0.1])
    rare, common = found.operating_points["youden"].at_prevalence
    assert (rare.prevalence, common.prevalence) == (0.01, 0.1)
    assert rare.ppv.estimate < common.ppv.estimate and rare.npv.estimate > common.npv.estimate


def test_prediction_sets_are_those_of_the_run(tiny_run, mini, tmp_path):
    found = evaluate(tiny_run, mini, out=tmp_path)
    assert found.selective.conformal.nominal == 0.95
    assert tiny_run.summary["conformal"]["miscoverage"] == 0.05


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("test", "test"),
        ("fold/1", "fold-1"),
        ("/tmp/evil", "-tmp-evil"),
        ("..", "-"),
        ("stress-a\\b:c", "stress-a-b-c"),
        ("größe 2", "größe 2"),
    ],
)
def test_a_result_lies_in_the_run_whatever_its_split_is_called(name, folder, tmp_path):
    assert default_folder(tmp_path, name, "ab", "metrics.json") == tmp_path / "evaluations" / folder
    (tmp_path / "evaluations" / folder).mkdir(parents=True)
    (tmp_path / "evaluations" / folder / "metrics.json").write_text('{"made_by": {"fingerprint": "another"}}')
    found = default_folder(tmp_path, name, "0123456789", "metrics.json")
    assert found == tmp_path / "evaluations" / f"{folder}-01234567"
