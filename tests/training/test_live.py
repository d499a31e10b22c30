"""After every epoch: exact validation figures, and example patches in TensorBoard."""

import io
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sentinode import TrainConfig, build_model, predict, train
from sentinode.data.batches import Batches
from sentinode.errors import TrainingStopped
from sentinode.training.logging.examples import choose_examples
from sentinode.training.recipe.compile import compile_model
from sentinode.training.state.checkpoint import Checkpoints
from sentinode.training.validation import Validation

SMALL = {"first_filters": 4, "second_filters": 4, "dense_units": 8}


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 10))


@pytest.fixture(scope="module", params=["sigmoid", "softmax"])
def finished(request, few, tmp_path_factory):
    model = build_model("cnn", output=request.param, **SMALL)
    return train(model, few, TrainConfig(epochs=2), out=tmp_path_factory.mktemp("runs") / request.param)


def pictures(run: Path) -> dict[int, Image.Image]:
    events = EventAccumulator(str(run / "tensorboard" / "examples"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["examples"]
    found = {}
    for event in events.Images("examples"):
        found[event.step] = Image.open(io.BytesIO(event.encoded_image_string))
        assert found[event.step].size == (event.width, event.height)
    return found


def test_the_auc_of_an_epoch_is_that_of_its_weights_predictions(finished, few):
    valid = few.split("valid")
    table = predict(finished.load_model("final"), valid).table
    exact = roc_auc_score(valid.labels, table["probability"])
    assert finished.history["val_auc"].iloc[-1] == pytest.approx(exact, abs=1e-12)
    best = finished.history.set_index("epoch").loc[finished.summary["best_epoch"]]
    assert best["val_auc"] == pytest.approx(finished.summary["valid_auc"], abs=1e-12)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
@pytest.mark.parametrize("settings", [{}, {"loss": "focal"}, {"label_smoothing": 0.1}], ids=str)
def test_loss_and_accuracy_are_those_of_keras(output, settings, few):
    config, valid = TrainConfig(**settings), few.split("valid")
    model = build_model("cnn", output=output, **SMALL)
    model.layers[1].kernel_regularizer = keras.regularizers.L2(0.1)
    model.layers[1].kernel.regularizer = model.layers[1].kernel_regularizer
    compile_model(model, config, steps_per_epoch=1)
    model.train_on_batch(*Batches(few, 32, model.output_shape[1])[0])
    validation = Validation(model, valid, config, watchers=[])
    validation.set_model(model)
    figures = {}
    validation.on_epoch_end(0, figures)
    expected = model.evaluate(Batches(valid, 32, model.output_shape[1]), verbose=0, return_dict=True)
    assert figures["val_loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert figures["val_accuracy"] == pytest.approx(expected["accuracy"], rel=1e-6)


def test_every_epoch_leaves_a_picture_of_the_same_patches(finished, few):
    found = pictures(finished.path)
    assert sorted(found) == [1, 2]
    first, second = (np.asarray(found[step].convert("RGB")).astype(int) for step in (1, 2))
    assert first.shape == second.shape
    changed = (first != second).any(axis=(1, 2))
    assert changed.any()
    # The patches are the same, the probabilities below them are not.
    assert not changed[:200].any()


def test_the_examples_are_of_both_classes_and_chosen_by_the_seed(few):
    labels = few.split("valid").labels
    chosen = choose_examples(labels, seed=3)
    assert labels[chosen].tolist().count(0) == labels[chosen].tolist().count(1) == 4
    assert chosen.tolist() == choose_examples(labels, seed=3).tolist()
    assert chosen.tolist() != choose_examples(labels, seed=4).tolist()


def stop_after(steps: int, monkeypatch, method: str = "on_train_batch_end") -> None:
    """Ask for a stop as a signal would, after so many calls of a method of `Checkpoints`."""
    original, calls = getattr(Checkpoints, method), []

    def counting(self, batch, logs=None):
        calls.append(batch)
        if len(calls) == steps:
            self._request.signal_number = 15
        original(self, batch, logs)

    monkeypatch.setattr(Checkpoints, method, counting)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "calls"), [("on_train_batch_end", 9), ("on_predict_batch_end", 3)], ids=["training", "validation"]
)
def test_a_training_stopped_within_its_second_epoch_ends_with_the_same_history(
    method, calls, few, tmp_path, monkeypatch
):
    config = TrainConfig(epochs=3, batch_size=16, seed=2)
    whole = train(build_model("cnn", **SMALL), few, config, out=tmp_path / "whole")
    out = tmp_path / "stopped"
    with monkeypatch.context() as patched, pytest.raises(TrainingStopped, match="stopped in epoch 2"):
        stop_after(calls, patched, method)
        train(build_model("cnn", **SMALL), few, config, out=out)
    assert len((out / "history.jsonl").read_text().splitlines()) == 1
    again = train(build_model("cnn", **SMALL), few, config, out=out)
    measured = ["train_s", "patches_per_s"]
    pd.testing.assert_frame_equal(
        again.history.drop(columns=measured), whole.history.drop(columns=measured), check_exact=True
    )
    one, two = pictures(whole.path), pictures(again.path)
    assert sorted(one) == sorted(two) == [1, 2, 3]
    assert all(one[step].tobytes() == two[step].tobytes() for step in one)


def test_images_of_a_run_that_starts_again_are_deleted(finished, few, tmp_path):
    out = Path(shutil.copytree(finished.path, tmp_path / "run"))
    (out / "summary.json").unlink()
    train(build_model("cnn", **SMALL), few, TrainConfig(epochs=1), out=out)
    assert sorted(pictures(out)) == [1]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends_too_the_figures_are_exact(backend, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    script = (
        "import sys\n"
        "from sklearn.metrics import roc_auc_score\n"
        "from sentinode import TrainConfig, build_model, open_patches, predict, train\n"
        "patches = open_patches('pcam-mini')\n"
        "few = patches.select(range(0, len(patches), 10))\n"
        "model = build_model('cnn', first_filters=4, second_filters=4, dense_units=8)\n"
        "run = train(model, few, TrainConfig(epochs=2), out=sys.argv[1])\n"
        "valid = few.split('valid')\n"
        "said = predict(run.load_model('final'), valid).table['probability']\n"
        "assert abs(run.history['val_auc'].iloc[-1] - roc_auc_score(valid.labels, said)) < 1e-12\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "run"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    assert sorted(pictures(tmp_path / "run")) == [1, 2]
