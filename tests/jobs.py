"""Trainings on JAX in processes of their own; several of them may train together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# 144 training patches are nine batches of 16, which 2 and 4 devices divide; 26 validation patches leave a rest of 10.
TRAINER = """
import json, os, sys
import keras
import numpy as np
from sentinode import SentinodeError, TrainConfig, open_patches, train
from sentinode.errors import RunError
from sentinode.models.build import seeded_initializers
from sentinode.training.recipe import precision
from sentinode.training.state.checkpoint import Checkpoints
from sentinode.training.distributed import data_parallel

trainings, chosen, strike = json.loads(sys.argv[1])
if strike:  # This process sends itself a signal at the given call of a callback.
    method, calls, number = strike
    original, left = getattr(Checkpoints, method), iter(range(calls - 1, -1, -1))

    def striking(self, *arguments, **named):
        original(self, *arguments, **named)
        if next(left, None) == 0:
            os.kill(os.getpid(), number)

    setattr(Checkpoints, method, striking)

precision.MIN_SPEEDUP, precision.HOPELESS_SPEEDUP = float("inf"), 0.0  # The trial runs, and float32 is used.
patches = open_patches("pcam-mini")
rows = np.arange(0, len(patches), 7)
split = patches.table["split"].to_numpy()[rows]
few = patches.select(np.concatenate([rows[split == "train"][:144], rows[split == "valid"]]))
config = TrainConfig(
    epochs=2, batch_size=16, optimizer="adam", learning_rate=0.001, class_weight={0: 1, 1: 3}, precision=chosen,
    metrics=("accuracy", "auc"), checkpoint_minutes=0, seed=3,
)


def training(out):
    with seeded_initializers(3):
        model = keras.Sequential([
            keras.Input((96, 96, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 5, strides=4, activation="relu"), keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, activation="sigmoid"),
        ])
    train(model, few, config, out=out)


try:
    for devices, outs in trainings.items():
        with data_parallel(devices):
            for out in outs[:-1]:
                try:
                    training(out)
                except RunError as error:
                    print(f"refused: {error}", file=sys.stderr)
            training(outs[-1])
except SentinodeError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
"""


def environments(processes: int) -> list[dict[str, str]]:
    """Return the environment of each process of a group that trains together."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    job = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes)}
    return [
        {**os.environ, **job, "KERAS_BACKEND": "jax", "KERAS_DISTRIBUTION_PROCESS_ID": str(number)}
        for number in range(processes)
    ]


class Job:
    """One training after another, in one process or in several that train together.

    Parameters
    ----------
    trainings
        Run directories by the argument of `data_parallel`; all but the last may be refused.
    processes, virtual
        Number of processes, and of simulated devices of each.
    precision
        The setting.
    strikes
        By the index of a process: a method of `Checkpoints`, the number of the call, and the signal that the process
        sends itself then.
    """

    def __init__(
        self,
        trainings: dict[str, list[Path]],
        *,
        processes: int = 1,
        virtual: int = 1,
        precision: str = "float32",
        strikes: dict[int, tuple[str, int, signal.Signals]] | None = None,
    ) -> None:
        plan = {devices: [str(out) for out in outs] for devices, outs in trainings.items()}
        self.members = [
            subprocess.Popen(
                [sys.executable, "-c", TRAINER, json.dumps([plan, precision, (strikes or {}).get(number)])],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**environment, "XLA_FLAGS": f"--xla_force_host_platform_device_count={virtual}"},
            )
            for number, environment in enumerate(environments(processes))
        ]

    def end(self, within_s: float = 300) -> list[tuple[int, str]]:
        """Wait for all processes; return the status and the error stream of each."""
        until = time.monotonic() + within_s
        try:
            errors = [member.communicate(timeout=max(until - time.monotonic(), 0.1))[1] for member in self.members]
        finally:
            for member in self.members:
                member.kill()
        return [(member.returncode, text) for member, text in zip(self.members, errors, strict=True)]


def assert_same_training(run: Any, other: Any) -> None:
    """Check that two trainings agree in history, weights and validation figures up to rounding."""
    clocks = ["train_s", "patches_per_s"]
    pd.testing.assert_frame_equal(run.history.drop(columns=clocks), other.history.drop(columns=clocks), rtol=1e-4)
    for name in ("best", "final"):
        for one, two in zip(run.load_model(name).get_weights(), other.load_model(name).get_weights(), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)
    assert run.summary["valid_auc"] == pytest.approx(other.summary["valid_auc"], rel=1e-3)
