"""PatchCamelyon at its full size, 262,144 patches: time and memory of decoding it and of training from it.

    python benchmarks/full_size.py pcam-small.zip --work DIR        # DIR needs 15 GB

The files of PCam are made of the given patches, drawn many times under random symmetries. Anonymous memory is what a
process has for itself; mapped memory is the part of the cache that happens to be in memory, which the system takes
back when it is needed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np

FULL = 262_144
NAME = "camelyonpatch_level_2_split_{}_{}.h5"


def main() -> None:
    """Make the files, measure in processes of their own, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patches", type=int, default=FULL)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--child", choices=("cache", "train"))
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments)))
        return
    make_files(arguments.data, arguments.work, arguments.patches)
    print("| what | patches/s | anonymous memory, peak MB | mapped memory, peak MB |")
    print("|---|---|---|---|")
    for child, backend in (("cache", "tensorflow"), *(("train", name) for name in ("tensorflow", "jax", "torch"))):
        options = ["--work", str(arguments.work), "--steps", str(arguments.steps), "--child", child]
        done = subprocess.run(
            [sys.executable, __file__, arguments.data, *options],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        what = "HDF5 into the cache" if child == "cache" else f"training `cnn`, batch 32, {backend}"
        print(f"| {what} | {found['rate']:.0f} | {found['anonymous']:.0f} | {found['mapped']:.0f} |", flush=True)
    print(
        f"\n{arguments.patches:,} patches; training: {arguments.steps} steps; {time.strftime('%Y-%m-%d')}; "
        f"{os.cpu_count()} cores, {platform.machine()}"
    )


def make_files(data: str, work: Path, count: int) -> None:
    """Write a PCam training split of `count` patches, and a small validation split."""
    from sentinode import open_patches

    if (work / NAME.format("train", "x")).exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    patches = open_patches(data, split="train").cached()
    pixels, labels, rng = patches.read(), patches.labels, np.random.default_rng(0)
    for split, size in (("valid", 1024), ("train", count)):
        beside = work / "x.part"
        rows = rng.integers(0, len(pixels), size)
        with h5py.File(beside, "w") as file:
            x = file.create_dataset("x", (size, 96, 96, 3), np.uint8, chunks=(16, 96, 96, 3))
            for start in range(0, size, 1024):
                part = pixels[rows[start : start + 1024]]
                turned = [np.rot90(patch, rng.integers(4))[:: rng.choice((1, -1))] for patch in part]
                x[start : start + len(part)] = np.stack(turned)
        with h5py.File(work / NAME.format(split, "y"), "w") as file:
            file["y"] = labels[rows].astype(np.uint8).reshape(-1, 1, 1, 1)
        beside.replace(work / NAME.format(split, "x"))


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Do the work of one line of the table; return its rate and the peaks of memory."""
    peak = {"anonymous": 0.0, "mapped": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            for kind, field in (("anonymous", "RssAnon"), ("mapped", "RssFile")):
                peak[kind] = max(peak[kind], int(status[field].split()[0]) / 1e3)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        rate = build_cache(arguments) if arguments.child == "cache" else train_some(arguments)
    finally:
        done.set()
        watcher.join()
    return {"rate": rate, **peak}


def build_cache(arguments: argparse.Namespace) -> float:
    """Decode everything; return patches/s."""
    from sentinode import open_patches
    from sentinode.data.cache import clear_cache

    clear_cache(arguments.work / "cache")
    patches = open_patches(arguments.work, split="train")
    started = time.perf_counter()
    patches.cached(arguments.work / "cache")
    return len(patches) / (time.perf_counter() - started)


def train_some(arguments: argparse.Namespace) -> float:
    """Train for some steps in the shuffled order of an epoch; return patches/s."""
    from sentinode.cli.shared import start_keras

    start_keras()
    from sentinode import TrainConfig, build_model, open_patches
    from sentinode.data.batches import Batches
    from sentinode.training.compiling import compile_model

    patches = open_patches(arguments.work, split="train").cached(arguments.work / "cache")
    batches = Batches(patches, 32, seed=0)
    model = build_model("cnn")
    compile_model(model, TrainConfig(), steps_per_epoch=len(batches))
    model.fit(batches, steps_per_epoch=5, shuffle=False, verbose=0)
    started = time.perf_counter()
    model.fit(batches, steps_per_epoch=arguments.steps, shuffle=False, verbose=0)
    return arguments.steps * 32 / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
