"""Which explanations may be believed: the checks of every method on networks that were trained.

    python benchmarks/explanations.py pcam-small.zip --model runs/cnn --model d4net-m

`valid` is a development set; nothing is fitted on it here.
"""

import argparse
import os
import platform
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from sentinode import load_run, open_patches
from sentinode.explanation.attributions import METHODS
from sentinode.explanation.sanity import SHUFFLES, Trust
from sentinode.inference.predict import predict
from sentinode.machine import keep_freed_memory


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pcam-small")
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--patches", type=int, default=24, help="of each network")
    parser.add_argument("--seeds", type=int, default=3, help="of random orders and of shuffled weights")
    arguments = parser.parse_args()
    keep_freed_memory()
    valid = open_patches(arguments.data, split="valid").cached()
    header = [
        "network",
        "method",
        "in the centre",
        "deletion",
        "insertion",
        "weights shuffled",
        "by seed",
        "silent",
        "s",
    ]
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for name in arguments.model:
        run = load_run(name)
        # Tumour that is called so: what speaks for tumour can be asked for.
        called = predict(run, valid).table["probability"].to_numpy() >= run.threshold
        rows = np.flatnonzero(called & (valid.labels == 1))
        pixels = valid.read(np.sort(np.random.default_rng(0).choice(rows, arguments.patches, replace=False)))
        for method in METHODS:
            began = time.monotonic()
            checks = [Trust.of(run.model, pixels, method, seed).figures for seed in range(arguments.seeds)]
            took = (time.monotonic() - began) / arguments.seeds
            figures = {name: np.array([each[name] for each in checks]) for name in checks[0]}
            # One that says nothing does so with every seed.
            silent = int(np.isnan(figures["deletion_gain"]).all(axis=0).sum())
            cells = [_cell(each) for each in figures.values()]
            by_seed = np.nanmean(figures["randomised"], axis=1)
            cells.append(f"{by_seed.min():.2f}–{by_seed.max():.2f}")
            name = run.config["model"]["name"]
            print(f"| {name} | {method} | {' | '.join(cells)} | {silent} | {took:.0f} |", flush=True)
    print(
        f"\n{arguments.patches} patches of tumour that are called so, {arguments.seeds} seeds, {SHUFFLES} shuffled "
        "networks each; mean ± sd over patches; evenly spread 0.111 lie in the centre"
    )
    print(f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


def _cell(figures: np.ndarray) -> str:
    """Return mean and deviation over patches, of each its mean over seeds."""
    known = figures[:, ~np.isnan(figures).any(axis=0)].mean(axis=0)
    return f"{known.mean():.3f} ± {known.std(ddof=1):.3f}" if len(known) > 1 else "–"


if __name__ == "__main__":
    main()
