"""Measure decoding rate, cache time and memory at the full size of PatchCamelyon, 262,144 patches.

    python benchmarks/reading_full_size.py pcam-small.zip --work DIR                     # DIR needs 25 GB
    python benchmarks/reading_full_size.py pcam-small.zip --work DIR --patches 2048      # quick check that it runs

Sets are made from the given patches, drawn many times under random symmetries: HDF5 as in PCam, class folders of JPEG,
and of TIFF as in Kaggle's set (as many as --tif says: 7.3 GB at full size). The decoding rate is that of one thread by
its processor time, so neither the disk nor other work counts, on as many patches as --decode says. A cache of all
patches is built in a process of its own, whose anonymous memory (RssAnon) is watched, and read through once. The last
column shows how anonymous memory grows: the peak for a quarter of the patches.
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

import numpy as np
from PIL import Image

FULL = 262_144
ROWS_AT_ONCE = 1024
FORMS = ("h5", "jpg", "tif")


def main() -> None:
    """Write the sets, measure each in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patches", type=int, default=FULL)
    parser.add_argument("--tif", type=int, default=20_000, help="number of TIFF patches")
    parser.add_argument("--decode", type=int, default=8192, help="number of patches for the decoding rate")
    parser.add_argument("--child", choices=("decode", "cache"), help=argparse.SUPPRESS)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments)))
        return
    arguments.tif = min(arguments.tif, arguments.patches)
    print("| format | patches | decoding, patches/s per core | cache, s | cache, patches/s | peak RssAnon, MB | "
          "peak mapped, MB | peak RssAnon at a quarter, MB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for form in FORMS:
        count = arguments.tif if form == "tif" else arguments.patches
        for size in (count // 4, count):
            make(arguments.data, arguments.work / f"{form}-{size}", form, size)
        decoding = child(arguments, "decode", form, count)
        quarter, cache = (child(arguments, "cache", form, size) for size in (count // 4, count))
        print(
            f"| {form} | {count:,} | {decoding['rate']:.0f} | {cache['seconds']:.1f} | {cache['rate']:.0f} "
            f"| {cache['anonymous']:.0f} | {cache['mapped']:.0f} | {quarter['anonymous']:.0f} |",
            flush=True,
        )
    machine = f"{os.cpu_count()} cores, {platform.machine()}; Python {platform.python_version()}"
    print(f"\n{time.strftime('%Y-%m-%d')}; {machine}")


def child(arguments: argparse.Namespace, what: str, form: str, count: int) -> dict[str, float]:
    """Measure in a process of its own."""
    options = [
        "--work",
        arguments.work,
        "--patches",
        count,
        "--decode",
        arguments.decode,
        "--child",
        what,
        "--form",
        form,
    ]
    done = subprocess.run(
        [sys.executable, __file__, arguments.data, *map(str, options)], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def make(data: str, place: Path, form: str, count: int) -> None:
    """Write a set of `count` patches unless it exists."""
    import h5py

    from sentinode import open_patches
    from sentinode.storage import atomic_file

    done = place / "made"
    if done.exists():
        return
    patches = open_patches(data, split="train").cached()
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, len(patches), count))
    labels = patches.labels[rows]
    place.mkdir(parents=True, exist_ok=True)

    def drawn(start: int) -> np.ndarray:
        part = patches.read(rows[start : start + ROWS_AT_ONCE])
        return np.stack([np.rot90(patch, rng.integers(4))[:: rng.choice((1, -1))] for patch in part])

    if form == "h5":
        with atomic_file(place / "train_x.h5") as unfinished, h5py.File(unfinished, "w") as file:
            x = file.create_dataset("x", (count, 96, 96, 3), np.uint8, chunks=(16, 96, 96, 3))
            for start in range(0, count, ROWS_AT_ONCE):
                x[start : start + ROWS_AT_ONCE] = drawn(start)
        with h5py.File(place / "train_y.h5", "w") as file:
            file["y"] = labels.astype(np.uint8).reshape(-1, 1, 1, 1)
    else:
        for label in (0, 1):
            (place / "train" / str(label)).mkdir(parents=True, exist_ok=True)
        for start in range(0, count, ROWS_AT_ONCE):
            for row, patch in enumerate(drawn(start), start):
                Image.fromarray(patch).save(place / "train" / str(labels[row]) / f"{row:07}.{form}", quality=75)
    done.touch()


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Run one measurement and return rate, seconds and peak memory."""
    from sentinode import open_patches
    from sentinode.data.cache.store import clear_cache

    patches = open_patches(arguments.work / f"{arguments.form}-{arguments.patches}")
    if arguments.child == "decode":
        rows = range(0, len(patches), max(1, len(patches) // arguments.decode))
        return {"rate": len(rows) / min(one_pass(patches, rows) for _ in range(3))}
    cache = arguments.work / "cache"
    clear_cache(cache)
    peak = {"anonymous": 0.0, "mapped": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            for kind, field in (("anonymous", "RssAnon"), ("mapped", "RssFile")):
                peak[kind] = max(peak[kind], int(status[field].split()[0]) / 1e3)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        started = time.perf_counter()
        cached = patches.cached(cache)
        seconds = time.perf_counter() - started
        for start in range(0, len(cached), ROWS_AT_ONCE):  # One pass over the mapped file.
            cached.read(slice(start, start + ROWS_AT_ONCE))
    finally:
        done.set()
        watcher.join()
    clear_cache(cache)
    return {"rate": len(patches) / seconds, "seconds": seconds, **peak}


def one_pass(patches, rows: range) -> float:
    """Decode in one thread and return its processor time, which other work does not affect."""
    started = time.thread_time()
    for start in range(0, len(rows), 256):
        patches.read(np.array(rows[start : start + 256]))
    return time.thread_time() - started


if __name__ == "__main__":
    main()
