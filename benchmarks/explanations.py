"""Which explanations may be believed: the checks of every method on networks that were trained.

    python benchmarks/explanations.py pcam-small.zip --model runs/cnn --model d4net-m

`valid` is a development set; nothing is fitted on it here.
"""

import argparse
import os
import platform
import time
from dataclasses import fields

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from sentinode import load_run, open_patches
from sentinode.explanation.attributions import METHODS
from sentinode.explanation.sanity import Trust
from sentinode.machine import keep_freed_memory
from sentinode.prediction.predict import predict


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
    print("| network | method | in the centre | deletion | insertion | weights shuffled | s |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.model:
        run = load_run(name)
        # Tumour that is called so: what speaks for tumour can be asked for.
        called = predict(run, valid).table["probability"].to_numpy() >= run.threshold
        rows = np.flatnonzero(called & (valid.labels == 1))
        pixels = valid.read(np.sort(np.random.default_rng(0).choice(rows, arguments.patches, replace=False)))
        for method in METHODS:
            began = time.monotonic()
            trusts = [Trust.of(run.model, pixels, method, seed) for seed in range(arguments.seeds)]
            took = (time.monotonic() - began) / arguments.seeds
            figures = [np.nanmean([getattr(trust, field.name) for trust in trusts], axis=0) for field in fields(Trust)]
            cells = [f"{np.nanmean(each):.3f} ± {np.nanstd(each, ddof=1):.3f}" for each in figures]
            print(f"| {run.config['model']['name']} | {method} | {' | '.join(cells)} | {took:.0f} |", flush=True)
    print(
        f"\n{arguments.patches} patches of tumour that are called so, {arguments.seeds} seeds; mean ± sd "
        f"over patches; evenly spread 0.111 lie in the centre\n{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, "
        f"{platform.machine()}"
    )


if __name__ == "__main__":
    main()
