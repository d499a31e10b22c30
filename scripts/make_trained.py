"""Make a run that ships with the package.

    python scripts/make_trained.py d4net-m pcam-small.zip pcam-extra.zip --work DIR

Trains on `train` of all sources and validates on `valid` of the first; stopped with Ctrl-C, the same command goes on.
What a run needs to be used then goes to `src/sentinode/samples/NAME`, and the SHA-256 of its weights is printed: it
belongs into `sentinode.samples.RUNS`. The weights are those after the last epoch: none was chosen by its validation
patches.
"""

import argparse
import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from sentinode import TrainConfig, build_model, load_run, open_patches, train
from sentinode.data.joined import join
from sentinode.machine import keep_freed_memory
from sentinode.metrics.calibration import fit_calibration
from sentinode.metrics.conformal import fit_conformal
from sentinode.metrics.operating import youden_threshold
from sentinode.metrics.ranking import roc_curve
from sentinode.prediction.logits import probability
from sentinode.prediction.predict import predict_logits
from sentinode.samples import run_path
from sentinode.storage import write_json
from sentinode.training.run import ARCHITECTURE, CONFIG, SUMMARY, TRAIN_SHA1, USUAL, WEIGHTS

# What differs from the flagship's recipe: these weights were made with AdamW, before the recipe had Muon.
NETWORKS: dict[str, dict[str, Any]] = {
    "d4net-m": {
        "epochs": 26,
        "warmup_epochs": 3.0,
        "optimizer": "adamw",
        "learning_rate": 0.003,
        "weight_decay": 0.05,
    },
}


def main() -> None:
    """Train, and put the result into the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    keep_freed_memory()
    patches = join([open_patches(path) for path in arguments.data])
    config = TrainConfig.recipe("flagship", **NETWORKS[arguments.name])
    train(build_model("d4net", size=arguments.name[-1]), patches, config, out=arguments.work)
    publish(arguments.work, arguments.name, arguments.data)


def publish(work: Path, name: str, data: list[Path]) -> None:
    """Copy what a run needs to be used, with the weights after the last epoch, calibrated and with a threshold."""
    run, folder = load_run(work), run_path(name)
    validation = open_patches(data[0], split="valid").cached()
    logits = predict_logits(run.load_model("final"), validation)
    calibration = fit_calibration(validation.labels, logits)
    probabilities = probability(calibration(logits))
    folder.mkdir(exist_ok=True)
    for file in (ARCHITECTURE, TRAIN_SHA1, USUAL, "history.csv"):
        shutil.copyfile(work / file, folder / file)
    shutil.copyfile(work / WEIGHTS["final"], folder / WEIGHTS["best"])
    config = json.loads((work / CONFIG).read_text())
    config["data"]["path"] = " + ".join(path.name for path in data)
    write_json(folder / CONFIG, config)
    summary = {
        "best_epoch": len(run.history),
        "epochs": len(run.history),
        "duration_s": run.summary["duration_s"],
        "calibration": asdict(calibration),
        "valid_auc": roc_curve(validation.labels, logits).auc,
        "threshold": youden_threshold(validation.labels, probabilities),
        "conformal": fit_conformal(validation.labels, probabilities).to_json(),
        "threshold_rule": run.summary["threshold_rule"],
        "ended": run.summary["ended"],
    }
    write_json(folder / SUMMARY, summary)
    print(json.dumps(summary, indent=2))
    print(f'"{name}": "{hashlib.sha256((folder / WEIGHTS["best"]).read_bytes()).hexdigest()}",')


if __name__ == "__main__":
    main()
