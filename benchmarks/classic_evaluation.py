"""Evaluate the classic network over five seeds, with intervals and cross-fitted calibration.

    python benchmarks/classic_evaluation.py pcam-small.zip --work DIR

Trains `cnn` with the classic recipe on `train` and measures on `valid`, a development set. Calibration and threshold
are fitted on one half of `valid` and measured on the other, in both directions; duplicates of a patch stay in one
half. Uncalibrated figures and a threshold of 0.5 are printed for comparison. Trainings are kept in DIR; a second call
resumes.
"""

import argparse
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from pretrained import cross_fitted
from sentinode import TrainConfig, build_model, open_patches, train
from sentinode.inference.logits import probability
from sentinode.inference.predict import predict_logits
from sentinode.machine import keep_freed_memory
from sentinode.metrics import auc, brier_score, calibration_error, operating_point

SEEDS = range(5)


def main() -> None:
    """Train missing runs, measure them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="pcam-small.zip")
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    keep_freed_memory()
    patches = open_patches(arguments.data).cached()
    valid = patches.split("valid")
    labels, rows = valid.labels, []
    for seed in SEEDS:
        run = train(build_model("cnn", seed=seed), patches, TrainConfig(seed=seed), out=arguments.work / f"cnn-{seed}")
        logits = predict_logits(run.model, valid)
        plain, (calibrated, predicted) = probability(logits), cross_fitted(valid, logits)
        uncalibrated, chosen = operating_point(labels, plain, 0.5), operating_point(labels, predicted, 0.5)
        rows.append(
            {
                "AUC": auc(labels, logits),
                "sensitivity at 0.5, uncalibrated": uncalibrated.sensitivity,
                "specificity at 0.5, uncalibrated": uncalibrated.specificity,
                "accuracy at 0.5, uncalibrated": uncalibrated.accuracy,
                "accuracy at 0.5, calibrated": operating_point(labels, calibrated, 0.5).accuracy,
                "sensitivity at the validation threshold": chosen.sensitivity,
                "specificity at the validation threshold": chosen.specificity,
                "accuracy at the validation threshold": chosen.accuracy,
                "Brier score, uncalibrated": brier_score(labels, plain).score,
                "Brier score, calibrated": brier_score(labels, calibrated).score,
                "calibration error, uncalibrated": calibration_error(labels, plain).estimate,
                "calibration error, calibrated": calibration_error(labels, calibrated).estimate,
            }
        )
    print(f"| metric | {' | '.join(f'seed {seed}' for seed in SEEDS)} | mean ± sd |\n|{'---|' * (len(SEEDS) + 2)}")
    for name in rows[0]:
        values = np.array([getattr(row[name], "estimate", row[name]) for row in rows])
        cells = [_cell(row[name]) for row in rows]
        print(f"| {name} | {' | '.join(cells)} | {values.mean():.3f} ± {values.std(ddof=1):.3f} |")
    print(
        f"\n95 % intervals treat the {len(valid):,} patches as independent, because their slides are unknown. ",
        end="",
    )
    print(f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value.estimate:.3f} ({value.low:.3f}–{value.high:.3f})"


if __name__ == "__main__":
    main()
