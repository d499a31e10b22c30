"""Train a teacher for knowledge distillation: EfficientNet-Lite with ImageNet weights, on three of the four folds.

    python scripts/make_teacher.py pcam-small.zip pcam-extra.zip pcam-more.zip --fold 0 --out runs/lite0-fold0

Run the same command again to resume. The hard negatives of the third set are left out: all of them are normal, so the
teacher would learn to call what is difficult normal. When it is trained, its AUC on the fold that was held out is
printed for one orientation and for the mean of all eight, and the logits of all patches in eight orientations are
written to `OUT/logits.npz` (float16, in the order of `scripts/folds.npz`).
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from make_folds import read_training_patches
from sentinode import PatchSet, TrainConfig, build_model, train
from sentinode.inference.keras_predictor import inference_network
from sentinode.inference.logits import tumour_logit
from sentinode.layers.d4 import ORDER, apply_symmetry
from sentinode.machine import keep_freed_memory
from sentinode.metrics import roc_curve
from sentinode.progress import progress_bar
from sentinode.storage import atomic_file

FOLDS_FILE = Path(__file__).parent / "folds.npz"
# Logits of a teacher in eight orientations, and the fold that it has not seen.
LOGITS_FILE, LOGITS_FOLD = Path(__file__).parent / "teachers" / "lite0-fold0.npz", 0
BATCH = 128
SETTINGS = TrainConfig(
    epochs=5,
    batch_size=64,
    optimizer="adamw",
    learning_rate=7e-4,
    weight_decay=0.05,
    schedule="cosine",
    warmup_epochs=0.3,
    ema=0.998,
    augment=("affine", "blur", "stain", "brightness", "symmetry"),
    label_smoothing=0.02,
    deduplicate=True,
    metrics=("accuracy", "auc"),
    checkpoint_minutes=10,
)


def main() -> None:
    """Train, measure and write the logits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--fold", type=int, default=0, help="fold that is held out")
    parser.add_argument("--backbone", default="efficientnet-lite0")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    keep_freed_memory()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    held_out, easy = (table["fold"] == arguments.fold).to_numpy(), ~table["hard"].to_numpy()
    network = build_model("transfer", backbone=arguments.backbone, weights="imagenet", trainable="all", dropout=0.3)
    run = train(network, split(patches, held_out, easy), SETTINGS, out=arguments.out)
    logits = eight_orientations(run.load_model(), patches)
    with atomic_file(arguments.out / "logits.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, logits=logits.astype(np.float16))
    for name, rows in (("all patches", held_out), ("without hard negatives", held_out & easy)):
        labels = patches.labels[rows]
        one, mean = (roc_curve(labels, values[rows]).auc for values in (logits[:, 0], logits.mean(axis=1)))
        print(f"fold {arguments.fold}, {name}: AUC {one:.4f} in one orientation, {mean:.4f} in the mean of eight")


def split(patches: PatchSet, held_out: np.ndarray, easy: np.ndarray) -> PatchSet:
    """Return the patches that are not hard negatives, one fold of them as ``valid``, the others as ``train``."""
    names = pd.Series(np.where(held_out[easy], "valid", "train"), dtype="str")
    chosen = patches.select(np.flatnonzero(easy))
    return replace(chosen, table=chosen.table.assign(split=names.set_axis(chosen.table.index)))


def eight_orientations(model: object, patches: PatchSet) -> np.ndarray:
    """Return the logits of each patch in eight orientations, float64, ``(n, 8)``."""
    network, logits = inference_network(model), np.empty((len(patches), ORDER))
    with progress_bar("predicting", total=len(patches), unit="patches") as advance:
        for start in range(0, len(patches), BATCH):
            rows = range(start, min(start + BATCH, len(patches)))
            pixels = patches.read(rows)
            for symmetry in range(ORDER):
                turned = apply_symmetry(pixels, symmetry)
                logits[rows.start : rows.stop, symmetry] = tumour_logit(network.predict_on_batch(turned))
            advance(len(rows))
    return logits


if __name__ == "__main__":
    main()
