"""Trainings that are really killed or stopped end with the same weights, bit by bit, as undisturbed ones."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

KILLS, KILLS_IN_WRITES = 6, 4
# Dropout and augmentation have generators of their own, whose states Keras' weight files leave out.
TRAINER = """
import sys, keras
from sentinode import TrainConfig, open_patches, train
from sentinode.models.build import seeded_initializers

with seeded_initializers(3):
    model = keras.Sequential([
        keras.Input((96, 96, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 5, strides=4, activation="relu"), keras.layers.MaxPooling2D(2),
        keras.layers.BatchNormalization(),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.5), keras.layers.Dense(1, activation="sigmoid"),
    ])
patches = open_patches("pcam-mini")
few = patches.select(range(0, len(patches), 5))
config = TrainConfig(
    epochs=3, batch_size=16, optimizer="adam", learning_rate=0.001, checkpoint_minutes=0, seed=3, precision="bfloat16",
    augment=("affine", "stain"), ema=0.9,
)
print("ready", flush=True)
train(model, few, config, out=sys.argv[1])
print("done", flush=True)
"""

# Temporary files to which checkpoints are written before they replace the last one.
TEMPORARY = ".sentinode-checkpoint.npz-*"


def written(run: Path) -> int:
    """Return when the checkpoint of a run was written; 0 where there is none."""
    with suppress(FileNotFoundError):
        return (run / "checkpoint.npz").stat().st_mtime_ns
    return 0


class Trainer:
    """A training in a process of its own."""

    def __init__(self, out: Path, backend: str = "tensorflow") -> None:
        self._started_ns = written(out)
        self._child = subprocess.Popen(
            [sys.executable, "-c", TRAINER, str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "KERAS_BACKEND": backend},
        )
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"
        self._ready = time.monotonic()

    def begun(self, out: Path) -> "Trainer":
        """Wait for its first checkpoint, or for the end of a run that had only its last files to write."""
        while self._child.poll() is None and written(out) <= self._started_ns:
            time.sleep(0.01)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    def after(self, seconds: float, number: signal.Signals) -> bool:
        """Send a signal after some seconds; return whether the training ended before."""
        try:
            self._child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._child.send_signal(number)
        _, self.errors = self._child.communicate(timeout=120)
        return self._child.returncode == 0

    def killed_in_write(self, out: Path, number: int) -> bool:
        """Kill while the checkpoint of this number (from 1) is written; return whether training ended before."""
        before = set(out.glob(TEMPORARY))  # What an earlier kill left.
        seen: set[Path] = set()
        while self._child.poll() is None:
            seen |= set(out.glob(TEMPORARY)) - before
            if len(seen) >= number:
                self._child.kill()
                break
            time.sleep(0.0002)  # Leave the processor to the training.
        self._child.communicate(timeout=120)
        return self._child.returncode == 0

    def to_the_end(self) -> float:
        """Wait; return the duration in seconds."""
        _, errors = self._child.communicate(timeout=300)
        assert self._child.returncode == 0, errors
        return time.monotonic() - self._ready


def weights(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in ("best.weights.h5", "final.weights.h5")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, float]:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    return out, Trainer(out).to_the_end()


@pytest.mark.slow
def test_a_killed_and_stopped_training_ends_with_the_same_weights(undisturbed, tmp_path):
    out = tmp_path / "run"
    Trainer(out).begun(out).after(0.3 * undisturbed[1], signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGINT):
        stopped = Trainer(out).begun(out)
        assert not stopped.after(0, number)
        assert "the state is saved, run the same command again to resume" in stopped.errors
        assert (out / "checkpoint.npz").is_file()
    Trainer(out).to_the_end()
    assert weights(out) == weights(undisturbed[0])
    assert not (out / "checkpoint.npz").exists()


@pytest.mark.slow
def test_a_training_killed_at_any_moment_ends_with_the_same_weights(undisturbed, tmp_path):
    reference, duration_s = undisturbed
    rng = random.Random(20261124)
    kills = runs = 0
    while kills < KILLS:
        out = tmp_path / f"run-{runs}"
        runs += 1
        for _ in range(3):
            if Trainer(out).after(rng.uniform(0, 0.9 * duration_s), signal.SIGKILL):
                break
            kills += 1
        else:
            Trainer(out).to_the_end()
        assert weights(out) == weights(reference)
        assert not list(out.glob(".*"))
    assert runs >= 2


@pytest.mark.slow
def test_a_training_killed_while_it_writes_checkpoints_ends_with_the_same_weights(undisturbed, tmp_path):
    out, rng, hits = tmp_path / "run", random.Random(20261126), 0
    for _ in range(KILLS_IN_WRITES):
        assert not Trainer(out).killed_in_write(out, rng.randint(1, 4))
        hits += any(out.glob(TEMPORARY))
    # A write is so short that a kill may come right after it; most do not.
    assert hits >= KILLS_IN_WRITES / 2
    Trainer(out).to_the_end()
    assert weights(out) == weights(undisturbed[0])
    assert not list(out.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"))
        for name in ("jax", "torch")
    ],
)
def test_on_other_backends_a_killed_training_ends_with_the_same_weights(tmp_path, backend):
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "run"
    duration_s = Trainer(undisturbed, backend).to_the_end()
    rng = random.Random(20261125)
    Trainer(out, backend).begun(out).after(rng.uniform(0, 0.5 * duration_s), signal.SIGKILL)
    Trainer(out, backend).to_the_end()
    assert weights(out) == weights(undisturbed)


WRITER = """
import os, signal, sys
from sentinode.storage import atomic_file

with atomic_file(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_paused_training_keeps_out_others_and_deletes_what_a_killed_process_left(undisturbed, tmp_path):
    out = tmp_path / "run"
    for name in ("config.json", "checkpoint.npz"):
        killed = subprocess.run([sys.executable, "-c", WRITER, str(out / name)], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert len(list(out.iterdir())) == 2
    first = Trainer(out).begun(out)
    first.send(signal.SIGSTOP)
    second = Trainer(out)
    assert not second.after(60, signal.SIGKILL)
    assert "another process trains there" in second.errors
    first.send(signal.SIGCONT)
    first.to_the_end()
    assert weights(out) == weights(undisturbed[0])
    assert not list(out.glob(".*"))
