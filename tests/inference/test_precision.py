"""Predictions in bfloat16: nearly those of float32, said so, and refused where there is none."""

import importlib.util
import json

import keras
import numpy as np
import pytest

from sentinode import evaluate, load_run, predict
from sentinode.errors import ConfigError, ModelError
from sentinode.export.cached import engine_file
from sentinode.export.int8 import quantize_to_int8
from sentinode.inference.engines import openvino
from sentinode.metrics import auc


def has_bfloat16() -> bool:
    if importlib.util.find_spec("openvino") is None:
        return False
    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize(
    "engine",
    [
        "keras",
        pytest.param("openvino", marks=pytest.mark.skipif(not has_bfloat16(), reason="no OpenVINO with bfloat16")),
    ],
)
def test_bfloat16_is_nearly_float32(mini, engine):
    run, patches = load_run("d4net-m"), mini.split("test").select(range(0, 400, 4))
    single, half = (predict(run, patches, engine=engine, precision=each) for each in ("float32", "bfloat16"))
    away = np.abs(half.table["logit"] - single.table["logit"])
    assert 1e-4 < away.max() < 0.3  # Of logits that reach 5: it is another arithmetic, and not another answer.
    assert half.made_by["precision"] == "bfloat16"
    assert "precision" not in single.made_by
    again = predict(run, patches, engine=engine)
    np.testing.assert_array_equal(again.table["logit"], single.table["logit"])


def test_an_evaluation_records_its_precision(mini, tmp_path):
    few = mini.select(range(0, len(mini), 40))
    folder = tmp_path / "it"
    evaluate(load_run("d4net-m"), few, precision="bfloat16", out=folder)
    assert json.loads((folder / "predictions.csv.json").read_text())["precision"] == "bfloat16"


def test_impossible_precisions_are_refused(tiny_run, mini):
    with pytest.raises(ConfigError, match="precision must be one of float32, bfloat16, int8; got 'float16'"):
        predict(tiny_run, mini, precision="float16")


@pytest.mark.parametrize(("engine", "precision"), [("onnxruntime", "bfloat16"), ("keras", "int8")])
def test_an_engine_without_the_precision_is_named(mini, engine, precision):
    with pytest.raises(ConfigError, match=f"engine {engine} computes in float32 or .*for {precision}"):
        predict(load_run("d4net-m"), mini.select([0]), engine=engine, precision=precision)


@pytest.mark.slow
def test_int8_loses_hardly_any_auc_on_either_engine(mini, tmp_path):
    pytest.importorskip("onnxruntime")
    run, patches = load_run("d4net-m"), mini.split("test")
    single = predict(run, patches)
    labels = patches.labels
    for engine in ("onnxruntime", "openvino"):
        found = predict(run, patches, engine=engine, precision="int8")
        assert found.made_by["precision"] == "int8"
        assert not run.needs_keras(engine, "int8"), "it is exported"
        away = np.abs(found.table["logit"] - single.table["logit"])
        assert 0.01 < away.mean() < 0.2
        assert abs(auc(labels, found.table["logit"]).estimate - auc(labels, single.table["logit"]).estimate) < 0.003
        dark = patches.read(range(0, 400, 8)) // 2
        away = run.session(engine, precision="int8").logits(dark) - run.session().logits(dark)
        assert 0.01 < np.abs(away).mean() < 0.2


@pytest.mark.slow
def test_a_network_that_int8_changes_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    run = load_run("d4net-m")
    network = engine_file(run, run.path / "model.json", "onnxruntime")
    for name, value in (("MOST_MEAN_DIFFERENCE", -1.0), ("CALIBRATION_PATCHES", 16), ("CHECKED_PATCHES", 16)):
        monkeypatch.setattr(f"sentinode.export.int8.{name}", value)
    with pytest.raises(ModelError, match=r"model\.onnx in int8: probabilities differ .* use float32"):
        quantize_to_int8(network, tmp_path / "int8.onnx")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_the_policy_that_a_notebook_set_for_keras_changes_no_prediction(policy, mini):
    """A policy for the layers of the user's own networks stays theirs."""
    few = mini.split("test").select(range(0, 400, 80))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        logits = predict(load_run("d4net-m"), few).table["logit"]
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(logits, predict(load_run("d4net-m"), few).table["logit"], atol=1e-5)
