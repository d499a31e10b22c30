"""Compare all networks: size, FLOPs, speed, and what each learns in the same time.

    chrt -f 10 python benchmarks/zoo.py rates
    python benchmarks/zoo.py learn pcam-small.zip --minutes 10
    python benchmarks/zoo.py report

Rates: random pixels in memory, TensorFlow, every configuration in a process of its own, all of them in turn. Learning:
the flagship recipe for every network, as many epochs of `train` as fit into the given minutes at the measured rates,
in the faster precision; AUC on `valid`, a development set, at the end. Results are kept in
``benchmarks/results/zoo.jsonl``; a second call resumes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

from sentinode.machine import processor_count, processor_name

RESULTS = Path(__file__).parent / "results" / "zoo.jsonl"
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("cnn", {}),
    "d4net-s": ("d4net", {"size": "s"}),
    "d4net-m": ("d4net", {"size": "m"}),
    "d4net-l": ("d4net", {"size": "l"}),
    "p4m-densenet": ("p4m-densenet", {}),
    "resnet18": ("resnet18", {}),
    "transfer, MobileNetV2": ("transfer", {}),
}
BATCH_SIZE, PREDICT_BATCH_SIZE = 64, 128


def main() -> None:
    """Measure rates, train, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("rates", "learn", "report"))
    parser.add_argument("data", nargs="?", help="pcam-small.zip")
    parser.add_argument("--patches", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(*json.loads(arguments.child), arguments.patches)))
    elif arguments.what == "rates":
        measure_all(arguments)
    elif arguments.what == "learn":
        learn_all(arguments)
    else:
        report()


def kept(what: str) -> dict[str, dict[str, Any]]:
    """Return the saved results by network."""
    rows = map(json.loads, RESULTS.read_text().splitlines()) if RESULTS.exists() else ()
    return {row["network"]: row for row in rows if row["what"] == what}


def keep(row: dict[str, Any]) -> None:
    """Append a row to the results."""
    print(row, flush=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def measure_all(arguments: argparse.Namespace) -> None:
    """Measure every network in a process of its own, in turn."""
    precisions = ["float32", *(["bfloat16"] if "bf16" in processor_name() else [])]
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(arguments.rounds):
        for name in arguments.only:
            for precision in precisions:
                child = json.dumps([name, precision])
                words = [sys.executable, __file__, "rates", "--patches", str(arguments.patches), "--child", child]
                done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
                found.setdefault(name, {}).setdefault(precision, []).append(json.loads(done.stdout.splitlines()[-1]))
    for name, rates in found.items():
        first = rates["float32"][0]
        medians = {
            f"{phase} {precision}": round(statistics.median(each[phase] for each in values), 1)
            for precision, values in rates.items()
            for phase in ("train", "predict")
        }
        about = {"parameters": first["parameters"], "gflop": round(first["gflop"], 4)}
        when = f"{arguments.rounds} rounds; {time.strftime('%Y-%m-%d')}; {processor_count()} cores, {processor_name()}"
        keep({"what": "rates", "network": name, **about, **medians, "when": when})


def measure(name: str, precision: str, patches: int) -> dict[str, float]:
    """Return parameters, GFLOP, and patches/s of training and prediction, the better of two passes."""
    from sentinode.machine import keep_freed_memory

    keep_freed_memory()
    import numpy as np

    from sentinode import TrainConfig, build_model
    from sentinode.inference.keras_predictor import inference_network
    from sentinode.keras_compat.training_speed import activation_after_pooling, fused_batch_normalization
    from sentinode.models.flops import flops
    from sentinode.models.precision import mixed_precision
    from sentinode.training.recipe.compile import compile_model

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (patches, 96, 96, 3), dtype=np.uint8)
    y = rng.integers(0, 2, (len(x), 1)).astype(np.float32)
    kind, options = NETWORKS[name]
    model, seconds = build_model(kind, **options), {"train": [], "predict": []}
    about = {"parameters": model.count_params(), "gflop": flops(model) / 1e9}
    with mixed_precision(model, precision), activation_after_pooling(model), fused_batch_normalization(model):
        compile_model(model, TrainConfig.recipe("flagship"), len(x) // BATCH_SIZE)
        for _ in range(3):
            started = time.perf_counter()
            model.fit(x, y, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
            seconds["train"].append(time.perf_counter() - started)
    network = inference_network(model)
    with mixed_precision(network, precision):
        for _ in range(3):
            started = time.perf_counter()
            for first in range(0, len(x), PREDICT_BATCH_SIZE):
                network.predict_on_batch(x[first : first + PREDICT_BATCH_SIZE])
            seconds["predict"].append(time.perf_counter() - started)
    return {**about, **{phase: len(x) / min(each[1:]) for phase, each in seconds.items()}}


def learn_all(arguments: argparse.Namespace) -> None:
    """Train every network for the same time."""
    from sentinode import TrainConfig, build_model, open_patches, train
    from sentinode.machine import keep_freed_memory

    keep_freed_memory()
    patches = open_patches(arguments.data).cached()
    rates, done = kept("rates"), kept("learn")
    for name in arguments.only:
        if name in done:
            continue
        precisions = {precision: rates[name].get(f"train {precision}", 0.0) for precision in ("float32", "bfloat16")}
        precision = max(precisions, key=lambda each: precisions[each])
        epochs = max(1, round(arguments.minutes * 60 * precisions[precision] / len(patches.split("train"))))
        config = TrainConfig.recipe("flagship", epochs=epochs, precision=precision, warmup_epochs=epochs / 10)
        kind, options = NETWORKS[name]
        with tempfile.TemporaryDirectory() as folder:
            history = train(build_model(kind, **options), patches, config, out=folder).history
        minutes = round(float(history["train_s"].sum()) / 60, 1)
        about = {"precision": precision, "epochs": epochs, "minutes": minutes, "aimed_at": arguments.minutes}
        curve = history["val_auc"].round(5).tolist()
        keep({"what": "learn", "network": name, **about, "loss": float(history["loss"].iloc[-1]), "val_auc": curve})


def report() -> None:
    """Measure and print both tables."""
    rates, learned = kept("rates"), kept("learn")
    columns = ["train, float32", "train, bfloat16", "predict, float32", "predict, bfloat16"]
    print(f"| network | parameters | GFLOP per patch | {' | '.join(columns)} |")
    print("|" + "---|" * 7)
    for name, row in rates.items():
        phases = [f"{phase} {precision}" for phase in ("train", "predict") for precision in ("float32", "bfloat16")]
        cells = [f"{row[phase]:.0f}" if phase in row else "" for phase in phases]
        print(f"| {name} | {row['parameters']:,} | {row['gflop']:.3f} | {' | '.join(cells)} |")
    print(
        f"\nPatches/s, batch {BATCH_SIZE} ({PREDICT_BATCH_SIZE} in prediction); {next(iter(rates.values()))['when']}\n"
    )
    if learned:
        print("| network | AUC on `valid` | epochs | minutes | precision |\n|" + "---|" * 5)
    for name, row in learned.items():
        auc, minutes = row["val_auc"][-1], row["minutes"]
        print(f"| {name} | {auc:.4f} | {row['epochs']} | {minutes} | {row['precision']} |")


if __name__ == "__main__":
    main()
