"""Measure the speed of every inference engine, the AUC cost of bfloat16 and int8, and the cold start of a process.

    chrt -f 10 python benchmarks/engines.py pcam-small.zip
    python benchmarks/engines.py pcam-small.zip --patches 128 --rounds 1 --batches 64   # quick check that it runs

Every configuration is a process of its own; all of them run in turn, several times, every other round in reverse
order. Within a process each batch size is tried, and the fastest counts. Patches are those of `valid`, in memory; the
AUC is that of all of `valid`, from the first round. Cold start: the whole process for one PNG, compared with a plain
Keras script that loads the exported network and predicts. Models are exported before the measurement.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sentinode.samples import DEFAULT_MODEL

LINES: dict[str, dict[str, str]] = {
    "Keras on TensorFlow": {"engine": "keras", "backend": "tensorflow"},
    "Keras on TensorFlow, bfloat16": {"engine": "keras", "backend": "tensorflow", "precision": "bfloat16"},
    "Keras on JAX": {"engine": "keras", "backend": "jax"},
    "Keras on JAX, bfloat16": {"engine": "keras", "backend": "jax", "precision": "bfloat16"},
    "Keras on PyTorch": {"engine": "keras", "backend": "torch"},
    "Keras on PyTorch, bfloat16": {"engine": "keras", "backend": "torch", "precision": "bfloat16"},
    "ONNX Runtime": {"engine": "onnxruntime"},
    "ONNX Runtime, int8": {"engine": "onnxruntime", "precision": "int8"},
    "OpenVINO": {"engine": "openvino"},
    "OpenVINO, int8": {"engine": "openvino", "precision": "int8"},
    "OpenVINO, bfloat16": {"engine": "openvino", "precision": "bfloat16"},
}
FIRST = "Keras on TensorFlow"
# A plain Keras script without Sentinode.
BARE = """
import sys
import keras
import numpy as np
from PIL import Image
network = keras.saving.load_model(sys.argv[1])
print(network.predict(np.asarray(Image.open(sys.argv[2]))[None], verbose=0))
"""


def main() -> None:
    """Run every configuration several times and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pcam-small.zip")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--patches", type=int, default=1024)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="only configurations whose name starts with this")
    parser.add_argument(
        "--but", default="nothing", help="skip configurations whose name contains this, such as bfloat16"
    )
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(json.loads(arguments.child), arguments)))
        return
    print_rates(arguments)
    print_cold_starts(arguments)


def print_rates(arguments: argparse.Namespace) -> None:
    """Print patches/s and AUC of every configuration."""
    names = [name for name in LINES if name.startswith(arguments.only) and arguments.but not in name]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(arguments.rounds):
        for name in names[:: -1 if number % 2 else 1]:
            found[name].append(child({**LINES[name], "auc": "" if number else "yes"}, arguments))
    reference = FIRST if FIRST in found else names[0]
    first = found[reference]
    print(f"| engine | patches/s | relative to {reference} | best batch | AUC on `valid` | loss of AUC |")
    print("|---|---|---|---|---|---|")
    for name, values in found.items():
        rates = [value["rate"] for value in values]
        ratios = [value["rate"] / other["rate"] for value, other in zip(values, first, strict=True)]
        auc, loss = values[0]["auc"], first[0]["auc"] - values[0]["auc"]
        batch = max(values, key=lambda value: value["rate"])["batch"]
        print(f"| {name} | {spread(rates, '.0f')} | {spread(ratios, '.2f')} | {batch:.0f} | {auc:.5f} | {loss:+.5f} |")
    print(f"\n{arguments.model}, {arguments.patches:,} patches, {about(arguments)}\n")


def print_cold_starts(arguments: argparse.Namespace) -> None:
    """Print the time of a whole process for one patch."""
    from PIL import Image

    from sentinode import export_run, load_run, open_patches

    with tempfile.TemporaryDirectory() as work:
        image, network = Path(work) / "one.png", Path(work) / "network.keras"
        Image.fromarray(open_patches("pcam-mini", split="test").read([0])[0]).save(image)
        export_run(load_run(arguments.model), network)
        predict = ["-m", "sentinode", "predict", str(image), "--model", arguments.model]
        ways = {"Keras, bare load and predict": ["-c", BARE, str(network), str(image)]}
        for engine in ("keras", "onnxruntime", "openvino"):
            ways[f"sentinode predict, {engine}"] = [*predict, "--out", f"{work}/out.csv", "--engine", engine]
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(-1, arguments.rounds):  # The first round fills the disk cache and exports the models.
            for name, way in list(ways.items())[:: -1 if number % 2 else 1]:
                started = time.perf_counter()
                subprocess.run([sys.executable, *way], check=True, capture_output=True, env=environment("tensorflow"))
                if number >= 0:
                    seconds[name].append(time.perf_counter() - started)
    bare = seconds["Keras, bare load and predict"]
    print("| one patch, whole process | s | more than bare Keras, s |\n|---|---|---|")
    for name, values in seconds.items():
        over = [value - other for value, other in zip(values, bare, strict=True)]
        print(f"| {name} | {spread(values, '.2f')} | {spread(over, '+.2f')} |")
    print(f"\nOn TensorFlow; {about(arguments)}")


def child(line: dict[str, str], arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one configuration in a process of its own."""
    options = ["--model", arguments.model, "--patches", str(arguments.patches), "--child", json.dumps(line)]
    done = subprocess.run(
        [sys.executable, __file__, arguments.data, *options, "--batches", *map(str, arguments.batches)],
        env=environment(line.get("backend", "tensorflow")),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{line}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def environment(backend: str) -> dict[str, str]:
    """Return the environment of a process on this backend."""
    return {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}


def measure(line: dict[str, str], arguments: argparse.Namespace) -> dict[str, float]:
    """Return patches/s at the best batch size, the better of two passes, and the AUC if requested."""
    import numpy as np

    from sentinode import load_run, open_patches
    from sentinode.machine import keep_freed_memory
    from sentinode.metrics import roc_curve

    keep_freed_memory()
    patches = open_patches(arguments.data, split="valid").cached()
    pixels = patches.read(np.arange(arguments.patches) % len(patches))
    logits = engine(load_run(arguments.model), line["engine"], line.get("precision", "float32"))
    best = {"rate": 0.0, "batch": 0.0, "auc": float("nan")}
    for batch in arguments.batches:
        parts = [pixels[at : at + batch] for at in range(0, len(pixels) - batch + 1, batch)]
        logits(parts[0])
        for _ in range(2):
            started = time.perf_counter()
            for part in parts:
                logits(part)
            rate = batch * len(parts) / (time.perf_counter() - started)
            if rate > best["rate"]:
                best |= {"rate": rate, "batch": batch}
    if line["auc"]:
        parts = [logits(patches.read(slice(at, at + 128))) for at in range(0, len(patches), 128)]
        best["auc"] = roc_curve(patches.labels, np.concatenate(parts)).auc
    return best


def engine(run: Any, name: str, precision: str) -> Any:
    """Return a function from pixels to logits."""
    return run.session(name, precision=precision).compute


def spread(values: list[float], form: str) -> str:
    """Return median, smallest and largest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def about(arguments: argparse.Namespace) -> str:
    """Return rounds, date and machine."""
    return (
        f"{arguments.rounds} rounds in turn: median (min to max); "
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}"
    )


if __name__ == "__main__":
    main()
