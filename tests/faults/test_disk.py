"""Disks that are really full and folders that really cannot be written, while a training runs."""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from sentinode.errors import RunError
from sentinode.training.state.checkpoint import Checkpoint

OPTIONS = ["--option", "first_filters=4", "--option", "second_filters=4", "--option", "dense_units=8", "--epochs", "2"]
ROOT = os.geteuid() == 0
# Permissions do not bind root as long as it has this capability.
WITHOUT_POWER = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


def can_give_it_up() -> bool:
    """Say whether a folder that nobody may write binds root then; a container may forbid it, or lack the tool."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        probe = [*WITHOUT_POWER, "sh", "-c", '! test -w "$0"', folder]
        return shutil.which("setpriv") is not None and subprocess.run(probe, check=False).returncode == 0


CAN_GIVE_IT_UP = ROOT and can_give_it_up()
permissions_bind = pytest.mark.skipif(ROOT and not CAN_GIVE_IT_UP, reason="permissions do not bind root here")


class Training:
    """``sentinode train`` in a process of its own."""

    def __init__(self, out: Path, *options: str) -> None:
        command = [*WITHOUT_POWER] if CAN_GIVE_IT_UP else []
        command += [sys.executable, "-m", "sentinode", "train", "pcam-mini", "--out", str(out), *options]
        self._child = subprocess.Popen(
            [*command, "--model", "cnn", *OPTIONS],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._out, self.pid = out, self._child.pid

    def begun(self) -> "Training":
        """Wait for the first checkpoint."""
        while not (self._out / "checkpoint.npz").is_file():
            assert self._child.poll() is None
            time.sleep(0.01)
        return self

    def succeeds(self) -> None:
        """Wait for its end."""
        _, said = self._child.communicate(timeout=300)
        assert self._child.returncode == 0, said

    def refusal(self) -> str:
        """Wait for its end; return the one line that says why."""
        _, said = self._child.communicate(timeout=300)
        assert self._child.returncode == 1, said
        assert "Traceback" not in said
        last = said.splitlines()[-1]
        assert last.startswith("error: ") and said.count("error: ") == 1, said
        return last


def weights(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("best.weights.h5", "final.weights.h5")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, mini) -> list[bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    Training(out).succeeds()
    return weights(out)


def fill(disk: Path) -> Path:
    """Leave not a byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return filler


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_a_training_in_one_line_and_it_goes_on_with_room(undisturbed, small_disk):
    out = small_disk / "run"
    training = Training(out, "--checkpoint-minutes", "0").begun()
    filler = fill(small_disk)
    assert "No space left on device" in training.refusal()
    Checkpoint.load(out / "checkpoint.npz")
    filler.unlink()
    Training(out).succeeds()
    assert weights(out) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "file"), [("0", "checkpoint.npz"), ("5", "best.weights.h5")])
def test_a_limit_on_file_sizes_does_the_same(undisturbed, tmp_path, minutes, file):
    out = tmp_path / "run"
    training = Training(out, "--checkpoint-minutes", minutes).begun()
    resource.prlimit(training.pid, resource.RLIMIT_FSIZE, (8_192, 8_192))
    refusal = training.refusal()
    assert f"{out / file}: " in refusal
    assert "File too large" in refusal
    Checkpoint.load(out / "checkpoint.npz")
    Training(out).succeeds()
    assert weights(out) == undisturbed


WRITER = """
import resource, sys
from sentinode.training.logging.tensorboard import EventWriter

writer = EventWriter(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    for step in range(100):
        writer.scalars({"loss": 0.5}, step)
except OSError as error:
    print(error.filename, error.strerror)
writer.close()
"""


def test_an_event_file_that_cannot_grow_fails_once_and_by_its_name(tmp_path):
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], capture_output=True, text=True, check=True)
    (file,) = tmp_path.iterdir()
    assert done.stdout == f"{file} File too large\n"
    assert done.stderr == ""


@pytest.mark.slow
@permissions_bind
def test_a_folder_that_becomes_read_only_ends_a_training_in_one_line_and_it_goes_on(undisturbed, tmp_path):
    out = tmp_path / "run"
    training = Training(out, "--checkpoint-minutes", "0").begun()
    out.chmod(0o555)
    assert re.search("no write access|Permission denied", training.refusal())
    Checkpoint.load(out / "checkpoint.npz")
    out.chmod(0o755)
    Training(out).succeeds()
    assert weights(out) == undisturbed


@permissions_bind
def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    assert f"{closed / 'run'}: cannot be written; there is no write access" in Training(closed / "run").refusal()
    assert not list(closed.iterdir())


def changed(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.slow
def test_no_flipped_bit_gives_other_weights(tmp_path):
    path = tmp_path / "checkpoint.npz"
    before = Checkpoint(1, 3, [{"epoch": 1, "val_loss": 0.5}], 2.5, {"model_0": np.arange(40.0), "model_1": np.ones(3)})
    before.save(path)
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(changed(whole, position))
        try:
            after = Checkpoint.load(path)
        except RunError as refusal:
            refused += 1
            assert re.search(r"not a readable checkpoint|checkpoint version", str(refusal))
            continue
        assert (after.epoch, after.batch, after.rows) == (before.epoch, before.batch, before.rows), position
        # One that is missing is refused when it is put back into a model.
        assert set(after.arrays) <= set(before.arrays), position
        for name, array in after.arrays.items():
            assert np.array_equal(array, before.arrays[name]), position
    assert refused > 0.5 * len(whole)
