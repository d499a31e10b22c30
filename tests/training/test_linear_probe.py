"""The last layer alone, fitted on frozen features: an ordinary run, whose other layers are as they were."""

import numpy as np
import pandas as pd
import pytest

from sentinode import TrainConfig, build_model, evaluate, export_run, load_run, open_patches, predict, train
from sentinode.errors import ConfigError, DataError
from sentinode.training.linear_probe import fit_linear_head
from sentinode.training.state.progress import read_progress

FROZEN = TrainConfig(frozen=True)
NETWORKS = {
    "d4net": {"name": "d4net"},
    "cnn": {"name": "cnn", "output": "softmax"},
    "resnet18": {"name": "resnet18", "width": 8},
    "transfer": {"name": "transfer", "backbone": "MobileNet"},
}


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 10))


@pytest.mark.parametrize("name", NETWORKS)
def test_only_the_last_layer_is_another_and_it_fits(name, few, tmp_path):
    model = build_model(**NETWORKS[name])
    before = model.get_weights()
    run = train(model, few, FROZEN, out=tmp_path / "run")
    last = len(model.layers[-1].get_weights())
    for old, new in zip(before[:-last], load_run(run.path).model.get_weights()[:-last], strict=True):
        np.testing.assert_array_equal(old, new)
    assert run.history["loss"][0] < np.log(2)  # That of knowing nothing.
    assert run.history["val_auc"][0] == pytest.approx(run.summary["valid_auc"])
    said = predict(run.model, few.split("valid"))
    assert ((said.table["probability"] > 0.5) == said.labels).mean() == pytest.approx(run.history["val_accuracy"][0])


def test_it_is_a_run_like_any_other(few, tmp_path):
    run = train(load_run("d4net-m").starting_model(), few, FROZEN, out=tmp_path / "run")
    assert run.settings == FROZEN
    assert run.config["model"]["built"]["weights_sha256"] == load_run("d4net-m").identity["weights_sha256"]
    predictions = predict(run, few.split("test"))
    assert {"prediction", "warning"} <= set(predictions.table.columns)
    assert evaluate(run, few, out=tmp_path / "it").auc > 0.85
    assert export_run(run, tmp_path / "it.keras").difference < 1e-4
    assert (read_progress(run.path).epochs, read_progress(run.path).state) == (1, "ended")
    assert (run.path / "curves.png").stat().st_size > 0
    again = train(load_run("d4net-m").starting_model(), few, FROZEN, out=tmp_path / "again")
    assert (again.path / "best.weights.h5").read_bytes() == (run.path / "best.weights.h5").read_bytes()
    pd.testing.assert_frame_equal(*(each.history.drop(columns=["train_s", "patches_per_s"]) for each in (run, again)))


def test_a_run_knows_what_the_weights_it_started_from_have_seen(few, tmp_path, caplog):
    first = train(build_model("cnn"), few, TrainConfig(epochs=1), out=tmp_path / "first")
    others = open_patches("pcam-mini").cached().select(range(7, 1660, 20))
    second = train(first.starting_model(), others, FROZEN, out=tmp_path / "second")
    training = few.split("train")
    assert second.trained_on(training.table["sha1"]).all()
    assert second.trained_on(others.split("train").table["sha1"]).all()
    assert not second.trained_on(few.split("test").table["sha1"]).any()
    evaluate(second, few, "train", out=tmp_path / "it")
    assert f"{len(training)} of these patches were trained on" in caplog.text
    assert "have trained the other layers already" not in caplog.text
    train(first.starting_model(), few, FROZEN, out=tmp_path / "third")
    assert f"{len(training)} of these patches have trained the other layers already" in caplog.text


def test_copies_of_a_patch_count_once(few, tmp_path):
    twice = few.select([*range(len(few)), *range(0, len(few), 3)])
    runs = [
        train(build_model("cnn"), patches, FROZEN, out=tmp_path / name)
        for name, patches in (("twice", twice), ("once", few))
    ]
    for one, other in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_head_is_the_logistic_regression_that_made_the_labels():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(20_000, 3)) * [1, 10, 0.1] + [0, 5, -1]
    truth = features @ [2.0, 0.1, -5.0] - 6
    weights, bias, penalty = fit_linear_head(features, rng.random(len(truth)) < 1 / (1 + np.exp(-truth)))
    np.testing.assert_allclose([*weights, bias], [2.0, 0.1, -5.0, -6.0], rtol=0.15)
    assert penalty < 100
    noise = rng.normal(size=(60, 40))
    weights, _, penalty = fit_linear_head(noise, np.arange(60) % 2)
    assert penalty >= 10
    assert np.abs(weights).max() < 0.3


def test_settings_that_would_change_nothing_are_refused():
    with pytest.raises(ConfigError, match="where epochs, augment would change nothing; leave it out"):
        TrainConfig(frozen=True, epochs=5, augment=("stain",))


def test_too_few_patches_are_refused():
    with pytest.raises(DataError, match="two different patches of each class; of one there are 1"):
        fit_linear_head(np.eye(3), [0, 0, 1])
