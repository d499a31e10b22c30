"""Trainings in processes of their own, on JAX, that share one run directory."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# 155 training patches in batches of 16: the last one has 11 or so, which no number of devices divides.
TRAINER = """
import sys, keras
from sentinode import SentinodeError, TrainConfig, open_patches, train
from sentinode.models.build import initial_weights_from
from sentinode.training.devices import data_parallel

devices, out, epochs = sys.argv[1:]
patches = open_patches("pcam-mini")
few = patches.select(range(0, len(patches), 7))
config = TrainConfig(
    epochs=int(epochs), batch_size=16, optimizer="adam", learning_rate=0.001, class_weight="1,3",
    metrics=("accuracy", "auc"), checkpoint_minutes=0, seed=3,
)
print("ready", flush=True)
try:
    with data_parallel(devices):
        with initial_weights_from(3):
            model = keras.Sequential([
                keras.Input((96, 96, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(4, 5, strides=4, activation="relu"), keras.layers.BatchNormalization(),
                keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, activation="sigmoid"),
            ])
        train(model, few, config, out=out)
except SentinodeError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
"""


class Job:
    """Processes that train together; one, without a distribution, unless told otherwise."""

    def __init__(self, out: Path, epochs: int = 2, processes: int = 1, devices: str = "1", virtual: int = 1) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.out = out
        self.members = [
            subprocess.Popen(
                [sys.executable, "-c", TRAINER, "all" if processes > 1 else devices, str(out), str(epochs)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={
                    **os.environ,
                    "KERAS_BACKEND": "jax",
                    "XLA_FLAGS": f"--xla_force_host_platform_device_count={virtual}",
                    "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
                    "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes),
                    "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
                },
            )
            for number in range(processes)
        ]

    def begun(self) -> "Job":
        """Wait until some steps are done."""
        checkpoint = self.out / "checkpoint.npz"
        while not checkpoint.is_file():
            self._still_running()
        first = checkpoint.stat().st_mtime_ns
        while checkpoint.stat().st_mtime_ns == first:
            self._still_running()
        return self

    def send(self, number: int, what: signal.Signals) -> "Job":
        """Send a signal to one of the processes."""
        self.members[number].send_signal(what)
        return self

    def end(self, within_s: float = 120) -> list[tuple[int, str]]:
        """Wait for all; return status and error stream of each."""
        until = time.monotonic() + within_s
        said = [member.communicate(timeout=max(until - time.monotonic(), 0.1))[1] for member in self.members]
        return [(member.returncode, text) for member, text in zip(self.members, said, strict=True)]

    def _still_running(self) -> None:
        for member in self.members:
            assert member.poll() is None, member.communicate()
        time.sleep(0.01)
