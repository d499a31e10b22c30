"""Situations from public reports: scaled pixels for an export, two outputs everywhere, predictions in another order."""

import json

import keras
import numpy as np
import pytest
from tests.commands import sentinode, succeeded

from sentinode import audit, compare, embed, evaluate, export_run, load_run, predict, stress
from sentinode.inference.keras_predictor import KerasPredictor


def test_an_export_states_that_it_expects_uint8_and_reads_all_forms_of_0_to_255(tiny_run, mini, tmp_path):
    text = succeeded(sentinode("export", "--model", tiny_run.path, "--format", "keras", "--out", tmp_path / "it.keras"))
    assert "expects uint8 patches from 0 to 255, not scaled" in text
    about = json.loads((tmp_path / "it.keras.json").read_text())["input"]
    assert (about["dtype"], about["value_range"]) == ("uint8", [0, 255])
    network, pixels = keras.saving.load_model(tmp_path / "it.keras"), mini.split("test").read(range(4))
    expected = network.predict_on_batch(pixels)
    for kind in ("float32", "int64"):
        np.testing.assert_allclose(network.predict_on_batch(pixels.astype(kind)), expected, atol=1e-5)


def test_a_model_with_two_softmax_outputs_works_everywhere(mini, tmp_path):
    from sentinode import build_model

    model = KerasPredictor(build_model("cnn", output="softmax", seed=1), threshold=0.4)
    few = mini.split("test").select(range(0, 400, 20))
    assert evaluate(model, few).made_by["threshold"] == 0.4
    assert embed(model, few).shape[0] == len(few)
    assert export_run(model, tmp_path / "it.keras").difference < 1e-3
    assert len(audit(model, few, folds=2).table) == len(few)
    assert stress(model, few, quick=True).unperturbed.auc.estimate == evaluate(model, few).auc


@pytest.mark.slow
def test_predictions_in_another_order_are_as_good_as_chance(mini, tmp_path):
    test = mini.split("test")
    table = predict(load_run("d4net-m"), test)
    shuffled = table.table.assign(probability=np.random.default_rng(1).permutation(table.table["probability"]))
    shuffled[["id", "probability"]].to_csv(tmp_path / "theirs.csv", index=False)
    found = compare(["d4net-m", f"theirs={tmp_path / 'theirs.csv'}"], test)
    auc = {model.name: model.evaluations[0].ranking.auc.estimate for model in found.models}
    assert auc["theirs"] == pytest.approx(0.5, abs=0.1)
    assert auc["d4net-m"] > 0.9
