"""Measure calibrations that are fitted on few patches: with the package's prior, with the highest likelihood, and none.

    python benchmarks/calibration.py pcam-small.zip pcam-extra.zip pcam-more.zip

Logits of `d4net-m` for the random patches of pcam-more, which it was not trained on, as they are and after a change
that the calibration has to undo. Each row: calibrations fitted on as many patches of both classes, measured by the log
loss on 1,500 others; mean and largest value of 100 draws.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import numpy as np
from sklearn.linear_model import LogisticRegression

from make_folds import read_training_patches
from make_teacher import FOLDS_FILE
from sentinode import load_run
from sentinode.inference.predict import predict_logits
from sentinode.machine import keep_freed_memory
from sentinode.metrics import Calibration, fit_calibration

COUNTS, DRAWS, TESTED = (6, 20, 60, 200, 1_000), 100, 1_500
CHANGES = {"as they are": (1.0, 0.0), "× 3": (3.0, 0.0), "× 0.5 + 1": (0.5, 1.0)}


def highest_likelihood(labels: np.ndarray, logits: np.ndarray) -> Calibration:
    """Return the calibration without a prior."""
    line = LogisticRegression(C=1e9, max_iter=1_000).fit(logits[:, None], labels)
    return Calibration(1 / float(line.coef_[0, 0]), float(line.intercept_[0]))


FITS: dict[str, Callable[[np.ndarray, np.ndarray], Calibration]] = {
    "with the prior": fit_calibration,
    "highest likelihood": highest_likelihood,
    "none": lambda labels, logits: Calibration(),
}


def main() -> None:
    """Predict, fit, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    arguments = parser.parse_args()
    keep_freed_memory()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    chosen = patches.select(((table["part"] == table["part"].max()) & ~table["hard"]).to_numpy())
    labels, unchanged = chosen.labels, predict_logits(load_run("d4net-m").load_model(), chosen)
    print(f"{len(chosen):,} patches\n\n| logits | patches | " + " | ".join(FITS) + " |\n" + "|---" * 5 + "|")
    for name, (factor, offset) in CHANGES.items():
        logits, rng = factor * unchanged + offset, np.random.default_rng(0)
        for count in COUNTS:
            losses: dict[str, list[float]] = {fit: [] for fit in FITS}
            for _ in range(DRAWS):
                each = [rng.choice(np.flatnonzero(labels == label), count // 2, replace=False) for label in (0, 1)]
                fitted = np.concatenate(each)
                tested = rng.choice(np.setdiff1d(np.arange(len(labels)), fitted), TESTED, replace=False)
                for fit, function in FITS.items():
                    found = function(labels[fitted], logits[fitted])(logits[tested])
                    losses[fit].append(float(np.logaddexp(0, np.where(labels[tested] == 1, -found, found)).mean()))
            cells = [f"{np.mean(values):.3f} ({max(values):.2f})" for values in losses.values()]
            print(f"| {name} | {count:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
