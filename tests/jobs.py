"""Trainings in processes of their own, on JAX; several of them may train together."""

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

# 155 training patches in batches of 16: the last one has 11, which neither 2 nor 4 divides; nor can 41 be shared.
TRAINER = """
import json, os, sys
import keras
from sentinode import SentinodeError, TrainConfig, open_patches, train
from sentinode.errors import RunError
from sentinode.models.build import seeded_initializers
from sentinode.training.recipe import precision
from sentinode.training.callbacks import Checkpoints
from sentinode.training.distributed import data_parallel

trainings, chosen, strike = json.loads(sys.argv[1])
if strike:  # This process sends itself a signal when a callback was called so many times.
    method, calls, number = strike
    original, left = getattr(Checkpoints, method), iter(range(calls - 1, -1, -1))

    def striking(self, *arguments, **named):
        original(self, *arguments, **named)
        if next(left, None) == 0:
            os.kill(os.getpid(), number)

    setattr(Checkpoints, method, striking)

precision.FASTER, precision.HOPELESS = float("inf"), 0.0  # The trial is made, and float32 is used.
patches = open_patches("pcam-mini")
few = patches.select(range(0, len(patches), 7))
config = TrainConfig(
    epochs=2, batch_size=16, optimizer="adam", learning_rate=0.001, class_weight="1,3", precision=chosen,
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
    """Return the environment of each process of those that train together."""
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
        By what `data_parallel` is given: run directories, of which all but the last may be refused.
    processes, virtual
        How many; each has its CPU split into `virtual` devices.
    precision
        The setting.
    strikes
        By the number of a process: a callback of `Checkpoints`, and the signal that its process gets after so many
        calls of it.
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
        """Wait for all; return status and error stream of each."""
        until = time.monotonic() + within_s
        try:
            said = [member.communicate(timeout=max(until - time.monotonic(), 0.1))[1] for member in self.members]
        finally:
            for member in self.members:
                member.kill()
        return [(member.returncode, text) for member, text in zip(self.members, said, strict=True)]


def assert_same_training(run: Any, other: Any) -> None:
    """Compare history, weights and the figures on validation patches; they may differ by rounding."""
    clocks = ["train_s", "patches_per_s"]
    pd.testing.assert_frame_equal(run.history.drop(columns=clocks), other.history.drop(columns=clocks), rtol=1e-4)
    for name in ("best", "final"):
        for here, there in zip(run.load_model(name).get_weights(), other.load_model(name).get_weights(), strict=True):
            np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-5)
    assert run.summary["valid_auc"] == pytest.approx(other.summary["valid_auc"], rel=1e-3)
