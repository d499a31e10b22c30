"""Two processes that train together, refused, stopped and killed: both end every time, and the job goes on."""

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

    # After the tenth and last step of an epoch: the others learn of it while they validate.
    stop = {1: ("on_train_batch_end", 10, signal.SIGTERM)}
    taken.mkdir()
    with FileLock(lock_path(taken)):
        ended = Job({"all": [foreign, taken, out]}, processes=2, precision="auto", strikes=stop).end()
    assert "not empty and not a run" in ended[0][1]
    assert "another process trains there" in ended[0][1]
    assert ended[1][1].count("refused: another process of this training was refused") == 2
    for status, said in ended:
        assert status == 1
        assert "everything is saved, and the same command goes on" in said
    assert f"{out}: stopped in epoch 1 after 9 of 10 steps" in ended[0][1]
    assert {file.name for file in taken.iterdir()} <= {".lock"}

    kill = {1: ("on_train_batch_end", 5, signal.SIGKILL)}
    job = Job({"all": [out]}, processes=2, precision="auto", strikes=kill)
    killed = job.members[1].wait(timeout=300)
    (status, said), (_, unsaid) = job.end(within_s=60)
    assert killed == -signal.SIGKILL, unsaid
    assert status == 1, said
    assert "another process was lost" in said

    ended = Job({"all": [out]}, processes=2, precision="auto").end()
    assert [status for status, _ in ended] == [0, 0], ended
    run = load_run(out)
    assert run.config["precision"]["speed_ratio"] > 0
    assert run.config["environment"]["processes"] == 2
    assert_same_training(run, devices_runs[1])


def commands(out):
    """Start the command of two processes."""
    words = ["train", "pcam-mini", "--model", "cnn", "--out", str(out), "--devices", "all", "--checkpoint-minutes", "0"]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "sentinode.cli.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for environment in environments(2)
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere JAX' own words are shown")
def test_the_loss_of_the_first_process_ends_the_command_of_the_other_in_one_line(tmp_path):
    out = tmp_path / "run"
    first, second = commands(out)
    while not (out / "checkpoint.npz").is_file():
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.kill()
    _, said = second.communicate(timeout=120)
    first.communicate()
    assert second.returncode == 1
    assert said.startswith("error: process 1")
    assert "another process was lost" in said
    assert "the same command in every process goes on from the last checkpoint" in said
    assert len(said.splitlines()) == 1

    # The same command goes on; a signal to the process that waits reaches the one that trains, and all stop.
    before = (out / "checkpoint.npz").stat().st_mtime_ns
    first, second = commands(out)
    while (out / "checkpoint.npz").stat().st_mtime_ns == before:
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second.terminate()
    for process in (first, second):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 128 + signal.SIGTERM, said
        assert "the same command goes on" in said
