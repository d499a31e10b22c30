"""Measure how many flipped labels and corrupted patches an audit finds.

    python benchmarks/audit.py pcam-small.zip --work DIR

Labels of patches without duplicates are flipped at random: 200 of `train`, 200 of `valid`, and 30 of `valid` (the same
share as of `train`). Two networks provide features: the pretrained weights, which have seen the true labels of `train`
and nothing of `valid`; and `cnn`, trained by the classic recipe on `train` with its flipped labels. Unflipped labels
count as correct, although some are doubtful. The ranking by the network's own probability, without folds, is printed
for comparison. Trainings and features are kept in DIR; a second call resumes.
"""

import argparse
import io
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

from sentinode import PatchSet, TrainConfig, build_model, embed, load_run, open_patches, train
from sentinode.auditing.out_of_fold import predict_out_of_fold
from sentinode.data.quality.checks import check_pixels
from sentinode.data.splitting.split import split_folds
from sentinode.inference.features import feature_model
from sentinode.inference.logits import probability, tumour_logit
from sentinode.inference.ood import OUTLIER_FRACTION, Gaussian
from sentinode.machine import keep_freed_memory
from sentinode.metrics import average_precision, find_label_errors, precision_recall_curve, roc_curve
from sentinode.plots.style import BLUE, GREEN, ORANGE, PURPLE, new_axes, save_figure, styled
from sentinode.samples import DEFAULT_MODEL
from sentinode.training.run import Run

FLIPPED = {"train": (200,), "valid": (200, 30)}
DEPTHS = (50, 100, 200)
CORRUPTED = 150
Marks = np.ndarray


def main() -> None:
    """Flip labels, train missing runs, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pcam-small.zip")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="file for the figure of precision against recall")
    arguments = parser.parse_args()
    keep_freed_memory()
    patches = open_patches(arguments.data).cached()
    pretrained = load_run(DEFAULT_MODEL)
    cells: dict[str, list[dict[str, float]]] = {}
    curves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for split, count in ((split, count) for split, counts in FLIPPED.items() for count in counts):
        for name in (DEFAULT_MODEL, "cnn"):
            what = f"{name}, {count} of {split}"
            for seed in range(arguments.seeds):
                run = pretrained if name == DEFAULT_MODEL else trained(patches, arguments.work, seed)
                chosen, flips = flipped(patches.split(split), count, seed)
                found, ranking = measured(run, chosen, flips, seed, arguments.work)
                cells.setdefault(what, []).append(found)
                if count == FLIPPED[split][0]:
                    curve = precision_recall_curve(flips, ranking)
                    curves.setdefault(what, []).append((curve.recall, curve.precision))
    print_flips(cells)
    print_corrupted(pretrained, patches.split("valid"))
    print(f"\n{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")
    if arguments.picture:
        draw(curves, arguments.picture)


def flipped(patches: PatchSet, count: int, seed: int) -> tuple[PatchSet, Marks]:
    """Return the set with flipped labels, and a mask of them."""
    alone = np.flatnonzero(~patches.table["sha1"].duplicated(keep=False))
    chosen = np.random.default_rng([1, seed]).choice(alone, count, replace=False)
    marks = np.zeros(len(patches), dtype=bool)
    marks[chosen] = True
    labels = pd.array(np.where(marks, 1 - patches.labels, patches.labels), dtype="Int8")
    return replace(patches, table=patches.table.assign(label=labels)), marks


def trained(patches: PatchSet, work: Path, seed: int) -> Run:
    """Return the classic network, trained on `train` with flipped labels."""
    wrong, _ = flipped(patches.split("train"), *FLIPPED["train"], seed)
    labels, here = patches.table["label"].copy(), (patches.table["split"] == "train").to_numpy()
    labels[here] = wrong.table["label"].to_numpy()
    patches = replace(patches, table=patches.table.assign(label=labels))
    return train(build_model("cnn", seed=seed), patches, TrainConfig(seed=seed), out=work / f"cnn-{seed}")


def measured(run: Run, patches: PatchSet, flips: Marks, seed: int, work: Path) -> tuple[dict[str, float], np.ndarray]:
    """Return metrics of the audit, and the ranking: one minus the probability of each label."""
    kept = work / f"{run.path.name}-{patches.split_names[0]}.npz"
    if not kept.is_file():
        features = embed(run, patches)
        kernel, bias = run.model.layers[-1].get_weights()
        np.savez(kept, features=features, logits=tumour_logit(features @ kernel + bias))
    with np.load(kept) as file:
        features, itself = file["features"], probability(file["logits"])
    labels = patches.labels
    fold = split_folds(patches, 5, seed).patches.table["split"].to_numpy()
    tumour = predict_out_of_fold(features, labels, fold, ~patches.table["sha1"].duplicated(), seed).probability
    suspect = find_label_errors(labels, tumour).suspect
    ranking, plain = (np.where(labels == 1, 1 - p, p) for p in (tumour, itself))
    hits = flips[np.argsort(-ranking, kind="stable")]
    return {
        "AUC against the true labels": roc_curve(labels ^ flips, tumour).auc,
        "suspects": int(suspect.sum()),
        "precision": flips[suspect].mean(),
        "recall": suspect[flips].mean(),
        **{f"precision at {depth}": hits[:depth].mean() for depth in DEPTHS},
        "average precision": average_precision(flips, ranking).estimate,
        "average precision of the network's own probability": average_precision(flips, plain).estimate,
        "false positives (suspects not flipped)": int((suspect & ~flips).sum()),
        "false-positive rate": (suspect & ~flips).sum() / (~flips).sum(),
    }, ranking


def print_flips(cells: dict[str, list[dict[str, float]]]) -> None:
    """Print one column per network and number of flips."""
    print(f"| metric | {' | '.join(cells)} |\n|{'---|' * (len(cells) + 1)}")
    for what in next(iter(cells.values()))[0]:
        row = []
        for found in cells.values():
            values = np.array([each[what] for each in found], dtype=float)
            digits = 0 if what.startswith(("suspects", "false positives")) else 3
            row.append(f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}")
        print(f"| {what} | {' | '.join(row)} |")
    print(f"\nMean ± sd over {len(found)} seeds.\n")


def _image(change: Callable[[Image.Image], Image.Image]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: np.stack([np.asarray(change(Image.fromarray(patch))) for patch in pixels])


def _pen(image: Image.Image) -> Image.Image:
    ImageDraw.Draw(image).line((0, 80, 95, 15), fill=(30, 80, 200), width=14)
    return image


def _jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=8)
    return Image.open(file).convert("RGB")


CORRUPTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda pixels: pixels,
    "blurred, Gaussian of 1.5 px": _image(lambda image: image.filter(ImageFilter.GaussianBlur(1.5))),
    "magnified twice": _image(lambda image: image.crop((24, 24, 72, 72)).resize((96, 96), Image.Resampling.BICUBIC)),
    "JPEG, quality 8": _image(_jpeg),
    "blue line of 14 px": _image(_pen),
    "left half black": lambda pixels: np.where(np.arange(96)[:, None] < 48, 0, pixels).astype(np.uint8),
    "blank glass": lambda pixels: np.random.default_rng(0).normal(240, 3, pixels.shape).clip(0, 255).astype(np.uint8),
    "noise": lambda pixels: np.random.default_rng(0).integers(0, 256, pixels.shape, dtype=np.uint8),
    "inverted": lambda pixels: 255 - pixels,
    "gray": lambda pixels: np.repeat(pixels.mean(axis=3, keepdims=True), 3, axis=3).astype(np.uint8),
    "red and blue exchanged": lambda pixels: np.ascontiguousarray(pixels[..., ::-1]),
}


def print_corrupted(run: Run, patches: PatchSet) -> None:
    """Print the share of corrupted patches that each method flags."""
    rows = np.sort(np.random.default_rng(0).choice(len(patches), CORRUPTED, replace=False))
    others = patches.select(np.setdiff1d(np.arange(len(patches)), rows))
    features = embed(run, others)
    half = np.arange(len(others)) % 2 == 0
    distribution = Gaussian.fit(features[half])
    limit = np.quantile(distribution.squared_distance(features[~half]), 1 - OUTLIER_FRACTION)
    network, pixels = feature_model(run.model), patches.read(rows)
    print("| corruption | OOD warning | feature outlier | quality flag | any |\n|---|---|---|---|---|")
    for name, change in CORRUPTIONS.items():
        changed = change(pixels.copy())
        warned = np.array([bool(warning) for warning in run.warnings(changed)])
        far = distribution.squared_distance(np.asarray(network.predict(changed, verbose=0))) > limit
        flagged = check_pixels(changed).any(axis=1).to_numpy()
        marks = (warned, far, flagged, warned | far | flagged)
        print(f"| {name} | {' | '.join(f'{each.mean():.0%}' for each in marks)} |")
    print(f"\n{CORRUPTED} patches of `valid`, features of {run.path.name}; outliers against the other {len(others):,}.")


@styled
def draw(curves: dict[str, list[tuple[np.ndarray, np.ndarray]]], path: Path) -> None:
    """Draw precision against recall, one line per seed."""
    axes = new_axes(size=(6.4, 4.6))[0]
    for (name, seeds), color, line in zip(
        curves.items(), (BLUE, ORANGE, GREEN, PURPLE), ("-", "--", "-.", ":"), strict=True
    ):
        for number, (recall, precision) in enumerate(seeds):
            label = name if number == 0 else None
            axes.plot(recall, precision, color=color, linestyle=line, linewidth=1.4, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall")
    axes.set_ylabel("precision")
    axes.set_title("Detection of flipped labels; one line per seed")
    axes.legend(loc="upper right")
    save_figure(axes, path)


if __name__ == "__main__":
    main()
