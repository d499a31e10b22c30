"""A run directory: its files, that it can be moved, and what is refused."""

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sentinode import SentinodeError, TrainConfig, build_model, load_run, predict, train
from sentinode.errors import DataError, ModelError, RunError
from sentinode.training.state.folder import locked
from sentinode.training.state.progress import lock_path

JSONS = {"config.json", "model.json", "summary.json", "valid_predictions.csv.json"}
WEIGHTS = {"best.weights.h5", "final.weights.h5", "model.keras"}
OPTIONS = {"first_filters": 32, "second_filters": 64, "kernel_size": 3, "pool_size": 4, "dense_units": 64}
TABLES = {"history.csv", "history.jsonl", "valid_predictions.csv", "ood.json"}


@pytest.fixture(scope="module")
def few(mini):  # The patches of `tiny_run`.
    return mini.select(range(0, len(mini), 20))


@pytest.fixture(scope="module")
def stopped_run(few, tmp_path_factory):
    """A run that early stopping ended, so that its last epoch is not its best."""
    config = TrainConfig(epochs=40, early_stopping=1, learning_rate=0.05, metrics=("accuracy", "auc"))
    return train(build_model("cnn"), few, config, out=tmp_path_factory.mktemp("runs") / "stopped")


@pytest.fixture
def copied(tiny_run, tmp_path):
    return Path(shutil.copytree(tiny_run.path, tmp_path / "copied"))


def weights_of(run, which: str) -> bytes:
    return b"".join(array.tobytes() for array in run.load_model(which).get_weights())


def validation_loss(model, patches) -> float:
    probability = np.clip(model.predict_on_batch(patches.read())[:, 0].astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.log(np.where(patches.labels == 1, probability, 1 - probability)).mean())


def state(folder: Path) -> dict:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


def test_a_run_has_all_its_files(tiny_run):
    there = {path.name for path in tiny_run.path.iterdir()}
    assert there == JSONS | WEIGHTS | TABLES | {"tensorboard", "train_sha1.npy", "valid_sha1.npy"}
    for part in ("train", "valid", "examples"):
        assert len(list((tiny_run.path / "tensorboard" / part).glob("*tfevents*"))) == 1


def test_learning_curves_are_drawn_from_two_epochs_on(stopped_run):
    assert (stopped_run.path / "curves.png").stat().st_size > 10_000


def test_a_run_knows_how_it_was_made(tiny_run, few):
    config = tiny_run.config
    assert tiny_run.settings == TrainConfig(epochs=1)
    built = {"name": "cnn", "seed": 0, "options": {**OPTIONS, "output": "sigmoid"}}
    assert config["model"] == {
        "name": "cnn",
        "parameters": 166_977,
        "trainable_parameters": 166_977,
        "built": built,
    }
    for part in ("train", "valid"):
        patches = few.split(part)
        about = config["data"][part]
        assert (about["normal"], about["tumour"]) == ((patches.labels == 0).sum(), (patches.labels == 1).sum())
        assert about["fingerprint"] == patches.fingerprint
    assert {"keras", "backend", "python", "threads", "sentinode"} <= set(config["environment"])
    assert 0 <= tiny_run.threshold <= 1


def test_a_moved_run_loads_and_predicts_the_same(tiny_run, few, copied, tmp_path):
    before = predict(tiny_run, few).table
    moved = shutil.move(copied, tmp_path / "elsewhere" / "under another name")
    after = predict(load_run(moved), few).table
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_training_a_finished_run_again_changes_nothing(few, copied, caplog):
    before = state(copied)
    with caplog.at_level(logging.INFO, logger="sentinode"):
        run = train(build_model("cnn"), few, TrainConfig(epochs=1), out=copied)
    assert state(copied) == before
    assert run.path == copied
    assert "already finished" in caplog.text


def test_the_model_has_the_final_weights_of_a_finished_run(few, tiny_run):
    model = build_model("cnn")
    run = train(model, few, TrainConfig(epochs=1), out=tiny_run.path)
    assert b"".join(array.tobytes() for array in model.get_weights()) == weights_of(run, "final")


@pytest.mark.slow
def test_a_model_that_is_trained_again_records_its_last_run_as_its_start(few, mini, tmp_path):
    model, config = build_model("mlp", dense_units=1), TrainConfig(epochs=1)
    first = train(model, few, config, out=tmp_path / "first")
    others = mini.select(range(1, len(mini), 20))
    second = train(model, others, config, out=tmp_path / "second")
    start = second.provenance.starting_weights
    assert (first.provenance.starting_weights, start.model) == (None, str(first.path / "final.weights.h5"))
    assert start.fingerprint == first.fingerprint("train")
    for patches in (few, others):
        assert second.trained_on(patches.split("train").table["sha1"]).all()
    assert train(model, others, config, out=second.path).path == second.path
    with pytest.raises(RunError, match="its starting weights"):
        train(model, few, config, out=first.path)
    shutil.rmtree(second.path)
    again = train(model, others, config, out=second.path)
    assert again.provenance.starting_weights.model == str(second.path / "final.weights.h5")


def test_a_finished_run_refuses_other_settings_models_and_data(few, copied):
    before = state(copied)
    same = TrainConfig(epochs=1)
    first = few.split("train").table["id"].iloc[0]
    without = few.select(np.flatnonzero(few.table["id"] != first))
    others = [
        (build_model("cnn"), few, TrainConfig(epochs=2, momentum=0.5), ["epochs 1, now 2", "momentum 0.95, now 0.5"]),
        (build_model("cnn", dense_units=8), few, same, ["the model or its options (cnn, now cnn)"]),
        (build_model("mlp", dense_units=2), few, same, ["the model or its options (cnn, now mlp"]),
        (build_model("cnn"), without, same, ["the train patches"]),
    ]
    for model, patches, config, words in others:
        with pytest.raises(RunError) as refused:
            train(model, patches, config, out=copied)
        message = str(refused.value)
        assert "\n" not in message
        assert all(word in message for word in [str(copied), "--out", *words]), message
    assert state(copied) == before


@pytest.mark.parametrize("file", ["thesis.txt", "config.json"])
def test_a_directory_of_something_else_is_refused_and_kept(few, tmp_path, file):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "precious.txt").write_text("years of work")
    (tmp_path / file).write_text('{"name": "another project"}')
    before = state(tmp_path)
    with pytest.raises(RunError, match="not a run"):
        train(build_model("cnn"), few, TrainConfig(epochs=1), out=tmp_path)
    assert state(tmp_path) == before


@pytest.mark.slow
def test_an_empty_directory_is_used_and_an_unfinished_run_is_trained_again(few, copied):
    (copied / "summary.json").unlink()
    with pytest.raises(RunError, match="is not finished"):
        load_run(copied)
    assert train(build_model("cnn"), few, TrainConfig(epochs=1), out=copied).summary["epochs"] == 1
    empty = copied / "empty"
    empty.mkdir()
    assert len(train(build_model("mlp", dense_units=1), few, TrainConfig(epochs=1), out=empty).history) == 1


@pytest.mark.parametrize("name", sorted((JSONS | WEIGHTS) - {"model.keras", "valid_predictions.csv.json"}))
@pytest.mark.parametrize("damage", ["missing", "truncated", "emptied"])
def test_a_damaged_run_is_refused_in_one_line(copied, few, name, damage):
    file = copied / name
    content = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "emptied":
        file.write_bytes(b"{}" if file.suffix == ".json" else b"")
    with pytest.raises(SentinodeError) as refused:
        run = load_run(copied)
        run.load_model("final")
        predict(run, few.select([0]))
        _ = run.config["data"], run.settings
    message = str(refused.value)
    assert "\n" not in message
    if damage != "missing" or name not in ("config.json", "summary.json"):
        assert name in message


@pytest.mark.parametrize("name", ["model.json", "config.json"])
@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_damaged_run_cannot_be_trained_again(copied, few, name, content):
    (copied / name).unlink()
    if content:
        (copied / name).write_text(content)
    with pytest.raises(SentinodeError) as refused:
        train(build_model("cnn"), few, TrainConfig(epochs=1), out=copied)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("threshold", [float("nan"), 1.5, -1, "half"])
def test_a_threshold_that_is_no_probability_is_refused(copied, threshold):
    summary = json.loads((copied / "summary.json").read_text())
    (copied / "summary.json").write_text(json.dumps({**summary, "threshold": threshold}))
    with pytest.raises(RunError, match=r"summary\.json: threshold: expected a number from 0 to 1, got"):
        _ = load_run(copied).threshold


def test_weights_of_another_network_are_refused(copied):
    build_model("cnn", dense_units=8).save_weights(copied / "best.weights.h5")
    with pytest.raises(RunError, match=r"best\.weights\.h5: cannot be loaded") as refused:
        _ = load_run(copied).model
    assert "\n" not in str(refused.value)


def test_a_directory_that_is_not_a_run_is_refused(tiny_run, tmp_path):
    with pytest.raises(RunError, match="no such run directory"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="not a run directory"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="weights must be one of best, final; got 'worst'"):
        tiny_run.load_model("worst")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tiny_run, few, tmp_path):
    again = train(build_model("cnn"), few, TrainConfig(epochs=1), out=tmp_path / "again")
    other = train(build_model("cnn"), few, TrainConfig(epochs=1, seed=1), out=tmp_path / "other")
    for which in ("best", "final"):
        assert weights_of(again, which) == weights_of(tiny_run, which)
        assert weights_of(other, which) != weights_of(tiny_run, which)


def test_early_stopping_stops_and_the_best_weights_are_of_the_best_epoch(stopped_run, few):
    losses = stopped_run.history["val_loss"]
    assert 1 < len(losses) < 40
    assert losses.argmin() == len(losses) - 2
    assert stopped_run.summary["best_epoch"] == len(losses) - 1
    valid = few.split("valid")
    assert validation_loss(stopped_run.model, valid) == pytest.approx(losses.min(), rel=1e-4)
    assert validation_loss(stopped_run.load_model("final"), valid) == pytest.approx(losses.iloc[-1], rel=1e-4)


def test_history_is_the_same_in_every_form(stopped_run):
    history = pd.read_csv(stopped_run.path / "history.csv").set_index("epoch")
    lines = (stopped_run.path / "history.jsonl").read_text().splitlines()
    from_json = pd.DataFrame([json.loads(line) for line in lines]).set_index("epoch")
    pd.testing.assert_frame_equal(from_json, history, check_exact=True)
    assert list(history.index) == list(range(1, len(history) + 1))
    seen = []
    for part in ("train", "valid"):
        events = EventAccumulator(str(stopped_run.path / "tensorboard" / part)).Reload()
        for tag in events.Tags()["scalars"]:
            column = f"val_{tag}" if part == "valid" else tag
            points = {event.step: event.value for event in events.Scalars(tag)}
            assert points == {epoch: np.float32(value) for epoch, value in history[column].items()}
            seen.append(column)
    assert sorted(seen) == sorted(history.columns)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_that_diverges_ends_in_one_line(few, tmp_path, epochs):
    with pytest.raises(RunError, match=r"use a learning rate below 1e\+06, and another directory") as refused:
        train(build_model("cnn"), few, TrainConfig(learning_rate=1e6, epochs=epochs), out=tmp_path / "run")
    assert "\n" not in str(refused.value)
    with pytest.raises(RunError, match="is not finished"):
        load_run(tmp_path / "run")


def test_a_source_without_validation_gets_a_split_that_is_written_down(mini, tmp_path, caplog):
    patches = mini.split("train").select(range(0, 1080, 9))
    with caplog.at_level(logging.INFO, logger="sentinode"):
        run = train(build_model("mlp", dense_units=1), patches, TrainConfig(epochs=1), out=tmp_path / "run")
    assert "12 of its training patches (10 %) become the validation split" in caplog.text
    table = pd.read_csv(run.path / "splits.csv")
    assert sorted(table["id"]) == sorted(patches.table["id"])
    assert not table["id"].duplicated().any()
    labels = table.merge(patches.table[["id", "label"]], on="id").query("split == 'valid'")["label"]
    assert (len(labels), labels.sum()) == (12, 6)
    assert run.held_out() == set(table["sha1"][table["split"] == "valid"])
    assert run.config["data"]["valid"]["held_out_from_train"] is True


def test_the_splits_of_a_run_that_ended_before_its_first_checkpoint_are_deleted(mini, few, tmp_path):
    held_out = mini.split("train").select(range(0, 1080, 9))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sentinode.training.train.Checkpoint.load", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        train(build_model("mlp", dense_units=1), held_out, TrainConfig(epochs=1), out=tmp_path / "run")
    (tmp_path / "run" / "checkpoint.npz").unlink()
    assert (tmp_path / "run" / "splits.csv").is_file()
    run = train(build_model("mlp", dense_units=1), few, TrainConfig(epochs=1), out=tmp_path / "run")
    assert run.held_out() == set() and not (run.path / "splits.csv").exists()


@pytest.mark.slow
def test_the_whole_model_opens_in_plain_keras(tiny_run, few, tmp_path):
    np.save(tmp_path / "pixels.npy", few.read(range(8)))
    script = (
        "import sys, keras, numpy as np\n"
        f"model = keras.saving.load_model({str(tiny_run.path / 'model.keras')!r})\n"
        f"given = model.predict_on_batch(np.load({str(tmp_path / 'pixels.npy')!r}))\n"
        f"np.save({str(tmp_path / 'given.npy')!r}, given)\n"
        "assert not any(name.startswith('sentinode') for name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "given.npy") == pytest.approx(
        tiny_run.model.predict_on_batch(few.read(range(8))), rel=1e-6
    )


def test_a_split_of_one_class_is_refused_before_anything_is_trained(few, tmp_path):
    tumour = few.table["label"] == 1
    for split in ("train", "valid"):
        rows = np.flatnonzero(tumour | (few.table["split"] != split))
        with pytest.raises(DataError, match=f"patches of split '{split}' have label 1; training needs both classes"):
            train(build_model("cnn"), few.select(rows), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_validation_split_that_was_named_and_is_not_there_is_refused(few, tmp_path):
    with pytest.raises(DataError, match="there is no split 'vald'"):
        train(build_model("cnn"), few, TrainConfig(valid_split="vald"), out=tmp_path / "run")


def test_a_model_that_was_built_otherwise_is_refused_on_a_finished_run(few, tiny_run):
    with pytest.raises(RunError, match=r"the model .*'seed': 0.*'seed': 5"):
        train(build_model("cnn", seed=5), few, TrainConfig(epochs=1), out=tiny_run.path)


def test_a_run_of_a_network_that_has_got_another_option_since_is_the_same(few, copied):
    config = json.loads((copied / "config.json").read_text())
    del config["model"]["built"]["options"]["dense_units"]
    (copied / "config.json").write_text(json.dumps(config))
    assert train(build_model("cnn"), few, TrainConfig(epochs=1), out=copied).path == copied
    with pytest.raises(RunError, match="the model"):
        train(build_model("cnn", dense_units=8), few, TrainConfig(epochs=1), out=copied)


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        ({"model": "cnn"}, "model must be a keras.Model; got str"),
        ({"config": {"epochs": 1}}, "config must be a TrainConfig; got dict"),
        ({"patches": "pcam-mini"}, "patches must be a PatchSet; got str"),
    ],
)
def test_an_argument_of_another_type_is_refused_before_anything_is_written(wrong, fact, mini, tmp_path):
    right = {"model": build_model("mlp", dense_units=1), "patches": mini, "config": TrainConfig(epochs=1)}
    with pytest.raises(SentinodeError, match=re.escape(fact)):
        train(**right | wrong, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [None, 3, build_model])
def test_only_a_path_or_a_name_opens_a_run(wrong):
    with pytest.raises(RunError, match=f"got a {type(wrong).__name__}"):
        load_run(wrong)


def test_a_model_without_probabilities_is_refused_before_anything_is_written(mini, tmp_path):
    model = keras.Sequential([keras.Input((96, 96, 3), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(1)])
    with pytest.raises(ModelError, match="ends in"):
        train(model, mini, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_directory_has_one_lock_through_every_path(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    monkeypatch.chdir(tmp_path / "run")
    with locked(tmp_path / "run"):
        for path in (Path(), tmp_path / "link", tmp_path / "run", Path("../link")):
            assert lock_path(path).samefile(tmp_path / "run" / ".lock")
            with pytest.raises(RunError, match="another process trains there"), locked(path):
                pytest.fail("a second lock was given")


def test_a_lock_leaves_nothing_where_nothing_came_of_it(few, tmp_path):
    with locked(tmp_path / "new" / "run"):
        assert [file.name for file in (tmp_path / "new" / "run").iterdir()] == [".lock"]
    assert not (tmp_path / "new" / "run").exists()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with locked(theirs):
        pass
    assert theirs.exists()  # With the rights and the owner that somebody gave it.
    (theirs / "file").touch()
    with pytest.raises(RunError, match="not empty and not a run"):
        train(build_model("cnn"), few, TrainConfig(epochs=1), out=theirs)
    assert [file.name for file in theirs.iterdir()] == ["file"]


def test_a_leftover_checkpoint_of_a_finished_run_is_deleted(few, tiny_run, tmp_path):
    out = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    (out / "checkpoint.npz").write_bytes(b"killed between summary.json and this file's end")
    train(build_model("cnn"), few, TrainConfig(epochs=1), out=out)
    assert not (out / "checkpoint.npz").exists()


def test_a_network_whose_weights_are_bfloat16_is_trained_saved_and_loaded(few, tmp_path):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(2, 3, strides=8), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(1, activation="sigmoid"))
    for layer in layers:
        layer.dtype_policy = keras.DTypePolicy("bfloat16")
    model = keras.Sequential([keras.Input((96, 96, 3), dtype="uint8"), *layers])
    run = train(model, few, TrainConfig(epochs=1), out=tmp_path / "run")
    assert {weight.dtype for weight in load_run(run.path).model.trainable_weights} == {"bfloat16"}
