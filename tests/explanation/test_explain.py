"""Patches explained, from the API and from the command line."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import logit

from sentinode import TrainConfig, build_model, open_patches, predict, train
from sentinode.errors import DataError
from sentinode.explanation.explain import explain


@pytest.fixture(scope="module")
def few():
    """Some real patches."""
    patches = open_patches("pcam-mini")
    return patches.select(range(0, len(patches), 10))


@pytest.fixture(scope="module")
def run(few, tmp_path_factory):
    """A short training."""
    return train(build_model("cnn"), few, TrainConfig(epochs=1), out=tmp_path_factory.mktemp("runs") / "run")


def test_the_surest_mistakes_and_the_least_sure_calls_are_chosen(run, few) -> None:
    """Without a wish: mistakes of both kinds first, no patch twice."""
    found = explain(run, few, methods=["grad-cam"])
    test = few.split("test")
    predicted = predict(run, test).table
    tumour, called = test.labels == 1, predicted["probability"] >= run.threshold
    away = (predicted["logit"] - logit(run.threshold)).abs().sort_values(ascending=False)
    surest = [
        name for kind in (tumour & ~called, ~tumour & called) for name in predicted["id"].loc[away[kind].index[:2]]
    ]
    assert len(surest) > 0
    assert found.table["id"].tolist()[: len(surest)] == surest
    assert found.table["id"].is_unique
    assert len(found.table) == 8
    assert found.folder == run.path / "explanations"
    with Image.open(found.folder / "explanations.png") as picture:
        assert picture.width > 400
    written = pd.read_csv(found.folder / "explanations.csv")
    np.testing.assert_allclose(written["central_share"], found.table["central_share"].astype(float))


def test_patches_without_labels_are_explained_too(run, few, tmp_path) -> None:
    """The least sure calls of all of them."""
    for row, patch in enumerate(few.split("test").read(range(9))):
        Image.fromarray(patch).save(tmp_path / f"{row}.png")
    found = explain(run, open_patches(tmp_path), methods=["grad-cam"], out=tmp_path / "out")
    assert len(found.table) == 8
    assert found.table["label"].isna().all()


def test_an_unknown_patch_is_named(run, few) -> None:
    """With an id as it should look."""
    with pytest.raises(DataError, match=r"there is no patch 'nowhere\.png'"):
        explain(run, few, ids=["nowhere.png"])


def test_the_command_line_prints_what_the_csv_holds(run, few, tmp_path) -> None:
    """As json; nothing is written but its pictures and tables."""
    name = few.split("test").table["id"].iloc[0]
    words = ["explain", "pcam-mini", "--model", str(run.path), "--patch", name, "--method", "occlusion"]
    said = subprocess.run(
        [sys.executable, "-m", "sentinode.cli.main", *words, "--out", str(tmp_path / "out"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(said.stdout)
    (row,) = answer["explanations"]
    (written,) = pd.read_csv(tmp_path / "out" / "explanations.csv").to_dict("records")
    assert row["id"] == written["id"] == name
    assert row["deletion_gain"] == pytest.approx(written["deletion_gain"])
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *("explanations.csv", "explanations.png", "hiding.csv", "hiding.png"),
        *("first_layer.png", "neighbours.csv", "neighbours.png"),
    }
    near = pd.read_csv(tmp_path / "out" / "neighbours.csv")
    assert near["neighbour"].tolist() == [each["neighbour"] for each in answer["neighbours"]]
    assert set(near["neighbour"]) <= set(few.split("train").table["id"])


def test_what_an_earlier_call_left_does_not_stay(run, few, tmp_path) -> None:
    """Without training patches among those that are given there are no neighbours."""
    explain(run, few, methods=["occlusion"], ids=few.split("test").table["id"][:1].tolist(), out=tmp_path)
    assert (tmp_path / "neighbours.png").is_file()
    test = few.split("test")
    found = explain(run, test, methods=["occlusion"], ids=test.table["id"][:1].tolist(), out=tmp_path)
    assert found.neighbours is None
    assert not list(tmp_path.glob("neighbours*"))
