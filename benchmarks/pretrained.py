"""What a run that ships is worth: every figure of its card.

    python benchmarks/pretrained.py pcam-small.zip kaggle-mini.zip --model d4net-m

`valid` of pcam-small is a development set: settings were looked at on it, and calibration and threshold are fitted on
all of it. Here they are fitted on one half of it and measured on the other, both ways, copies of a patch together.
"""

import argparse
import io
import os
import platform
import time
from itertools import chain

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from sentinode import load_run, open_patches
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.inference.logits import logit_model, probability
from sentinode.inference.predict import predict_logits
from sentinode.layers.d4 import ORDER, apply_symmetry
from sentinode.machine import keep_freed_memory
from sentinode.metrics.calibration import fit_calibration
from sentinode.metrics.calibration_error import calibration_error
from sentinode.metrics.operating import operating_point, youden_threshold
from sentinode.metrics.ranking import roc_curve
from sentinode.models.flops import flops
from sentinode.models.plain import plain_network
from sentinode.samples import DEFAULT_MODEL


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pcam-small")
    parser.add_argument("lossless", help="kaggle-mini")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a run, or the name of one that ships")
    arguments = parser.parse_args()
    keep_freed_memory()
    run = load_run(arguments.model)
    patches = open_patches(arguments.data, split="valid").cached()
    logits, labels = predict_logits(run.model, patches), patches.labels
    calibrated, called = cross_fitted(patches, logits)
    lossless = open_patches(arguments.lossless, split="train")
    pixels = lossless.read()
    aucs = [roc_curve(lossless.labels, network_logits(run, shown)).auc for shown in (pixels, recompressed(pixels))]
    few = patches.read(range(0, len(patches), 30))
    network = logit_model(run.model)
    turned = np.array([network.predict_on_batch(apply_symmetry(few, symmetry))[:, 0] for symmetry in range(ORDER)])
    numbers = (run.calibration.temperature, run.calibration.offset, run.threshold)
    rows = {
        "parameters": f"{run.model.count_params():,}",
        "work for a patch": f"{flops(run.model) / 1e9:.3f} GFLOP",
        f"AUC, {len(patches):,} patches": f"{roc_curve(labels, logits).auc:.4f}",
        "accuracy at the threshold, cross-fitted": f"{np.mean(called == labels):.4f}",
        "accuracy at 0.5, cross-fitted": f"{operating_point(labels, calibrated, 0.5).accuracy:.4f}",
        "expected calibration error, debiased, cross-fitted": f"{calibration_error(labels, calibrated).estimate:.4f}",
        "temperature, offset, threshold": ", ".join(f"{number:.3f}" for number in numbers),
        "patches warned of": f"{np.mean([bool(w) for w in all_warnings(run, patches)]):.1%}",
        f"AUC, {len(lossless):,} lossless patches of training slides": f"{aucs[0]:.4f}",
        "the same recompressed (JPEG 75, 4:2:0)": f"{aucs[1]:.4f} ({aucs[0] - aucs[1]:+.4f} lossless)",
        "largest difference of a logit over the 8 symmetries": f"{np.ptp(turned, axis=0).max():.1e}",
        "largest difference of the scan from its patches": f"{scan_difference(run, few):.1e}",
    }
    print(f"| {arguments.model} | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    print(f"\n`valid` of pcam-small; {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


def cross_fitted(patches: PatchSet, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and calls of each half by the calibration and threshold of the other."""
    labels = patches.labels
    half = np.array([int(sha1[:8], 16) % 2 for sha1 in patches.table["sha1"]])
    predict_out_of_fold, called = np.empty(len(labels)), np.empty(len(labels), dtype=int)
    for fitted in (0, 1):
        fit, measure = half == fitted, half != fitted
        calibration = fit_calibration(labels[fit], logits[fit])
        threshold = youden_threshold(labels[fit], probability(calibration(logits[fit])))
        predict_out_of_fold[measure] = probability(calibration(logits[measure]))
        called[measure] = predict_out_of_fold[measure] >= threshold
    return predict_out_of_fold, called


def network_logits(run: object, pixels: np.ndarray) -> np.ndarray:
    """Return the logits of pixels in memory."""
    network = logit_model(run.model)
    return np.concatenate([network.predict_on_batch(pixels[at : at + 128])[:, 0] for at in range(0, len(pixels), 128)])


def recompressed(pixels: np.ndarray) -> np.ndarray:
    """Return what JPEG leaves of patches at the quality of pcam-small."""
    out = np.empty_like(pixels)
    for number, patch in enumerate(pixels):
        buffer = io.BytesIO()
        Image.fromarray(patch).save(buffer, "JPEG", quality=75, subsampling="4:2:0")
        out[number] = np.asarray(Image.open(buffer))
    return out


def all_warnings(run: object, patches: PatchSet) -> list[str]:
    """Return the warning of every patch."""
    return list(chain.from_iterable(map_patches(patches, run.warnings, "looking")))


def scan_difference(run: object, pixels: np.ndarray) -> float:
    """Return how far the scan of a region lies from predicting its patches, at most."""
    region = np.concatenate([np.concatenate(list(row), axis=1) for row in pixels[:16].reshape(4, 4, 96, 96, 3)])
    scanned = np.asarray(plain_network(run.model, step_px=8).predict_on_batch(region[None]))[0, ..., 0]
    places = [(row, column) for row in range(0, len(scanned), 2) for column in range(0, scanned.shape[1], 2)]
    cut = np.stack([region[8 * row : 8 * row + 96, 8 * column : 8 * column + 96] for row, column in places])
    alone = network_logits(run, cut)
    return float(np.abs([scanned[place] for place in places] - alone).max())


if __name__ == "__main__":
    main()
