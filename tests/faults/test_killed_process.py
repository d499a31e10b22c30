"""Two processes that train together, refused, stopped and killed: both end, and the training can be resumed."""

import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from filelock import FileLock
from tests.jobs import Job, assert_same_training, environments

from sentinode import load_run
from sentinode.training.state.progress import lock_path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")]


def test_two_processes_refused_stopped_and_killed_end_with_the_run_of_one(tmp_path, devices_runs):
    out, foreign, taken = tmp_path / "run", tmp_path / "foreign", tmp_path / "taken"
    foreign.mkdir()
    (foreign / "of-somebody-else").touch()

    # After the ninth and last step of an epoch: the other process learns of it during validation.
    stop = {1: ("on_train_batch_end", 9, signal.SIGTERM)}
    taken.mkdir()
    with FileLock(lock_path(taken)):
        ended = Job({"all": [foreign, taken, out]}, processes=2, precision="auto", strikes=stop).end()
    assert "not empty and not a run" in ended[0][1]
    assert "another process trains there" in ended[0][1]
    assert ended[1][1].count("refused: another process of this training run failed") == 2
    for status, errors in ended:
        assert status == 1
        assert "the state is saved, run the same command again to resume" in errors
    assert f"{out}: stopped in epoch 1 after step 8 of 9" in ended[0][1]
    assert {file.name for file in taken.iterdir()} <= {".lock"}

    kill = {1: ("on_train_batch_end", 5, signal.SIGKILL)}
    job = Job({"all": [out]}, processes=2, precision="auto", strikes=kill)
    killed = job.members[1].wait(timeout=300)
    (status, errors), (_, other_errors) = job.end(within_s=60)
    assert killed == -signal.SIGKILL, other_errors
    assert status == 1, errors
    assert "another process was lost" in errors

    ended = Job({"all": [out]}, processes=2, precision="auto").end()
    assert [status for status, _ in ended] == [0, 0], ended
    run = load_run(out)
    assert run.config["precision"]["speed_ratio"] > 0
    assert run.config["environment"]["processes"] == 2
    assert_same_training(run, devices_runs[1])


def commands(out):
    """Start the same command in two processes."""
    words = ["train", "pcam-mini", "--model", "cnn", "--out", str(out), "--devices", "all", "--checkpoint-minutes", "0"]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "sentinode", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for environment in environments(2)
    ]


def test_the_loss_of_the_first_process_ends_the_other_and_the_command_resumes(tmp_path):
    out = tmp_path / "run"
    first, second = commands(out)
    while not (out / "checkpoint.npz").is_file():
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.kill()
    second.communicate(timeout=120)
    first.communicate()
    assert second.returncode != 0

    before = (out / "checkpoint.npz").stat().st_mtime_ns
    first, second = commands(out)
    while (out / "checkpoint.npz").stat().st_mtime_ns == before:
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second.terminate()
    for process in (first, second):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 128 + signal.SIGTERM, errors
        assert "run the same command again to resume" in errors
