"""Learning curves in the terminal: of finished, running and damaged runs."""

import json
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from tests.commands import Done, command, refused, sentinode, sentinode_process

from sentinode.training.state.folder import locked
from sentinode.training.state.progress import lock_path, read_progress

ROWS = [
    {"epoch": 1, "loss": 0.69, "val_loss": 0.66, "val_auc": 0.71, "val_accuracy": 0.6, "learning_rate": 0.01},
    {"epoch": 2, "loss": 0.61, "val_loss": 0.62, "val_auc": 0.81, "val_accuracy": 0.7, "learning_rate": 0.005},
]


def watch(*arguments, **environment) -> Done:
    return sentinode("watch", *arguments, **{"COLUMNS": "80", **environment})


@pytest.fixture
def begun(tmp_path) -> Path:
    """A run with two of six epochs done."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"settings": {"epochs": 6}}))
    write(run, ROWS)
    return run


def write(run: Path, rows: list) -> None:
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_finished_run_is_drawn_once(tiny_run):
    done = watch(tiny_run.path)
    assert (done.returncode, done.stderr) == (0, "")
    row = tiny_run.history.iloc[-1]
    for words in (
        "finished after 1 of 1 epoch",
        f"○ training {row['loss']:.3f}",
        f"● validation {row['val_loss']:.3f}",
    ):
        assert words in done.stdout
    assert f"AUC   ● validation {row['val_auc']:.3f}" in done.stdout
    assert "\x1b" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines()[1:])


def test_a_stopped_run_says_how_to_go_on(begun):
    output = watch(begun).stdout
    assert "stopped after 2 of 6 epochs" in output
    assert "run the same sentinode train command to resume" in output
    assert "best epoch: 2, validation loss 0.620" in output
    assert "last epoch: validation accuracy 0.7, learning rate 0.005" in output


def test_the_lock_that_a_killed_training_left_does_not_count(begun):
    lock_path(begun).touch()
    assert "stopped after" in watch(begun).stdout
    with FileLock(lock_path(begun)):
        assert "training epoch 3 of 6" in watch(begun).stdout


def test_watching_needs_no_write_access(begun, monkeypatch):
    def read_only(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, flags, *rest, **named)

    original = os.open
    with FileLock(lock_path(begun)):
        monkeypatch.setattr(os, "open", read_only)
        assert read_progress(begun).state == "training"
    assert read_progress(begun).state == "stopped"


def test_several_may_watch_and_a_training_waits_for_their_look_at_the_lock(begun):
    fcntl = pytest.importorskip("fcntl")
    lock_path(begun).touch()
    with lock_path(begun).open("rb") as opened:
        fcntl.flock(opened, fcntl.LOCK_SH)
        assert read_progress(begun).state == "stopped"
        look = threading.Timer(0.3, fcntl.flock, (opened, fcntl.LOCK_UN))
        look.start()
        with locked(begun):
            assert read_progress(begun).state == "training"
        look.join()


def test_a_terminal_of_few_characters_gets_few(begun):
    output = sentinode_process("watch", begun, PYTHONUTF8="0", PYTHONIOENCODING="ascii", COLUMNS="50").stdout
    assert output.split("\n\n", 1)[1].isascii()
    assert "o training 0.610   x validation 0.620" in output
    assert all(len(line) <= 50 for line in output.split("\n\n", 1)[1].splitlines())


@pytest.mark.parametrize("rows", [None, []])
def test_without_an_epoch_it_says_so(begun, rows):
    (begun / "history.jsonl").unlink()
    if rows is not None:
        write(begun, rows)
    done = watch(begun)
    assert done.returncode == 0
    assert "no epoch finished yet" in done.stdout


@pytest.mark.parametrize("line", ["{", "3", "null", '{"epoch": 3}', '{"epoch": 3, "loss": "low", "val_loss": 1}'])
def test_a_broken_history_is_refused_in_one_line(begun, line):
    with (begun / "history.jsonl").open("a") as file:
        file.write(line + "\n")
    refused(watch(begun), "history.jsonl: line 3")


@pytest.mark.parametrize("content", ["{", "{}", '{"settings": {"epochs": "many"}}'])
def test_a_broken_config_is_refused_in_one_line(begun, content):
    (begun / "config.json").write_text(content)
    refused(watch(begun), "config.json")


def test_a_directory_that_is_not_a_run_is_refused(tmp_path):
    refused(watch(tmp_path / "nowhere"), "nowhere", "no such run directory", "sentinode train DATA --out")
    refused(watch(tmp_path), "not a run directory")


def test_an_old_run_without_auc_shows_its_loss(begun):
    write(begun, [{name: row[name] for name in ("epoch", "loss", "val_loss")} for row in ROWS])
    output = watch(begun).stdout
    assert "loss   ○ training" in output
    assert "AUC" not in output


def test_keras_is_not_imported_to_watch(tiny_run):
    script = (
        "import sys\nfrom sentinode.cli.main import main\nassert main(['watch', sys.argv[1]]) == 0\n"
        "assert not {'keras', 'tensorflow', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, tiny_run.path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_real_training_is_followed_to_its_end(tmp_path):
    run = tmp_path / "run"
    train = ["train", "pcam-mini", "--model", "mlp", "--option", "dense_units=1", "--epochs", "4", "--out", run]
    training = subprocess.Popen(command(*train), stdout=subprocess.DEVNULL)
    try:
        while not (run / "checkpoint.npz").exists():
            assert training.poll() is None
            time.sleep(0.01)
        shown, terminal = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "PYTHONUTF8": "1"}
        watching = subprocess.Popen(command("watch", run), stdout=terminal, stderr=terminal, env=environment)
        os.close(terminal)
        output = b""
        while part := _read(shown):
            output += part
        assert watching.wait(timeout=60) == 0
        assert (run / "summary.json").exists()
    finally:
        training.wait(timeout=120)
    text = output.decode()
    assert "training epoch " in text
    assert "finished after 4 of 4 epochs" in text
    assert "\x1b[1m" in text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux' way to say that the other end is closed.
        return b""
