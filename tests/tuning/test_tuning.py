"""Hyperparameter search: search spaces, trials, and that no trial is lost or repeated."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import forms

from sentinode import TrainConfig
from sentinode.cli.main import main
from sentinode.errors import ConfigError, ModelError, RunError
from sentinode.plots import plot_trials
from sentinode.training.run import Run
from sentinode.training.state.checkpoint import Checkpoint
from sentinode.tuning.space import Range, Values, combinations, parse_dimension, settings_of

pytest.importorskip("optuna")
from sentinode.tuning.study import Tuning, _machine, _Study, tune


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 40))


@pytest.fixture
def source(mini, tmp_path):
    """Few patches, in a folder whose name has a space."""
    return forms.write(forms.class_folders(mini.select(range(0, len(mini), 20)), "png")[0], tmp_path / "few patches")


@given(st.floats(1e-6, 1.0), st.floats(1.001, 100.0), st.booleans())
def test_a_range_is_read_as_it_is_written(low, factor, log):
    high = low * factor
    found = parse_dimension(f"learning_rate={low!r}..{high!r}" + (":log" if log else ""))
    assert found == Range("learning_rate", low, high, log)


def test_dots_in_a_text_are_no_range():
    assert parse_dimension("option.weights=../a.h5,../b.h5").values == ("../a.h5", "../b.h5")
    assert parse_dimension("option.weights=../a.h5") == Values("option.weights", ("../a.h5",))
    assert parse_dimension("option.dropout=.1..0.5") == Range("option.dropout", 0.1, 0.5)


def test_a_range_of_whole_numbers_stays_whole_where_the_setting_is_one():
    assert parse_dimension("batch_size=16..64").integer
    assert not parse_dimension("label_smoothing=0..0.5").integer
    assert parse_dimension("option.dense_units=16..64").integer


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("learning_rate", "expected NAME=A,B,C or NAME=LOW..HIGH"),
        ("color=1,2", "unknown setting 'color'"),
        ("seed=1,2", "cannot be searched"),
        ("momentum=0.5,0.5", "lists a value twice"),
        ("momentum=0.5,1.5", "momentum must be below 1"),
        ("momentum=0.9..0.5", "LOW below HIGH"),
        ("learning_rate=0..1:log", "LOW above 0 with :log"),
        ("optimizer=sgd,fast", "optimizer must be one of"),
        ("optimizer=0..1", "two numbers"),
        ("momentum=low..0.9", "momentum must be a number; got 'low..0.9'"),
        ("option.dropout=0..Infinity", "two numbers"),
        ("option.dropout=nan..1", "two numbers"),
        ("option.x=[1],[2]", "[1] is not a number, a boolean, null or a text"),
        ("option.x={}", "{} is not a number, a boolean, null or a text"),
        ("augment=stain,color", "augment must be one of"),
        ("augment=stain+stain,blur", "augment lists a value twice"),
        ("class_weight=none,1+0", "class_weight (--class-weight) must be"),
    ],
)
def test_an_invalid_dimension_is_refused(text, reason):
    with pytest.raises(ConfigError) as refusal:
        parse_dimension(text)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_value_that_is_allowed_together_with_others_alone_is_accepted():
    assert parse_dimension("warmup_epochs=1,50") == Values("warmup_epochs", (1, 50))


def test_chosen_values_become_settings_and_options():
    base = TrainConfig(epochs=7)
    config, options = settings_of({"augment": "none", "metrics": "accuracy+auc", "option.pool_size": 2}, base)
    assert (config.epochs, config.augment, config.metrics, options) == (7, (), ("accuracy", "auc"), {"pool_size": 2})


def test_combinations_are_counted_and_a_range_has_none():
    assert combinations([Values("momentum", (0.5, 0.9)), Values("batch_size", (8, 16, 32))]) == 6
    assert combinations([Range("momentum", 0.5, 0.9)]) is None


SPACE = (Values("momentum", (0.5, 0.9)), Values("option.dense_units", (4, 8)))


@pytest.fixture(scope="module")
def tuning(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuning") / "study"
    return tune("cnn", few, SPACE, TrainConfig(epochs=1), out=out, seeds=2)


@pytest.mark.slow
def test_every_combination_is_tried_once_with_every_seed(tuning):
    table = tuning.table
    assert len(table) == 4
    assert set(zip(table["momentum"], table["option.dense_units"], strict=True)) == {
        (0.5, 4),
        (0.5, 8),
        (0.9, 4),
        (0.9, 8),
    }
    assert (table["seeds"] == 2).all()
    assert table["valid_auc"].is_monotonic_decreasing
    assert len(list(tuning.folder.glob("*/seed-*/summary.json"))) == 8
    assert pd.read_csv(tuning.folder / "trials.csv")["valid_auc"].tolist() == pytest.approx(table["valid_auc"].tolist())
    assert (tuning.folder / "trials.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_mean_and_spread_are_those_of_the_runs(tuning):
    from sentinode import load_run

    means = {}
    for folder in {run.parent for run in tuning.folder.glob("*/seed-0")}:
        runs = [load_run(folder / f"seed-{seed}") for seed in (0, 1)]
        built = runs[0].config["model"]["built"]["options"]
        means[(runs[0].settings.momentum, built["dense_units"])] = [run.summary["valid_auc"] for run in runs]
    for _, row in tuning.table.iterrows():
        aucs = means[(row["momentum"], row["option.dense_units"])]
        assert row["valid_auc"] == pytest.approx(np.mean(aucs))
        assert row["sd"] == pytest.approx(np.std(aucs, ddof=1))


@pytest.mark.slow
def test_a_finished_study_is_not_done_again(tuning, few):
    before = {path: path.stat().st_mtime_ns for path in tuning.folder.glob("*/seed-*/*")}
    again = tune("cnn", few, SPACE, TrainConfig(epochs=1), out=tuning.folder, seeds=2)
    assert again.table.equals(tuning.table)
    assert {path: path.stat().st_mtime_ns for path in tuning.folder.glob("*/seed-*/*")} == before


@pytest.mark.slow
def test_another_search_in_the_same_folder_is_refused(tuning, few):
    with pytest.raises(RunError, match="differs in settings; choose another folder"):
        tune("cnn", few, SPACE, TrainConfig(epochs=2), out=tuning.folder, seeds=2)
    with pytest.raises(RunError, match="differs in space"):
        tune("cnn", few, SPACE[:1], TrainConfig(epochs=1), out=tuning.folder, seeds=2)


def test_other_data_in_the_same_folder_are_refused(few, tmp_path):
    space, config = [Values("momentum", (0.5,))], TrainConfig(epochs=1)
    tuning = tune("mlp", few, space, config, out=tmp_path / "it")
    first = few.split("train").table["id"].iloc[0]
    others = few.select(np.flatnonzero(few.table["id"] != first))
    with pytest.raises(RunError, match="differs in data; choose another folder"):
        tune("mlp", others, space, config, out=tmp_path / "it")
    forget_data(tmp_path / "it")
    assert tune("mlp", few, space, config, out=tmp_path / "it").table.equals(tuning.table)


def forget_data(folder):
    """Remove the record of the data, as in a study of an earlier version."""
    import optuna

    study = optuna.load_study(storage=f"sqlite:///{folder / 'study.db'}", study_name="sentinode")
    study.set_user_attr("request", {key: value for key, value in study.user_attrs["request"].items() if key != "data"})


def test_a_range_without_a_number_of_trials_is_refused(few, tmp_path):
    with pytest.raises(ConfigError, match="number of --trials"):
        tune("cnn", few, [Range("momentum", 0.1, 0.9)], out=tmp_path / "it")
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize(
    ("space", "numbers", "reason"),
    [
        ([Values("momentum", (0.5, 0.5))], {}, "momentum lists a value twice"),
        ([Values("momentum", (0.5,)), Range("momentum", 0.1, 0.9)], {"trials": 2}, "momentum is searched twice"),
        ([Values("momentum", (0.5,))], {"seeds": 0}, "seeds .* must be at least 1; got 0"),
        ([Values("momentum", (0.5,))], {"trials": 0}, "trials .* must be at least 1; got 0"),
        ([Values("momentum", ())], {}, "trials .* must be at least 1; got 0"),
    ],
)
def test_a_search_that_cannot_end_or_has_no_result_is_refused(few, tmp_path, space, numbers, reason):
    with pytest.raises(ConfigError, match=reason):
        tune("cnn", few, space, out=tmp_path / "it", **numbers)
    assert not (tmp_path / "it").exists()


@pytest.mark.slow
def test_draws_lie_in_their_range_and_only_the_same_seed_repeats_them(few, tmp_path):
    space = [Range("learning_rate", 1e-4, 1e-1, log=True), Range("batch_size", 4, 16, integer=True)]
    tables = [
        tune("cnn", few, space, TrainConfig(epochs=1, seed=seed), out=tmp_path / name, trials=2).table
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert tables[0].equals(tables[1])
    assert not set(tables[0]["learning_rate"]) & set(tables[2]["learning_rate"])
    assert tables[0]["learning_rate"].between(1e-4, 1e-1).all()
    assert tables[0]["batch_size"].between(4, 16).all()


@pytest.mark.slow
def test_a_failed_trial_is_listed_with_its_reason(few, tmp_path):
    space = [Values("option.kernel_size", (3, "wide"))]
    tuning = tune("cnn", few, space, TrainConfig(epochs=1), out=tmp_path / "it")
    assert tuning.table["valid_auc"].isna().tolist() == [False, True]
    assert "cannot be built" in tuning.table["reason"][1]
    assert tuning.best == {"option.kernel_size": 3}


@pytest.mark.slow
def test_other_errors_end_the_study_and_the_trial_is_repeated(few, tmp_path):
    space = [Values("momentum", (0.5,))]
    whole = tune("cnn", few, space, TrainConfig(epochs=1), out=tmp_path / "whole")
    (trained,) = (path.parent.name for path in whole.folder.glob("*/seed-0"))
    foreign = tmp_path / "it" / trained / "seed-0" / "of-somebody-else"
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    with pytest.raises(RunError, match="not empty and not a run"):
        tune("cnn", few, space, TrainConfig(epochs=1), out=tmp_path / "it")
    foreign.unlink()
    again = tune("cnn", few, space, TrainConfig(epochs=1), out=tmp_path / "it")
    assert again.table["valid_auc"].equals(whole.table["valid_auc"])


@pytest.mark.slow
def test_a_resumed_or_shared_study_does_not_repeat_draws(few, tmp_path):
    space, config = [Range("learning_rate", 0.001, 0.1, log=True)], TrainConfig(epochs=1)
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    for folder, trials in (("one", 1), ("one", 2), ("two", 3)):
        tuning = tune("cnn", few, space, config, out=tmp_path / folder, trials=trials, storage=storage)
    assert tuning.table["learning_rate"].nunique() == len(tuning.table) == 3


@pytest.mark.slow
def test_trials_of_another_machine_are_reported(few, tmp_path, caplog):
    import optuna

    space, config = [Range("learning_rate", 0.001, 0.1, log=True)], TrainConfig(epochs=1)
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    optuna.create_study(storage=storage, study_name="sentinode", direction="maximize").ask()
    with pytest.raises(RunError, match="no trial has ended yet"):
        tune("mlp", few, space, config, out=tmp_path / "one", trials=1, storage=storage)
    tune("mlp", few, space, config, out=tmp_path / "two", trials=2, storage=storage)
    assert "1 trial is still running elsewhere" in caplog.text
    tune("mlp", few, space, config, out=tmp_path / "one", trials=2, storage=storage)
    assert (tmp_path / "one" / "trials.csv").read_bytes() == (tmp_path / "two" / "trials.csv").read_bytes()


@pytest.mark.slow
def test_a_trial_that_was_given_up_is_tried_again_once(few, tmp_path):
    import optuna

    space, config = [Values("learning_rate", (0.01, 0.02, 0.03))], TrainConfig(epochs=1)
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sentinode.tuning.study.train", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        tune("mlp", few, space, config, out=tmp_path / "gone", storage=storage)
    study = optuna.load_study(storage=storage, study_name="sentinode")
    study.tell(0, state=optuna.trial.TrialState.FAIL)  # What `optuna tell` does.
    for _ in range(2):
        tuning = tune("mlp", few, space, config, out=tmp_path / "here", storage=storage)
        assert sorted(tuning.table["learning_rate"]) == [0.01, 0.02, 0.03]
    assert len(optuna.load_study(storage=storage, study_name="sentinode").trials) == 4


GRID = (Values("momentum", (0.5, 0.7, 0.9)), Values("batch_size", (8, 16)))


def grid_study(folder):
    folder.mkdir(exist_ok=True)
    request = {"space": [str(each) for each in GRID], "settings": TrainConfig().to_json()}
    return _Study(folder, None, GRID, request, 0, grid=True)


@pytest.mark.parametrize(("step", "at"), [("enqueue_trial", 3), ("ask", 1), ("ask", 4), ("tell", 1)])
def test_every_combination_is_tried_although_the_study_is_killed_at_any_moment(tmp_path, monkeypatch, step, at):
    import optuna

    original, calls, tried = getattr(optuna.study.Study, step), [], []

    def killed(self, *given, **named):
        calls.append(step)
        done = None if step == "tell" else original(self, *given, **named)  # What was written stays.
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(self, *given, **named) if step == "tell" else done

    def train_trial(values):
        tried.append(tuple(values.values()))
        return [0.5]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(optuna.study.Study, step, killed)
        study = grid_study(tmp_path / "study")
        while study.done() < 6:
            study.run(train_trial)
    study = grid_study((tmp_path / "study").rename(tmp_path / "moved"))
    while study.done() < 6:
        study.run(train_trial)
    assert len(set(tried)) == 6
    assert len(study.table()) == 6


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b", "a {b}"])
def test_the_database_is_in_the_folder_whatever_its_name(tmp_path, name):
    study = grid_study(tmp_path / name)
    study.run(lambda values: [0.5])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["study.db"]
    assert (tmp_path / name / "study.db").stat().st_size > 0


def test_machines_of_the_same_name_are_told_apart(monkeypatch, tmp_path):
    monkeypatch.setattr("socket.gethostname", lambda: "node")
    owners = []
    for identifier in ("one", "two"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda *_, identifier=identifier, **__: f"{identifier}\n")
            owners.append(_machine())
    assert owners == ["node:one", "node:two"]
    assert grid_study(tmp_path / "study")._owner == f"{_machine()}:{(tmp_path / 'study').resolve()}"


def test_small_values_are_printed_with_all_digits(source, tmp_path, monkeypatch, capsys):
    row = {"trial": 1, "learning_rate": 3.2e-5, "valid_auc": 0.123456, "sd": None, "seeds": 1, "reason": ""}
    monkeypatch.setattr("sentinode.tuning.study.tune", lambda *_, **__: Tuning(pd.DataFrame([row]), tmp_path))
    searched = ["--search", "learning_rate=1e-5..1e-4", "--trials", "1"]
    assert main(["tune", str(source), "--model", "mlp", "--out", str(tmp_path / "it"), *searched]) == 0
    printed = capsys.readouterr().out
    assert "0.000032" in printed or "3.2e-05" in printed.split("next:")[0]
    assert "0.1235" in printed


@pytest.mark.slow
def test_null_is_a_value_like_others(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlp").mkdir()  # A folder that bears a network's name is no run to start from.
    searched = ["--search", "option.dense_units=8,null", "--epochs", "1"]
    assert main(["tune", str(source), "--model", "mlp", "--out", "it", *searched, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"] == {"option.dense_units": 8}
    assert [trial["option.dense_units"] for trial in found["trials"]] == [8, None]
    assert [trial["valid_auc"] is None for trial in found["trials"]] == [False, True]
    assert ",null,,,0," in (tmp_path / "it" / "trials.csv").read_text()
    table = pd.DataFrame({"trainable": pd.Series([None, "all"], dtype=object), "valid_auc": [0.9, 0.8], "sd": None})
    assert Tuning(table.assign(seeds=1), tmp_path).best == {"trainable": None}
    plotted = plot_trials(table, ["trainable"])[0]
    assert [label.get_text() for label in plotted.get_xticklabels()] == ["null", "all"]


@pytest.mark.slow
def test_every_trial_may_start_from_a_trained_run(few, tiny_run, tmp_path):
    space = [Values("momentum", (0.5, 0.9))]
    tuning = tune(str(tiny_run.path), few, space, TrainConfig(epochs=1), out=tmp_path / "it")
    for folder in tuning.folder.glob("*/seed-0"):
        assert Run(folder).provenance.starting_weights.weights_sha256 == tiny_run.identity["weights_sha256"]
    assert len(tuning.table) == 2
    with pytest.raises(ConfigError, match="fixed network"):
        tune(str(tiny_run.path), few, [Values("option.dense_units", (4, 8))], out=tmp_path / "other")
    with pytest.raises(ModelError, match="cnm"):
        tune("cnm", few, space, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_the_printed_command_trains_with_the_best_settings(source, tmp_path, capsys):
    searched = [f"--search={text}" for text in ("nesterov=true,false", "option.dense_units=4", "augment=stain+blur")]
    given = ["--epochs", "1", "--label-smoothing", "0.1", "--batch-size", "64", "--resize", "crop"]
    assert main(["tune", str(source), "--model", "cnn", "--out", str(tmp_path / "it"), *searched, *given]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "sentinode train" in line)
    words = shlex.split(line[line.index("sentinode train") :])
    assert main([*words[1:], "--json", "--out", str(tmp_path / "again")]) == 0
    said = json.loads(capsys.readouterr().out)
    best = pd.read_csv(tmp_path / "it" / "trials.csv").iloc[0]
    assert said["valid_auc"] == pytest.approx(best["valid_auc"], abs=1e-6)
    again = Run(tmp_path / "again").settings
    assert again.nesterov == best["nesterov"]
    assert (again.augment, again.label_smoothing, again.batch_size) == (("stain", "blur"), 0.1, 64)


@pytest.mark.slow
def test_a_killed_study_goes_on_within_its_training(tmp_path):
    out = tmp_path / "study"
    options = ["--model", "cnn", "--search", "momentum=0.5,0.9", "--epochs", "3", "--checkpoint-minutes", "0"]
    command = [sys.executable, "-m", "sentinode", "tune", "pcam-mini", "--out", str(out), *options]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 300
    # The first checkpoint is that of the initial weights.
    while not any(Checkpoint.load(file).batch for file in out.glob("*/seed-0/checkpoint.npz")):
        assert child.poll() is None and time.monotonic() < give_up
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    (begun,) = out.glob("*/seed-0")
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"{begun}: resuming in epoch" in done.stderr
    assert len(list(out.glob("*/seed-0"))) == 2
    assert "sentinode train pcam-mini --model cnn --out runs/tuned --momentum 0." in done.stdout
