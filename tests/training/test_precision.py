"""bfloat16 in training only, and the choice of ``auto``."""

import json
import logging

import keras
import numpy as np
import pytest

from sentinode import TrainConfig, build_model, load_run, train
from sentinode.errors import RunError, TrainingStopped
from sentinode.models.precision import mixed_precision
from sentinode.training import fit as fit_module
from sentinode.training.recipe import precision
from sentinode.training.recipe.precision import choose_precision


@pytest.fixture
def few(mini):
    return mini.select(range(0, len(mini), 20))


def policies(model):
    return {layer.name: layer.compute_dtype for layer in model.layers}


def test_training_in_bfloat16_leaves_a_float32_network(few, tmp_path):
    model = build_model("cnn")
    run = train(model, few, TrainConfig(epochs=1, precision="bfloat16"), out=tmp_path / "run")
    assert run.precision == "bfloat16"
    assert set(policies(model).values()) == {"float32"}
    assert "bfloat16" not in (run.path / "model.json").read_text()
    assert all(weight.dtype == "float32" for weight in run.model.weights)


@pytest.mark.slow
def test_bfloat16_changes_the_arithmetic_and_hardly_the_result(few, tmp_path):
    losses = {}
    for name in ("float32", "bfloat16"):
        config = TrainConfig(epochs=1, precision=name)
        losses[name] = float(train(build_model("cnn"), few, config, out=tmp_path / name).history["loss"][0])
    assert losses["float32"] != losses["bfloat16"]
    assert losses["float32"] == pytest.approx(losses["bfloat16"], abs=0.02)


def test_the_last_layer_and_layers_of_a_policy_of_their_own_stay_as_they_are():
    model = keras.Sequential(
        [
            keras.Input((96, 96, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(name="own", dtype="float64"),
            keras.layers.Dense(2, name="hidden"),
            keras.layers.Dense(1, activation="sigmoid", name="last"),
        ]
    )
    with mixed_precision(model, "bfloat16"):
        assert policies(model)["own"] == "float64"
        assert policies(model)["hidden"] == "bfloat16"
        assert policies(model)["last"] == "float32"


def test_layers_inside_a_backbone_compute_in_bfloat16_too():
    model = build_model("transfer")
    with mixed_precision(model, "bfloat16"):
        assert model.get_layer("backbone").layers[3].compute_dtype == "bfloat16"
    assert model.get_layer("backbone").layers[3].compute_dtype == "float32"


@pytest.mark.slow
def test_auto_leaves_the_network_as_it_was(few):
    model = build_model("cnn", seed=3)
    before = model.get_weights()
    chosen = choose_precision(model, few, few, TrainConfig(precision="auto"))
    assert chosen["used"] in ("float32", "bfloat16")
    assert chosen["speed_ratio"] > 0
    assert set(chosen["valid_loss"]) == {"float32", "bfloat16"}
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert set(policies(model).values()) == {"float32"}


@pytest.mark.slow
def test_a_trial_ends_where_bfloat16_takes_far_too_long(few, monkeypatch, caplog):
    monkeypatch.setattr(precision, "HOPELESS_SPEEDUP", float("inf"))
    with caplog.at_level(logging.INFO, logger="sentinode"):
        chosen = choose_precision(build_model("cnn"), few, few, TrainConfig(precision="auto"))
    assert (chosen["used"], chosen["steps"]) == ("float32", 2)
    assert chosen["valid_loss"] == {"float32": None, "bfloat16": None}
    assert "precision auto: float32" in caplog.text


@pytest.mark.slow
def test_a_resumed_run_keeps_the_precision_that_auto_chose(few, tmp_path, caplog):
    class StopAtOnce(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise TrainingStopped("here", 2)

    config = TrainConfig(epochs=1, precision="auto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "ProgressBar", lambda *_: StopAtOnce())
        with pytest.raises(TrainingStopped):
            train(build_model("cnn"), few, config, out=tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    content = json.loads(file.read_text())
    other = {"float32": "bfloat16", "bfloat16": "float32"}[content["precision"]["used"]]
    content["precision"]["used"] = other
    file.write_text(json.dumps(content))
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="sentinode"):
        train(build_model("cnn"), few, config, out=tmp_path / "run")
    assert load_run(tmp_path / "run").precision == other
    assert "precision auto" not in caplog.text


@pytest.mark.slow
def test_a_trial_that_diverges_is_recorded_and_bfloat16_not_used(few):
    chosen = choose_precision(build_model("cnn"), few, few, TrainConfig(precision="auto", learning_rate=1e8))
    assert chosen["used"] == "float32"
    assert chosen["valid_loss"]["bfloat16"] is None
    json.dumps(chosen, allow_nan=False)


@pytest.mark.slow
def test_a_record_of_another_precision_is_refused(few, tmp_path):
    run = train(build_model("mlp"), few, TrainConfig(epochs=1), out=tmp_path / "run")
    content = json.loads((run.path / "config.json").read_text())
    content["precision"]["used"] = "float8"
    (run.path / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="float8"):
        _ = load_run(run.path).precision
