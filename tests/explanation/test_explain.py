"""Explanations from Python and from the command line."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import logit
from tests.commands import sentinode, succeeded

from sentinode import explain, open_patches, predict
from sentinode.errors import DataError


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 10))


@pytest.fixture(scope="module")
def one(few):
    return few.split("test").table["id"].iloc[0]


@pytest.mark.slow
def test_the_most_confident_errors_and_the_least_confident_predictions_are_chosen(tiny_run, few):
    found = explain(tiny_run, few, methods=["grad-cam"])
    test = few.split("test")
    table = predict(tiny_run, test).table
    label, predicted = test.labels == 1, table["probability"] >= tiny_run.threshold
    margin = (table["logit"] - logit(tiny_run.threshold)).abs().sort_values(ascending=False)
    errors = [name for kind in (label & ~predicted, ~label & predicted) for name in table["id"][margin[kind].index[:2]]]
    assert len(errors) > 0
    assert found.table["id"].tolist()[: len(errors)] == errors
    assert found.table["id"].nunique() == len(found.table) == 8


def test_nothing_is_written_without_a_folder(tiny_run, few, one, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = explain(tiny_run, few, ids=[one], methods=["grad-cam"])
    assert list(tmp_path.iterdir()) == []
    assert not (tiny_run.path / "explanations").exists()
    assert repr(found) == "<Explanations of 1 patch by grad-cam>"
    html = found._repr_html_()
    assert "data:image/png;base64," in html
    assert "central_share" in html


def test_unlabeled_patches_are_explained(tiny_run, few, tmp_path):
    for row, patch in enumerate(few.split("test").read(range(9))):
        Image.fromarray(patch).save(tmp_path / f"{row}.png")
    found = explain(tiny_run, open_patches(tmp_path), methods=["grad-cam"])
    assert len(found.table) == 8
    assert found.table["label"].isna().all()


def test_an_unknown_id_is_refused(tiny_run, few):
    with pytest.raises(DataError, match=r"'nowhere\.png'"):
        explain(tiny_run, few, ids=["nowhere.png"])


def test_the_command_writes_its_files_and_prints_the_table_as_json(tiny_run, few, one, tmp_path):
    words = ["explain", "pcam-mini", "--model", tiny_run.path, "--patch", one, "--method", "occlusion"]
    answer = json.loads(succeeded(sentinode(*words, "--out", tmp_path / "out", "--json")))
    (row,) = answer["explanations"]
    (written,) = pd.read_csv(tmp_path / "out" / "explanations.csv").to_dict("records")
    assert row["id"] == written["id"] == one
    assert row["deletion_gain"] == pytest.approx(written["deletion_gain"])
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *("explanations.csv", "explanations.png", "deletion_curves.csv", "deletion_curves.png"),
        *("first_layer.png", "neighbors.csv", "neighbors.png"),
    }
    near = pd.read_csv(tmp_path / "out" / "neighbors.csv")
    assert near["neighbor"].tolist() == [each["neighbor"] for each in answer["neighbors"]]
    assert set(near["neighbor"]) <= set(few.split("train").table["id"])
    curves = pd.read_csv(tmp_path / "out" / "deletion_curves.csv")
    assert curves.groupby("curve").size().to_dict() == {"deletion": 25, "insertion": 25}


def test_files_of_an_earlier_call_are_deleted_and_those_of_the_user_stay(tiny_run, few, one, tmp_path):
    for name in ("neighbors.png", "deletion_curves.svg", "neighbors.md", "first_layer.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deletion_curves.old").mkdir()
    explain(tiny_run, few.split("test"), methods=["grad-cam"], ids=[one], out=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        *("explanations.csv", "explanations.png", "deletion_curves.csv", "deletion_curves.png", "first_layer.png"),
        *("neighbors.md", "first_layer.txt", "deletion_curves.old"),
    }


def test_a_network_without_any_feature_map_is_explained_by_occlusion(few, one):
    layers = keras.layers
    network = keras.Sequential([keras.Input((96, 96, 3), dtype="uint8"), layers.Flatten(), layers.Dense(1, "sigmoid")])
    assert set(explain(network, few, ids=[one]).maps) == {"occlusion"}


@pytest.mark.slow
def test_files_of_an_earlier_call_are_deleted(tiny_run, few, one, tmp_path):
    found = explain(tiny_run, few, methods=["occlusion"], ids=[one], out=tmp_path)
    assert (tmp_path / "neighbors.png").is_file()
    without = explain(tiny_run, few.split("test"), methods=["grad-cam"], ids=[one])
    assert without.neighbors is None
    without.write(tmp_path)
    assert not list(tmp_path.glob("neighbors*"))
    np.testing.assert_array_equal(found.pixels, without.pixels)
