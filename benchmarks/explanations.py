"""Measure sanity checks of every attribution method on trained networks.

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
from sentinode.explanation.sanity import RANDOMIZATIONS, SanityChecks
from sentinode.inference.predict import predict
from sentinode.machine import keep_freed_memory


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pcam-small.zip")
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--patches", type=int, default=24, help="patches per network")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of random orders and randomized weights")
    arguments = parser.parse_args()
    keep_freed_memory()
    valid = open_patches(arguments.data, split="valid").cached()
    header = [
        "network",
        "method",
        "share in the center",
        "deletion gain",
        "insertion gain",
        "correlation with randomized weights",
        "range over seeds",
        "no attribution",
        "s",
    ]
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for name in arguments.model:
        run = load_run(name)
        # True positives: evidence for tumour can be attributed.
        positive = predict(run, valid).table["probability"].to_numpy() >= run.threshold
        rows = np.flatnonzero(positive & (valid.labels == 1))
        pixels = valid.read(np.sort(np.random.default_rng(0).choice(rows, arguments.patches, replace=False)))
        for method in METHODS:
            began = time.monotonic()
            checks = [SanityChecks.measure(run.model, pixels, method, seed).values for seed in range(arguments.seeds)]
            took = (time.monotonic() - began) / arguments.seeds
            figures = {name: np.array([each[name] for each in checks]) for name in checks[0]}
            # A patch without attribution has none with every seed.
            empty = int(np.isnan(figures["deletion_gain"]).all(axis=0).sum())
            cells = [_cell(each) for each in figures.values()]
            by_seed = np.nanmean(figures["randomization_correlation"], axis=1)
            cells.append(f"{by_seed.min():.2f}–{by_seed.max():.2f}")
            name = run.config["model"]["name"]
            print(f"| {name} | {method} | {' | '.join(cells)} | {empty} | {took:.0f} |", flush=True)
    print(
        f"\n{arguments.patches} true-positive patches, {arguments.seeds} seeds, {RANDOMIZATIONS} randomized "
        "networks each; mean ± sd over patches; a uniform map has 0.111 in the center"
    )
    print(f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


def _cell(figures: np.ndarray) -> str:
    """Return mean and standard deviation over patches of the mean over seeds."""
    known = figures[:, ~np.isnan(figures).any(axis=0)].mean(axis=0)
    return f"{known.mean():.3f} ± {known.std(ddof=1):.3f}" if len(known) > 1 else "–"


if __name__ == "__main__":
    main()
