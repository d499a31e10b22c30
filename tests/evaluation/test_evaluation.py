"""An evaluation: on which patches, with which numbers, and what is written."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics

from sentinode import TrainConfig, build_model, evaluate, load_run, open_patches, train
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.evaluate import choose_split
from sentinode.samples import DEFAULT_MODEL

PICTURES = {"roc.png", "curves.png", "confusion.png"}
TABLES = {"roc.csv", "precision_recall.csv", "risk_coverage.csv", "predictions.csv"}
WRITTEN = {"metrics.json", "predictions.csv.json", *PICTURES, *TABLES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def evaluation(tiny_run, mini, folder):
    return evaluate(tiny_run, mini, out=folder)


@pytest.fixture(scope="module")
def held_out_run(mini, tmp_path_factory):
    """A run on a source that has no validation split."""
    patches = mini.split("train").select(range(0, 1080, 18))
    out = tmp_path_factory.mktemp("runs") / "held-out"
    return train(build_model("mlp", dense_units=1), patches, TrainConfig(epochs=1), out=out), patches


def in_splits(patches, names) -> object:
    return patches.select(np.flatnonzero(patches.table["split"].isin(names)))


def test_everything_is_written(evaluation, folder):
    assert {path.name for path in folder.iterdir()} == WRITTEN
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert picture.format == "PNG"


def test_the_numbers_follow_from_the_predictions(evaluation, folder, tiny_run):
    table = pd.read_csv(folder / "predictions.csv")
    found = json.loads((folder / "metrics.json").read_text())
    assert list(table.columns) == ["id", "label", "probability", "logit", "prediction", "warning"]
    assert found["patches"] == {"normal": int((table.label == 0).sum()), "tumour": int((table.label == 1).sum())}
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(table.label, table.logit), abs=1e-12)
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


def test_what_is_returned_is_what_is_written(evaluation, folder):
    assert evaluation.to_json() == json.loads((folder / "metrics.json").read_text())
    assert f"{evaluation.auc:.4f} (" in str(evaluation)
    assert evaluation.made_by["split"] == "test"
    assert evaluation.table().loc["0.5", "accuracy_low"] == evaluation.points["0.5"].accuracy.low


def test_it_is_written_into_the_run_when_no_folder_is_named(held_out_run):
    run, patches = held_out_run
    found = evaluate(run, patches)
    assert {path.name for path in (run.path / "evaluations" / found.split).iterdir()} == WRITTEN


def test_the_test_split_comes_first_then_the_validation_split(tiny_run, mini):
    assert choose_split(tiny_run, mini, None)[0] == "test"
    assert choose_split(tiny_run, in_splits(mini, ["train", "valid"]), None)[0] == "valid"
    name, chosen = choose_split(tiny_run, mini, "train")
    assert (name, set(chosen.table["split"])) == ("train", {"train"})


def test_a_test_split_without_labels_is_passed_over(tiny_run, mini):
    table = mini.table.assign(label=mini.table["label"].mask(mini.table["split"] == "test"))
    unlabelled = type(mini)(mini.kind, mini.path, table, mini.pixels, mini.rows)
    assert choose_split(tiny_run, unlabelled, None)[0] == "valid"
    with pytest.raises(DataError, match="400 of 400 patches have no label"):
        evaluate(tiny_run, unlabelled, "test")


def test_without_a_split_the_held_out_patches_are_taken(held_out_run):
    run, patches = held_out_run
    for wish in (None, "valid"):
        name, chosen = choose_split(run, patches, wish)
        assert name == "valid"
        assert set(chosen.table["sha1"]) == run.held_out()
    assert len(chosen) == 6


def test_a_source_without_splits_is_taken_whole(tiny_run, mini):
    bare = type(mini)(mini.kind, mini.path, mini.table.assign(split=None), mini.pixels, mini.rows)
    name, chosen = choose_split(tiny_run, bare, None)
    assert (name, len(chosen)) == ("all", len(mini))


def test_without_any_labelled_split_the_splits_are_named(tiny_run, mini):
    with pytest.raises(DataError, match=r"neither test nor valid .* \(there are: train\)"):
        choose_split(tiny_run, mini.split("train"), None)
    with pytest.raises(DataError, match=r"no split 'tset' \(splits here: train, valid, test\)"):
        choose_split(tiny_run, mini, "tset")


def test_patches_that_were_trained_on_are_met_with_a_warning_in_whatever_set_they_come(
    tiny_run, mini, tmp_path, caplog
):
    evaluate(tiny_run, mini.select(range(0, len(mini), 10)), "train", out=tmp_path)
    assert "split train: 54 of these patches were trained on; figures on them flatter" in caplog.text


def test_the_runs_own_validation_patches_are_met_with_a_warning(tiny_run, mini, tmp_path, caplog):
    evaluate(tiny_run, mini.select(range(0, len(mini), 20)), "valid", out=tmp_path)
    assert "threshold and best epoch chosen on 9 of these patches" in caplog.text
    assert "trained on" not in caplog.text


def test_the_patches_of_a_test_are_not_warned_of(tiny_run, mini, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="sentinode"):
        evaluate(tiny_run, mini.select(range(0, len(mini), 20)), "test", out=tmp_path)
    assert "flatter" not in caplog.text


def test_one_class_cannot_be_evaluated(tiny_run, mini, tmp_path):
    normal = mini.select(np.flatnonzero((mini.table["label"] == 0).to_numpy(dtype=bool)))
    with pytest.raises(DataError, match="a ROC curve needs both classes"):
        evaluate(tiny_run, normal.split("valid"), out=tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_the_cache_of_an_evaluation_can_be_elsewhere(tiny_run, tmp_path):
    patches = open_patches("pcam-mini", split="valid").select(range(80, 100))
    evaluate(tiny_run, patches, out=tmp_path / "out", cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*/pixels.npy"))) == 1


@pytest.fixture
def own_copy(tiny_run, tmp_path):
    return load_run(shutil.copytree(tiny_run.path, tmp_path / "own"))


def test_an_evaluation_of_other_patches_does_not_overwrite_the_first(own_copy, mini):
    first = evaluate(own_copy, mini.select(range(0, len(mini), 20)), "test")
    other = evaluate(own_copy, mini.select(range(1, len(mini), 20)), "test")
    again = evaluate(own_copy, mini.select(range(0, len(mini), 20)), "test")
    assert first.folder == again.folder == own_copy.path / "evaluations" / "test"
    assert other.folder.name.startswith("test-") and (other.folder / "metrics.json").is_file()


def test_the_held_out_part_is_found_again_under_other_names(tmp_path, mini):
    few = mini.split("train").select(range(0, 1080, 30))
    run = train(build_model("cnn"), few, TrainConfig(epochs=1), out=tmp_path / "run")
    renamed = replace(few, table=few.table.assign(id="deeper/" + few.table["id"]))
    name, chosen = choose_split(run, renamed, None)
    assert name == "valid"
    assert set(chosen.table["sha1"]) == run.held_out()


def with_slides(patches, slides):
    """Give patches slides, in turn."""
    names = [f"slide_{number % slides}" for number in range(len(patches))]
    return replace(patches, table=patches.table.assign(slide=pd.Series(names, dtype="str")))


def test_without_slides_the_reader_is_told_what_intervals_take_for_granted(evaluation):
    assert evaluation.clusters is None
    assert "take patches as independent" in str(evaluation)
    assert evaluation.to_json()["ranking"]["auc"]["patches_independent"]


def test_intervals_are_over_slides_where_they_are_known(tiny_run, mini, tmp_path):
    found = evaluate(tiny_run, with_slides(mini.split("test"), 8), out=tmp_path)
    assert found.clusters == "slide"
    assert found.ranking["auc"].clusters == found.points["0.5"].accuracy.clusters == 8
    assert "95 % intervals over 8 slides" in str(found)
    assert {path.name for path in tmp_path.iterdir()} == WRITTEN | {"by-slide.csv", "by-slide.png"}
    table = pd.read_csv(tmp_path / "by-slide.csv")
    assert len(table) == 8 and list(table["auc"]) == sorted(table["auc"])


def test_any_column_makes_groups_and_a_patch_without_one_is_in_its_own(tiny_run, mini, tmp_path):
    patches = mini.split("test")
    colour = pd.Series(["red", "blue", None] * 200)[: len(patches)]
    found = evaluate(tiny_run, replace(patches, table=patches.table.assign(colour=colour)), out=tmp_path, by=["colour"])
    assert {group.name for group in found.subgroups["colour"]} == {"red", "blue", "not known"}
    assert sum(group.normal + group.tumour for group in found.subgroups["colour"]) == len(patches)
    with pytest.raises(ConfigError, match="no column 'flavour' is known of these patches; there are: label, split"):
        evaluate(tiny_run, patches, out=tmp_path, by=["flavour"])


def test_operating_points_are_chosen_on_the_validation_patches_of_the_run(tiny_run, mini, tmp_path):
    rules = ["sensitivity>=0.9", "cost=5:1", 0.25]
    found = evaluate(tiny_run, mini, out=tmp_path, points=rules)
    assert list(found.points) == ["0.5", "validation", *map(str, rules)]
    validation = pd.read_csv(tiny_run.path / "valid_predictions.csv")
    chosen = found.points["sensitivity>=0.9"].point.threshold
    assert (validation.probability[validation.label == 1] >= chosen).mean() >= 0.9
    assert found.points["0.25"].point.threshold == 0.25


def test_a_rule_without_validation_predictions_is_refused_before_predicting(mini, tmp_path):
    with pytest.raises(ConfigError, match="keeps no predictions of them; give a number"):
        evaluate(load_run(DEFAULT_MODEL), mini, out=tmp_path, points=["youden"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, float("nan")])
def test_a_prevalence_that_is_none_is_refused(tiny_run, mini, tmp_path, prevalence):
    with pytest.raises(ConfigError, match="a prevalence is a share of tumour above 0 and below 1"):
        evaluate(tiny_run, mini, out=tmp_path, prevalences=[prevalence])


def test_predictive_values_fall_with_the_prevalence(tiny_run, mini, tmp_path):
    found = evaluate(tiny_run, mini, out=tmp_path, points=["youden"], prevalences=[0.01, 0.1])
    rare, common = found.points["youden"].at_prevalence
    assert (rare.prevalence, common.prevalence) == (0.01, 0.1)
    assert rare.ppv.estimate < common.ppv.estimate and rare.npv.estimate > common.npv.estimate


def test_prediction_sets_are_those_of_the_run(tiny_run, mini, tmp_path):
    found = evaluate(tiny_run, mini, out=tmp_path)
    assert found.conformal.asked == 0.95
    assert tiny_run.summary["conformal"]["miscoverage"] == 0.05
    assert f"prediction sets meant to hold 95% of labels hold {found.conformal.coverage.estimate:.3f}" in str(found)
