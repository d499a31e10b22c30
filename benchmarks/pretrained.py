"""Measure the pretrained weights: every figure of the model card.

    python benchmarks/pretrained.py pcam-small.zip pcam-extra.zip pcam-more.zip kaggle-mini.zip

`valid` of pcam-small is a development set: settings were chosen on it, and the published calibration and threshold
were fitted on all of it and on unseen training patches of pcam-more. Here they are fitted on one half and the same
training patches, and measured on the other half, in both directions; duplicates of a patch stay in one half.

The slides of `valid` are unknown. Clusters of similar stain and brightness (`scripts/make_folds.py`) replace them: the
interval of the AUC is that of the jackknife over clusters, on the logit scale. A set of other slides, as large and as
varied, has an error of its own, so the interval for its AUC is wider on that scale, by the square root of 2.
"""

import argparse
import io
import os
import platform
import sys
import time
from itertools import chain
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import numpy as np
from PIL import Image
from scipy.special import expit, logit

from make_folds import appearance, stain_clusters
from make_pretrained import calibration_patches
from sentinode import load_run, open_patches
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.inference.logits import logit_model, probability
from sentinode.inference.predict import predict_logits
from sentinode.layers.d4 import ORDER, apply_symmetry
from sentinode.machine import keep_freed_memory
from sentinode.metrics import (
    auc,
    calibration_error,
    fit_calibration,
    operating_point,
    roc_curve,
    youden_threshold,
)
from sentinode.models.flops import flops
from sentinode.samples import DEFAULT_MODEL
from sentinode.slides import load_scanner


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs=3, type=Path, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("lossless", help="kaggle-mini")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a run directory, or the name of pretrained weights")
    arguments = parser.parse_args()
    keep_freed_memory()
    run = load_run(arguments.model)
    patches, unseen = calibration_patches(arguments.data[:2], arguments.data[2])
    logits, labels = predict_logits(run.model, patches), patches.labels
    others = (unseen.labels, predict_logits(run.model, unseen))
    calibrated, predicted = cross_fitted(patches, logits, *others)
    clusters = stain_clusters(np.concatenate(list(map_patches(patches, appearance, "measuring"))))
    interval = auc(labels, logits, clusters)
    center = logit(interval.estimate)
    elsewhere = [expit(center + np.sqrt(2) * (logit(limit) - center)) for limit in (interval.low, interval.high)]
    lossless = open_patches(arguments.lossless, split="train")
    pixels = lossless.read()
    aucs = [roc_curve(lossless.labels, network_logits(run, each)).auc for each in (pixels, recompressed(pixels))]
    few = patches.read(range(0, len(patches), 30))
    network = logit_model(run.model)
    turned = np.array([network.predict_on_batch(apply_symmetry(few, symmetry))[:, 0] for symmetry in range(ORDER)])
    numbers = (run.calibration.temperature, run.calibration.offset, run.threshold)
    rows = {
        "parameters": f"{run.model.count_params():,}",
        "work per patch": f"{flops(run.model) / 1e9:.3f} GFLOP",
        f"AUC, {len(patches):,} patches": f"{roc_curve(labels, logits).auc:.4f}",
        "its 95 % interval over stain clusters": f"{interval.low:.3f} to {interval.high:.3f}",
        "95 % interval for the AUC of other slides": f"{elsewhere[0]:.3f} to {elsewhere[1]:.3f}",
        "accuracy at the Youden threshold, cross-fitted": f"{np.mean(predicted == labels):.4f}",
        "accuracy at 0.5, cross-fitted": f"{operating_point(labels, calibrated, 0.5).accuracy:.4f}",
        "expected calibration error, debiased, cross-fitted": f"{calibration_error(labels, calibrated).estimate:.4f}",
        "temperature, offset, threshold": ", ".join(f"{number:.3f}" for number in numbers),
        "patches with an OOD warning": f"{np.mean([bool(w) for w in all_warnings(run, patches)]):.1%}",
        f"AUC, {len(lossless):,} lossless patches of training slides": f"{aucs[0]:.4f}",
        "the same recompressed (JPEG 75, 4:2:0)": f"{aucs[1]:.4f} ({aucs[0] - aucs[1]:+.4f} lossless)",
        "largest logit difference over the 8 symmetries": f"{np.ptp(turned, axis=0).max():.1e}",
        "largest logit difference between region scan and single patches": f"{scan_difference(run, few):.1e}",
    }
    print(f"| {arguments.model} | value |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    print("\n| cluster | patches | tumour | AUC |\n|---|---|---|---|")
    for cluster in np.unique(clusters):
        inside = clusters == cluster
        both = 0 < labels[inside].mean() < 1
        cell = f"{roc_curve(labels[inside], logits[inside]).auc:.3f}" if both else "one class only"
        print(f"| {cluster} | {inside.sum()} | {labels[inside].mean():.0%} | {cell} |")
    print_calibrations({"valid": (labels, logits), "unseen training patches": others})
    print(f"\n`valid` of pcam-small; {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


def cross_fitted(
    patches: PatchSet, logits: np.ndarray, other_labels: np.ndarray, other_logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and predictions of each half by calibration and threshold of the other and more patches."""
    labels = patches.labels
    half = np.array([int(sha1[:8], 16) % 2 for sha1 in patches.table["sha1"]])
    probabilities, predicted = np.empty(len(labels)), np.empty(len(labels), dtype=int)
    for fitted in (0, 1):
        fit, measure = half == fitted, half != fitted
        fitted_labels = np.concatenate([labels[fit], other_labels])
        fitted_logits = np.concatenate([logits[fit], other_logits])
        calibration = fit_calibration(fitted_labels, fitted_logits)
        threshold = youden_threshold(fitted_labels, probability(calibration(fitted_logits)))
        probabilities[measure] = probability(calibration(logits[measure]))
        predicted[measure] = probabilities[measure] >= threshold
    return probabilities, predicted


def print_calibrations(sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Print what calibrations that are fitted on each set, and on all, say of each: not cross-fitted."""
    everything = tuple(np.concatenate(parts) for parts in zip(*sets.values(), strict=True))
    titles = " | ".join(f"accuracy at 0.5 and calibration error: {name}" for name in sets)
    print(f"\n| fitted on | temperature, offset | {titles} |\n" + "|---" * (2 + len(sets)) + "|")
    for name, (labels, logits) in {**sets, "all of them": everything}.items():
        calibration = fit_calibration(labels, logits)
        cells = [f"{calibration.temperature:.3f}, {calibration.offset:.3f}"]
        for measured, scores in sets.values():
            probabilities = probability(calibration(scores))
            accuracy = operating_point(measured, probabilities, 0.5).accuracy.estimate
            cells.append(f"{accuracy:.4f}, {calibration_error(measured, probabilities).estimate:.4f}")
        print(f"| {name} | {' | '.join(cells)} |")


def network_logits(run: object, pixels: np.ndarray) -> np.ndarray:
    """Return the logits of pixels in memory."""
    network = logit_model(run.model)
    return np.concatenate([network.predict_on_batch(pixels[at : at + 128])[:, 0] for at in range(0, len(pixels), 128)])


def recompressed(pixels: np.ndarray) -> np.ndarray:
    """Return the patches after JPEG compression with the settings of pcam-small."""
    out = np.empty_like(pixels)
    for number, patch in enumerate(pixels):
        buffer = io.BytesIO()
        Image.fromarray(patch).save(buffer, "JPEG", quality=75, subsampling="4:2:0")
        out[number] = np.asarray(Image.open(buffer))
    return out


def all_warnings(run: object, patches: PatchSet) -> list[str]:
    """Return the OOD warning of every patch."""
    return list(chain.from_iterable(map_patches(patches, run.warnings, "checking")))


def scan_difference(run: object, pixels: np.ndarray) -> float:
    """Return the largest logit difference between the scan of a region and its patches."""
    region = np.concatenate([np.concatenate(list(row), axis=1) for row in pixels[:16].reshape(4, 4, 96, 96, 3)])
    shape = [(side - 96) // 8 + 1 for side in region.shape[:2]]
    scanned = load_scanner(run, 8).compute(region, np.ones(shape, bool))
    places = [(row, column) for row in range(0, shape[0], 2) for column in range(0, shape[1], 2)]
    cut = np.stack([region[8 * row : 8 * row + 96, 8 * column : 8 * column + 96] for row, column in places])
    alone = run.calibration(network_logits(run, cut))
    return float(np.abs([scanned[place] for place in places] - alone).max())


if __name__ == "__main__":
    main()
