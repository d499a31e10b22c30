"""Models of a comparison, and the matching of predictions of other software to patches."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentinode import predict
from sentinode.data.patchset import patch_table
from sentinode.errors import ConfigError, DataError, RunError
from sentinode.evaluation.candidates import open_candidate, open_candidates
from sentinode.evaluation.operating_points import PointChooser
from sentinode.evaluation.prediction_files import PredictionsFile
from sentinode.evaluation.selection import select_patches
from sentinode.metrics import choose_threshold


@pytest.fixture(scope="module")
def few(mini):
    return mini.split("test").select(range(0, 400, 20))


def written(folder, name="it.csv", **columns):
    pd.DataFrame(columns).to_csv(folder / name, index=False)
    return PredictionsFile(folder / name)


def probabilities(patches):
    return np.random.default_rng(0).uniform(size=len(patches)).round(3)


def renamed(patches, ids, split=None):
    """Return a set with other ids."""
    table = patch_table(ids, patches.labels[: len(ids)].tolist(), split)
    return replace(patches.select(range(len(ids))), table=table)


def stem(name):
    return name.split("/")[-1].rsplit(".", 1)[0]


def test_a_run_and_the_csv_of_its_predictions_give_the_same_predictions(tiny_run, few, tmp_path):
    predict(tiny_run, few).write(tmp_path / "predictions.csv")
    chooser = PointChooser(few, select_patches([], few))
    [(predictions, threshold)], cost = open_candidate(tiny_run.path).predict(few, chooser)
    [(other, other_threshold)], other_cost = open_candidate(f"csv={tmp_path / 'predictions.csv'}").predict(few, chooser)
    assert threshold == other_threshold == tiny_run.threshold
    assert np.array_equal(predictions.table["logit"], predict(tiny_run, few).table["logit"])
    assert np.array_equal(predictions.table["logit"], other.table["logit"])
    assert (cost.parameters, cost.flops) == (166_977, 37_453_952)
    assert cost.size_bytes > 4 * 166_977 and cost.patches_per_s > 0
    assert other_cost.parameters is None


@pytest.mark.parametrize(
    ("key", "matched_by"),
    [
        (lambda name: name, "id"),
        (lambda name: name.split("/")[-1], "path"),
        (lambda name: "./" + name, "path"),
        (lambda name: "C:\\elsewhere\\" + name.replace("/", "\\"), "path"),
        (lambda name: "/home/me/data/" + name, "path"),
        (stem, "path without file ending"),
        (lambda name: name.rsplit(".", 1)[0] + ".tif", "path without file ending"),
    ],
)
def test_ids_match_as_they_are_as_paths_and_without_endings_in_any_order(few, tmp_path, key, matched_by):
    given, order = probabilities(few), np.random.default_rng(1).permutation(len(few))
    file = written(tmp_path, id=few.table["id"].map(key)[order], probability=given[order])
    predictions = file.predictions(few)
    assert predictions.table["probability"].to_numpy() == pytest.approx(given)
    assert predictions.made_by["matched_by"] == matched_by


@pytest.mark.parametrize(
    ("ids", "patch_ids", "columns"),
    [
        (["valid/0", "valid/1"], ["test/0", "test/1"], {}),  # Another split.
        (["0", "1"], ["test/0", "test/1"], {}),  # Row numbers are not file names.
        (["test/1/a.png", "test/0/b.png"], ["test/0/a.png", "test/1/b.png"], {}),  # Other class folders.
        (["a.png", "b.png"], ["test/0/a.png", "test/1/b.png"], {"label": [1, 0]}),
        (["a.png", "b.png"], ["test/0/a.png", "test/1/b.png"], {"split": ["valid", "valid"]}),
        (["a.png"], ["test/0/a.png", "test/1/a.png"], {}),  # One row for two patches.
        (["x/a.png", "y/a.png"], ["a.png", "b.png"], {}),  # Two rows for one patch.
    ],
)
def test_contradicting_or_ambiguous_ids_do_not_match(mini, tmp_path, ids, patch_ids, columns):
    test = mini.split("test")
    patches = renamed(test.select([0, 399]), patch_ids, "test")
    assert patches.labels.tolist() == [0, 1]
    file = written(tmp_path, id=ids, probability=[0.1, 0.9][: len(ids)], **columns)
    with pytest.raises(DataError, match="no matching row"):
        file.predictions(patches)


def test_ids_that_lost_their_leading_zeros_are_refused_with_the_cause(mini, tmp_path):
    """pandas reads 0007 as 7 unless it is told that ids are text."""
    patches = renamed(mini.split("test").select([0, 399]), ["test/0/0007.png", "test/1/0010.png"], "test")
    with pytest.raises(DataError, match="leading zeros"):
        written(tmp_path, id=["7", "10"], probability=[0.1, 0.9]).predictions(patches)
    assert written(tmp_path, id=["0007", "0010"], probability=[0.1, 0.9]).predictions(patches)


def test_rows_of_other_patches_are_ignored_and_counted(few, tmp_path):
    file = written(tmp_path, id=[*few.table["id"], "x.png", "y.png"], logit=np.arange(len(few) + 2.0))
    predictions = file.predictions(few)
    assert np.array_equal(predictions.table["logit"], np.arange(len(few)))
    assert predictions.made_by["rows_of_other_patches"] == 2


def test_labels_that_differ_from_those_of_the_patches_are_reported(few, tmp_path, caplog):
    labels = np.where(np.arange(len(few)) < 2, 1 - few.labels, few.labels)
    file = written(tmp_path, id=few.table["id"], probability=probabilities(few), label=labels)
    assert file.predictions(few).made_by["label_conflicts"] == 2
    assert "label of 2 patches differs" in caplog.text


def test_equal_ids_of_another_split_or_of_rows_with_other_labels_are_no_match(few, tmp_path):
    """Row numbers of two data sets are equal, their patches are not."""
    rows = renamed(few, [str(row) for row in range(len(few))])
    for patches, columns in (
        (renamed(few, few.table["id"], "test"), {"split": "val"}),
        (rows, {"label": 1 - few.labels}),
    ):
        file = written(tmp_path, id=patches.table["id"], probability=probabilities(few), **columns)
        with pytest.raises(DataError, match="labels and splits must agree"):
            file.predictions(patches)
    patches = renamed(few, few.table["id"], "test")
    file = written(
        tmp_path, id=[stem(name) for name in few.table["id"]], probability=probabilities(few), split="Testing"
    )
    assert file.predictions(patches).made_by["matched_by"] == "path without file ending"


@pytest.mark.parametrize("words", [("0", "1"), ("normal", "tumour"), ("False", "True"), ("0.0", "1.0"), ("a", "b")])
def test_equal_and_unknown_labels_are_not_reported(few, tmp_path, caplog, words):
    labels = [words[label] for label in few.labels]
    written(tmp_path, id=few.table["id"], probability=probabilities(few), label=labels).predictions(few)
    assert not caplog.text


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["id,label", "id,probability", "filename,probability", "Image_ID,Probability,note"])
def test_kaggle_submissions_other_headers_and_separators_are_read(few, tmp_path, header, separator):
    given = probabilities(few)
    rows = [
        f"{stem(name)},{value},{'x' * ('note' in header)}".rstrip(",")
        for name, value in zip(few.table["id"], given, strict=True)
    ]
    text = "\n".join([header, *rows]).replace(",", separator)
    (tmp_path / "it.csv").write_bytes(("\ufeff" + text).encode())
    found = PredictionsFile(tmp_path / "it.csv").predictions(few)
    assert found.table["probability"].to_numpy() == pytest.approx(given)


def test_a_probability_that_is_the_threshold_is_predicted_as_tumour(few, tmp_path):
    """0.11 and 0.42 lose their last digit on the way over the logit."""
    for value in (0.11, 0.42, 0.63):
        file = written(tmp_path, id=list(few.table["id"]), probability=[value] * len(few))
        Path(f"{file.path}.json").write_text(json.dumps({"threshold": value}))
        found = PredictionsFile(file.path).predictions(few).table
        assert set(found["probability"]) == {value}
        assert found["prediction"].all()


def test_what_predict_writes_for_kaggle_can_be_compared(tiny_run, few, tmp_path):
    predictions = predict(tiny_run, few)
    predictions.write_kaggle(tmp_path / "submission.csv", [stem(name) for name in few.table["id"]])
    found = PredictionsFile(tmp_path / "submission.csv").predictions(few)
    assert found.table["probability"].to_numpy() == pytest.approx(predictions.table["probability"].to_numpy())


def test_a_missing_patch_is_refused_with_the_count_and_an_example(few, tmp_path):
    ids = list(few.table["id"])
    file = written(tmp_path, id=ids[2:], logit=np.arange(len(few) - 2.0))
    with pytest.raises(DataError, match=f"2 of the 20 patches of pcam-mini, .*'{ids[0]}', '{ids[1]}'"):
        file.predictions(few)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,probability\na,0.5\nb,1.2\n", "row 3: probability '1.2' is not between 0 and 1"),
        ("id,probability\na,0.5\nb,nan\n", "row 3: probability 'nan' is not a finite number"),
        ("id,logit\na,high\n", "row 2: logit 'high' is not a finite number"),
        ("id,logit\na,1\nb,2\na,3\n", "row 4: id 'a' occurs twice"),
        ("name,score\na,1\n", "needs the columns id, and probability or logit; found name, score"),
        ("id,label\na,1\nb,0\n", "needs the columns id, and probability or logit; found id, label"),
        ("id,logit\na,1,2\n", "it.csv"),
        ("", "it.csv"),
    ],
)
def test_an_invalid_csv_is_refused(few, tmp_path, text, message):
    (tmp_path / "it.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        PredictionsFile(tmp_path / "it.csv").predictions(few)


def test_probabilities_of_0_and_1_have_finite_logits_in_order(tmp_path):
    table = written(tmp_path, id=list("abcd"), probability=[0, 1e-300, 1 - 1e-16, 1]).table["logit"]
    assert np.isfinite(table).all()
    assert table.is_monotonic_increasing and table["a"] < table["b"]


def test_the_threshold_is_that_of_the_json_file_next_to_it_otherwise_one_half(tmp_path):
    file = written(tmp_path, id=["a"], logit=[1.0])
    assert file.threshold == 0.5
    beside = tmp_path / "it.csv.json"
    for content, threshold in (({"threshold": 0.3}, 0.3), ({"model": "other"}, 0.5)):
        beside.write_text(json.dumps(content))
        assert file.threshold == threshold
    for text in ('{"threshold": 7}', "[]", '{"threshold": null}', "not JSON"):
        beside.write_text(text)
        with pytest.raises(DataError, match=r"it\.csv\.json.* delete"):
            _ = file.threshold


def test_seeds_are_given_with_commas_or_a_pattern(tmp_path):
    for name in ("a", "b", "c"):
        written(tmp_path, f"{name}.csv", id=[name], logit=[1.0])
    by_commas = open_candidate(f"cnn={tmp_path / 'a.csv'},{tmp_path / 'b.csv'}")
    by_pattern = open_candidate(f"cnn={tmp_path}/[ab].csv")
    assert by_commas == by_pattern
    assert (by_commas.name, len(by_commas.members)) == ("cnn", 2)
    for model in (
        f"{tmp_path / 'a.csv'},{tmp_path / 'b.csv'}",
        f"cnn={tmp_path}/[xy].csv",
        f"cnn={tmp_path / 'a.csv'},",
    ):
        with pytest.raises(ConfigError):
            open_candidate(model)


def test_an_existing_path_is_that_path_whatever_its_name(tmp_path):
    written(tmp_path, "lr=0.1,0.2.csv", id=["a"], logit=[1.0])
    assert open_candidate(tmp_path / "lr=0.1,0.2.csv").name == "lr=0.1,0.2"
    assert len(open_candidate(f"mine={tmp_path / 'lr=0.1,0.2.csv'}").members) == 1


def test_the_same_weights_twice_and_the_same_name_twice_are_refused(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.path, tmp_path / tiny_run.path.name)
    with pytest.raises(ConfigError, match="have the same weights"):
        open_candidate(f"cnn={tiny_run.path},{copy}")
    with pytest.raises(ConfigError, match="same name 'tiny'"):
        open_candidates([tiny_run.path, copy])


def test_seeds_with_different_networks_are_refused(tiny_run):
    with pytest.raises(ConfigError, match="not two seeds of one recipe"):
        open_candidate(f"mixed={tiny_run.path},d4net-m").check()


def test_a_missing_file_or_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv"):
        open_candidate(tmp_path / "none.csv")
    with pytest.raises(RunError):
        open_candidate(tmp_path / "none")


def test_the_rule_of_a_csv_is_applied_to_its_rows_of_the_validation_split(mini, tmp_path):
    few = mini.select(range(0, len(mini), 10))
    probability = np.random.default_rng(0).uniform(size=len(few))
    table = pd.DataFrame({"id": few.table["id"], "probability": probability})
    table.to_csv(tmp_path / "all.csv", index=False)
    table[few.table["split"] == "test"].to_csv(tmp_path / "test.csv", index=False)
    selected = select_patches([], few, "test")
    chooser = PointChooser(few, selected)
    valid = (few.table["split"] == "valid").to_numpy()
    expected = choose_threshold("youden", few.labels[valid], probability[valid])
    [(_, threshold)], _ = open_candidate(tmp_path / "all.csv").predict(selected.patches, chooser, "youden")
    assert threshold == pytest.approx(expected)
    [(_, threshold)], _ = open_candidate(tmp_path / "test.csv").predict(selected.patches, chooser, "0.25")
    assert threshold == 0.25
    with pytest.raises(DataError, match="no matching row"):
        open_candidate(tmp_path / "test.csv").predict(selected.patches, chooser, "youden")
