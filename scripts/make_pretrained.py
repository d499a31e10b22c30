"""Train and publish pretrained weights in the package.

    python scripts/make_pretrained.py d4net-m pcam-small.zip pcam-extra.zip --work DIR

Trains on `train` of all sources and validates on `valid` of the first. The same command resumes after Ctrl-C. The first
training starts from random weights; the others fine-tune its weights with brightness augmentation, each with its own
seed. The published weights are the average of all of them (a model soup: Wortsman et al. 2022,
https://arxiv.org/abs/2203.05482), because the average is better on other slides than each member. Of every training the
weights after the last epoch are used, so none was selected by its validation patches.

The files of the run are written to `src/sentinode/samples/NAME`, and their SHA-256 is printed: copy it to
`sentinode.samples.PRETRAINED`.
"""

import argparse
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from sentinode import TrainConfig, build_model, load_run, open_patches, train
from sentinode.data.concat import concat
from sentinode.inference.logits import probability
from sentinode.inference.predict import predict_logits
from sentinode.machine import keep_freed_memory
from sentinode.metrics.calibration import fit_calibration
from sentinode.metrics.conformal import fit_conformal
from sentinode.metrics.operating import youden_threshold
from sentinode.metrics.ranking import roc_curve
from sentinode.samples import pretrained_digest, pretrained_path
from sentinode.storage import write_json
from sentinode.training.run import ARCHITECTURE, CONFIG, OOD, SUMMARY, TRAIN_SHA1, VALID_SHA1, WEIGHTS, Run

# What differs from the flagship's recipe. The first training was made with AdamW, before the recipe had Muon, all of
# them before it left copies of a patch out, and the others on a processor without bfloat16.
FIRST: dict[str, dict[str, Any]] = {
    "d4net-m": {
        "epochs": 26,
        "warmup_epochs": 3.0,
        "optimizer": "adamw",
        "learning_rate": 0.003,
        "weight_decay": 0.05,
        "precision": "bfloat16",
        "deduplicate": False,
    },
}
LIGHT: dict[str, Any] = {
    "warmup_epochs": 0.5,
    "learning_rate": 0.01,
    "precision": "float32",
    "deduplicate": False,
    "augment": ("affine", "blur", "stain", "brightness"),
}
TUNINGS: dict[str, list[dict[str, Any]]] = {
    "d4net-m": [
        {**LIGHT, "seed": 0, "epochs": 6},
        {**LIGHT, "seed": 1, "epochs": 3},
        {**LIGHT, "seed": 2, "epochs": 3},
    ],
}


def main() -> None:
    """Train, and put the result into the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=FIRST)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    keep_freed_memory()
    patches = concat([open_patches(path) for path in arguments.data])
    first = arguments.work / "first"
    network = build_model("d4net", size=arguments.name[-1])
    train(network, patches, TrainConfig.recipe("flagship", **FIRST[arguments.name]), out=first)
    runs = [load_run(first)]
    for number, settings in enumerate(TUNINGS[arguments.name], 1):
        folder = arguments.work / f"tuning-{number}"
        start = runs[0].load_model("final")
        runs.append(train(start, patches, TrainConfig.recipe("flagship", **settings), out=folder))
    publish(runs, arguments.name, arguments.data)


def publish(runs: list[Run], name: str, data: list[Path]) -> None:
    """Write what a run needs to be used, with the mean of the weights of all, calibrated and with a threshold."""
    folder, first = pretrained_path(name), runs[0]
    model = first.load_model("final")
    weights = [run.load_model("final").get_weights() for run in runs]
    model.set_weights([np.mean(of_all, axis=0) for of_all in zip(*weights, strict=True)])
    validation = open_patches(data[0], split="valid").cached()
    logits = predict_logits(model, validation)
    calibration = fit_calibration(validation.labels, logits)
    probabilities = probability(calibration(logits))
    folder.mkdir(exist_ok=True)
    for file in (ARCHITECTURE, TRAIN_SHA1, VALID_SHA1, OOD, "history.csv"):
        shutil.copyfile(first.path / file, folder / file)
    model.save_weights(folder / WEIGHTS["best"])
    config = json.loads((first.path / CONFIG).read_text())
    config["data"]["path"] = " + ".join(path.name for path in data)
    config["averaged_with"] = [run.config["settings"] for run in runs[1:]]
    write_json(folder / CONFIG, config)
    summary = {
        "best_epoch": len(first.history),
        "epochs": len(first.history),
        "duration_s": sum(run.summary["duration_s"] for run in runs),
        "calibration": asdict(calibration),
        "valid_auc": roc_curve(validation.labels, logits).auc,
        "threshold": youden_threshold(validation.labels, probabilities),
        "conformal": fit_conformal(validation.labels, probabilities).to_json(),
        "threshold_rule": first.summary["threshold_rule"],
        "ended": runs[-1].summary["ended"],
    }
    write_json(folder / SUMMARY, summary)
    print(json.dumps(summary, indent=2))
    print(f'"{name}": "{pretrained_digest(folder)}",')


if __name__ == "__main__":
    main()
