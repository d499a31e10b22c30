"""Measure how many patches a linear probe on pretrained features needs, compared with training from scratch.

    python benchmarks/linear_probe.py pcam-small.zip

The pretrained weights were fitted on the `train` patches of pcam-small, so a probe on those would use features that
know the labels. Here probes are fitted on one half of `valid` and measured on the other, in both directions and
without duplicates; a network trained from scratch gets the same patches and is measured on the same half. The halves
share slides, so both figures are optimistic for other slides. The pretrained threshold and calibration come from
`valid`; no figure here uses them. The row "pretrained last layer" measures the published last layer on the same
halves.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from sentinode import TrainConfig, build_model, embed, load_run, open_patches, train
from sentinode.data.patchset import PatchSet
from sentinode.inference.predict import predict_logits
from sentinode.machine import keep_freed_memory
from sentinode.metrics import roc_curve
from sentinode.samples import DEFAULT_MODEL
from sentinode.training.linear_probe import fit_linear_head

# From scratch: the flagship recipe with AdamW and a fixed number of steps, so that few patches are seen often enough.
STEPS, BATCH = 600, 32


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pcam-small.zip")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--patches", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--draws", type=int, default=5, help="random draws of the training patches of each half")
    parser.add_argument("--from-scratch", type=int, default=1, help="draws that are also trained from scratch")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    keep_freed_memory()
    run = load_run(arguments.model)
    patches = open_patches(arguments.data, split="valid").cached()
    patches = patches.select(np.flatnonzero(~patches.table["sha1"].duplicated()))
    started = time.perf_counter()
    features, labels = embed(run, patches), patches.labels
    embedded_s = time.perf_counter() - started
    half = np.array([int(sha1[:8], 16) % 2 for sha1 in patches.table["sha1"]])
    logits_of_run = predict_logits(run.model, patches)
    heads: dict[int, list[float]] = {count: [] for count in arguments.patches}
    scratch: dict[int, list[float]] = {count: [] for count in arguments.patches}
    fitting: list[float] = []
    for fitted in (0, 1):
        measured = half != fitted
        for draw in range(arguments.draws):
            order = np.random.default_rng([fitted, draw]).permutation(np.flatnonzero(half == fitted))
            for count in arguments.patches:
                rows = balanced(order, labels, count)
                began = time.perf_counter()
                weights, bias, _ = fit_linear_head(features[rows], labels[rows], seed=draw)
                fitting.append(time.perf_counter() - began)
                heads[count].append(auc(labels, features @ weights + bias, measured))
                if draw < arguments.from_scratch:
                    logits = train_from_scratch(patches.select(rows), patches, arguments.steps, draw)
                    scratch[count].append(auc(labels, logits, measured))
    print(f"| training patches | linear probe on {arguments.model} | d4net-s from scratch |\n|---|---|---|")
    for count in arguments.patches:
        print(f"| {count:,} | {spread(heads[count])} | {spread(scratch[count])} |")
    pretrained = [auc(labels, logits_of_run, half == part) for part in (0, 1)]
    print(f"| pretrained last layer (24,000) | {spread(pretrained)} | |")
    print(
        f"\nAUC on the other half of `valid` ({len(patches) // 2:,} patches), mean ± sd (n) over draws and halves. "
        f"Embedding {len(patches):,} patches took {embedded_s:.1f} s, fitting a probe {max(fitting):.1f} s at most. "
        f"From scratch: {arguments.steps} steps of {BATCH}. {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, "
        f"{platform.machine()}"
    )


def balanced(order: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return the first patches of an order, balanced by class."""
    return np.concatenate([order[labels[order] == label][: count // 2] for label in (0, 1)])


def train_from_scratch(few: PatchSet, patches: PatchSet, steps: int, seed: int) -> np.ndarray:
    """Return the logits of `patches` by a network trained on `few` alone, with the weights of the last epoch."""
    epochs = max(2, round(steps * BATCH / len(few)))
    config = TrainConfig(
        train_split="valid",
        valid_split="some",
        epochs=epochs,
        optimizer="adamw",
        learning_rate=0.003,
        weight_decay=0.05,
        schedule="linear",
        warmup_epochs=epochs / 10,
        augment=("symmetry", "affine", "stain"),
        augment_strength=0.8,
        label_smoothing=0.02,
        precision="auto",
        seed=seed,
    )
    # Training requires a validation split; nothing is chosen on these two patches.
    joined = few.select([*range(len(few)), 0, len(few) - 1])
    joined.table["split"] = ["valid"] * len(few) + ["some"] * 2
    with tempfile.TemporaryDirectory() as work:
        run = train(build_model("d4net", seed=seed), joined, config, out=Path(work) / "run")
        return predict_logits(run.load_model("final"), patches)


def auc(labels: np.ndarray, logits: np.ndarray, measured: np.ndarray) -> float:
    """Return the AUC on a part of the patches."""
    return roc_curve(labels[measured], logits[measured]).auc


def spread(values: list[float]) -> str:
    """Return mean, standard deviation and number."""
    if not values:
        return ""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} ({len(values)})" if values[1:] else f"{values[0]:.3f}"


if __name__ == "__main__":
    main()
