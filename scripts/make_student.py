"""Fine-tune `d4net-m` on the mean logits of itself and EfficientNet-Lite0, with random brightness; average the weights.

    python scripts/make_student.py pcam-small.zip pcam-extra.zip pcam-more.zip --seeds 1 2 3 --work DIR
    python benchmarks/held_out.py pcam-small.zip pcam-extra.zip pcam-more.zip --models d4net-m DIR/mean-*

Run the same command again to resume. The targets are the logits of `scripts/teachers/lite0-fold0.npz`, the mean of
eight orientations, and those of `d4net-m`, each divided by its standard deviation; their mean is calibrated on the
patches of fold 0 that neither teacher has seen, on which the students are validated. The hard negatives of that fold
are left out. DIR/seed-N holds each student, DIR/mean-K the mean of the final weights of all students and of `d4net-m`,
which counts K times.
"""

import argparse
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd

from make_folds import read_training_patches, unseen_rows
from make_pretrained import mean_weights
from make_teacher import FOLDS_FILE, LOGITS_FILE, LOGITS_FOLD
from sentinode import PatchSet, Run, TrainConfig, load_run, train
from sentinode.inference.logits import probability
from sentinode.inference.predict import predict_logits
from sentinode.machine import keep_freed_memory
from sentinode.metrics import fit_calibration
from sentinode.storage import atomic_folder
from sentinode.training.run import WEIGHTS

# How often `d4net-m` counts in the means; a student counts once.
TIMES = (0, 1, 3, 6)
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.005,
    "warmup_epochs": 0.3,
    "augment": ("affine", "blur", "stain", "brightness"),
    "label_smoothing": 0.0,
    "metrics": ("accuracy", "auc"),
}


def main() -> None:
    """Train, and average."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    keep_freed_memory()
    start = load_run("d4net-m")
    patches, targets = data_and_targets(start, arguments.sources)
    runs = []
    for seed in arguments.seeds:
        config = TrainConfig.recipe("flagship", **SETTINGS, epochs=arguments.epochs, seed=seed)
        out = arguments.work / f"seed-{seed}"
        runs.append(train(start.starting_model(), patches, config, out=out, targets=targets))
    for times in TIMES:
        write_mean([start.load_model()] * times, runs, arguments.work / f"mean-{times}")


def data_and_targets(teacher: Run, sources: list[str]) -> tuple[PatchSet, np.ndarray]:
    """Return the patches with their splits, and P(tumour) of each by both teachers."""
    table, patches = read_training_patches(FOLDS_FILE, sources)
    validation = np.isin(np.arange(len(table)), unseen_rows(table, LOGITS_FOLD))
    left_out = ((table["fold"] == LOGITS_FOLD) & table["hard"]).to_numpy()
    with np.load(LOGITS_FILE) as stored:
        other = stored["logits"].astype(np.float64).mean(axis=1)
    own = predict_logits(teacher.load_model(), patches)
    mean = own / own.std() + other / other.std()
    calibration = fit_calibration(patches.labels[validation], mean[validation])
    kept = patches.select(np.flatnonzero(~left_out))
    splits = pd.Series(np.where(validation[~left_out], "valid", "train"), kept.table.index, "str")
    return replace(kept, table=kept.table.assign(split=splits)), probability(calibration(mean[~left_out]))


def write_mean(starts: list[keras.Model], students: list[Run], out: Path) -> None:
    """Write a copy of the first student with the mean of the final weights of all students and their start."""
    models = [*(student.load_model("final") for student in students), *starts]
    models[0].set_weights(mean_weights(models))
    with atomic_folder(out) as folder:
        shutil.copytree(students[0].path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tensorboard"))
        for name in WEIGHTS.values():
            models[0].save_weights(folder / name)


if __name__ == "__main__":
    main()
