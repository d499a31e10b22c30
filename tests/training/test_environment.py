"""What a run records of its environment."""

import json
import shutil

import pytest

from sentinode import TrainConfig, build_model, train
from sentinode.errors import RunError
from sentinode.training.run import CHECKPOINT, CONFIG, SUMMARY
from sentinode.training.state.environment import environment


def test_threads_that_the_environment_sets_are_remembered(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert "OMP_NUM_THREADS" not in environment()["arithmetic"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS=1" in environment()["arithmetic"]


def test_a_training_that_goes_on_with_other_threads_says_so(tiny_run, mini, tmp_path, monkeypatch, caplog):
    shutil.copytree(tiny_run.path, tmp_path / "run")
    (tmp_path / "run" / SUMMARY).unlink()
    (tmp_path / "run" / CHECKPOINT).write_bytes(b"begun")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    few = mini.select(range(0, len(mini), 20))
    with pytest.raises(RunError, match="not a readable checkpoint"):
        train(build_model("cnn"), few, TrainConfig(epochs=1), out=tmp_path / "run")
    assert "TF_NUM_INTRAOP_THREADS=3" in caplog.text
    assert "the result may differ in the last bits" in caplog.text


def test_a_training_that_was_begun_on_another_backend_is_refused_with_its_name(tiny_run, mini, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(tiny_run.path, out)
    (out / SUMMARY).unlink()
    (out / CHECKPOINT).write_bytes(b"begun")
    config = json.loads((out / CONFIG).read_text())
    here = config["environment"]["backend"]
    other = {"tensorflow": "jax"}.get(here, "tensorflow")
    config["environment"]["backend"] = other
    (out / CONFIG).write_text(json.dumps(config))
    few = mini.select(range(0, len(mini), 20))
    with pytest.raises(RunError, match=f"started on the {other} backend.*KERAS_BACKEND={other}"):
        train(build_model("cnn"), few, TrainConfig(epochs=1), out=out)
    assert (out / CHECKPOINT).read_bytes() == b"begun"
