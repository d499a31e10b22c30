"""Measure time and memory of decoding and training at the full size of PatchCamelyon, 262,144 patches.

    python benchmarks/training_full_size.py pcam-small.zip --work DIR                        # DIR needs 15 GB
    python benchmarks/training_full_size.py pcam-small.zip --work DIR --only cnn/tensorflow --seconds 0

PCam's files are made from the given patches, drawn many times under random symmetries. Training is `sentinode train`,
stopped by a signal after a while, or one complete epoch. Anonymous memory belongs to the process; mapped memory is the
part of the cache that is in memory, which the system reclaims when needed.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sentinode.machine import processor_count, processor_name
from sentinode.training.state.checkpoint import Checkpoint

FULL = 262_144
NAME = "camelyonpatch_level_2_split_{}_{}.h5"
# Network and backend, with batch size and arguments of the command.
CNN = (32, ["--model", "cnn"])
FLAGSHIP = ["--model", "d4net", "--option", "size=m", "--recipe", "flagship", "--precision", "float32"]
FLAGSHIP += ["--warmup-epochs", "0.1"]  # The recipe's two epochs do not fit into one epoch.
TRAININGS = {
    "cnn/tensorflow": CNN,
    "cnn/jax": CNN,
    "cnn/torch": CNN,
    "d4net-m/tensorflow": (64, FLAGSHIP),
}
# Decode into the cache, in a process of its own.
DECODING = (
    "import sys; from sentinode import open_patches; open_patches(sys.argv[1], split='train').cached(sys.argv[2])"
)


def main() -> None:
    """Write the files, measure each job in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patches", type=int, default=FULL)
    parser.add_argument("--seconds", type=int, default=60, help="duration of each training; 0: one complete epoch")
    parser.add_argument("--only", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    arguments = parser.parse_args()
    work = arguments.work
    make_files(arguments.data, work, arguments.patches)
    shutil.rmtree(work / "cache", ignore_errors=True)
    print("| job | patches/s | peak anonymous memory, MB | peak mapped memory, MB |\n|---|---|---|---|")
    started = time.perf_counter()
    peak = peaks([sys.executable, "-c", DECODING, str(work), str(work / "cache")], "tensorflow")
    show("decoding HDF5 into the cache", arguments.patches / (time.perf_counter() - started), peak)
    for training in arguments.only:
        (batch_size, options), (model, backend), run = TRAININGS[training], training.split("/"), work / "run"
        shutil.rmtree(run, ignore_errors=True)
        words = ["train", str(work), *options, "--epochs", "1", "--out", str(run), "--cache", str(work / "cache")]
        peak = peaks([sys.executable, "-m", "sentinode", *words], backend, run, arguments.seconds)
        show(f"`sentinode train --model {model}`, {backend}", rate_of(run, batch_size), peak)
    stopped = f"each training stopped after {arguments.seconds} s" if arguments.seconds else "one complete epoch"
    print(
        f"\n{arguments.patches:,} patches; {stopped}; "
        f"{time.strftime('%Y-%m-%d')}; {processor_count()} cores, {processor_name()}"
    )


def rate_of(run: Path, batch_size: int) -> float:
    """Return patches/s of the training steps of a finished run or of one stopped in its first epoch."""
    if (run / "history.csv").is_file() and not (run / "checkpoint.npz").is_file():
        return float(pd.read_csv(run / "history.csv")["patches_per_s"].iloc[0])
    stopped = Checkpoint.load(run / "checkpoint.npz")
    return stopped.batch * batch_size / stopped.duration_s


def show(what: str, rate: float, peak: dict[str, float]) -> None:
    """Print a row of the table."""
    print(f"| {what} | {rate:.0f} | {peak['RssAnon']:.0f} | {peak['RssFile']:.0f} |", flush=True)


def peaks(command: list[str], backend: str, run: Path | None = None, seconds: int = 0) -> dict[str, float]:
    """Run a process and return its peak memory in MB; stop a training `seconds` after its first checkpoint."""
    peak = {"RssAnon": 0.0, "RssFile": 0.0}
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = 0.0
    while child.poll() is None:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
        for field in peak:
            peak[field] = max(peak[field], int(status.get(field, "0 kB").split()[0]) / 1e3)
        if run is not None and not begun and (run / "checkpoint.npz").is_file():
            begun = time.perf_counter()
        if seconds and begun and time.perf_counter() - begun > seconds:
            child.send_signal(signal.SIGTERM)
            begun = float("inf")
        time.sleep(0.05)
    wanted = 128 + signal.SIGTERM if seconds else 0
    if child.returncode != wanted:
        sys.exit(f"{command} ended with {child.returncode}")
    return peak


def make_files(data: str, work: Path, count: int) -> None:
    """Write a PCam training split of `count` patches, and a small validation split."""
    from sentinode import open_patches

    if (work / NAME.format("train", "x")).exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    patches = open_patches(data, split="train").cached()
    pixels, labels, rng = patches.read(), patches.labels, np.random.default_rng(0)
    for split, size in (("valid", 1024), ("train", count)):
        unfinished = work / "x.part"
        rows = rng.integers(0, len(pixels), size)
        with h5py.File(unfinished, "w") as file:
            x = file.create_dataset("x", (size, 96, 96, 3), np.uint8, chunks=(16, 96, 96, 3))
            for start in range(0, size, 1024):
                part = pixels[rows[start : start + 1024]]
                turned = [np.rot90(patch, rng.integers(4))[:: rng.choice((1, -1))] for patch in part]
                x[start : start + len(part)] = np.stack(turned)
        with h5py.File(work / NAME.format(split, "y"), "w") as file:
            file["y"] = labels[rows].astype(np.uint8).reshape(-1, 1, 1, 1)
        unfinished.replace(work / NAME.format(split, "x"))


if __name__ == "__main__":
    main()
