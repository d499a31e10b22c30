"""Measure how much the AUC of the classic recipe varies between seeds.

    python benchmarks/seeds.py DATA --evaluate valid --seeds 5
    python benchmarks/seeds.py pcam-mini --evaluate test --seeds 10

Each seed is a training with the default settings on the split `train`, measured with the best weights on the named
split.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from sentinode import TrainConfig, build_model, evaluate, open_patches, train


def main() -> None:
    """Train, evaluate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--evaluate", default="valid", help="split to measure on")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--model", default="cnn")
    arguments = parser.parse_args()
    patches = open_patches(arguments.data)
    print("| seed | AUC | accuracy at 0.5 | accuracy at the validation threshold | best epoch | training time |")
    print("|---|---|---|---|---|---|")
    aucs, accuracies = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            out = Path(folder) / str(seed)
            run = train(build_model(arguments.model, seed=seed), patches, TrainConfig(seed=seed), out=out)
            found = evaluate(run, patches, arguments.evaluate)
            plain, chosen = (found.operating_points[name].counts.accuracy for name in ("0.5", "validation"))
            aucs.append(found.auc)
            accuracies.append(plain)
            print(
                f"| {seed} | {found.auc:.4f} | {plain:.4f} | {chosen:.4f} | {run.summary['best_epoch']} "
                f"| {run.summary['duration_s']:.0f} s |",
                flush=True,
            )
    print(f"| mean ± sd | {_spread(aucs)} | {_spread(accuracies)} | | | |")
    environment = run.config["environment"]
    print(
        f"\n{arguments.data.rsplit('/', 1)[-1]}, `{arguments.evaluate}`; AUC {min(aucs):.3f}–{max(aucs):.3f}; "
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}; "
        f"Keras {environment['keras']} on {environment['backend']} {environment['backend_version']}"
    )


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"


if __name__ == "__main__":
    main()
