"""Train pretrained weights.

    python scripts/make_pretrained.py d4net-m pcam-small.zip pcam-extra.zip --unseen pcam-more.zip --work DIR

Trains on `train` of all sources and validates on `valid` of the first; run the same command again to resume. The first
training starts from random weights, the others from its final weights, with random brightness as well and each with its
own seed. The result is the mean of the final weights of all trainings (model soup: Wortsman et al. 2022,
https://arxiv.org/abs/2203.05482), with exposure correction before the first layer. Final weights were not
selected on the validation patches. Calibration and thresholds are fitted on these and, half of them tumour, on patches
of ``--unseen``, which are from the slides of the training.

Writes a run directory, `DIR/NAME` unless ``--out`` is given, which commands take as ``--model``. To publish the weights
with the package, copy it to `src/sentinode/samples/NAME` and the SHA-256 that is printed to
`sentinode.samples.PRETRAINED`.

The published weights were made on 2026-11-27, when the weight average of the short trainings was not yet limited to a
tenth of their steps (`sentinode.training.recipe.compile`): its momentum was 0.998, and is 0.991 to 0.996 now.
"""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from make_folds import read_training_patches
from make_teacher import FOLDS_FILE
from sentinode import PatchSet, TrainConfig, build_model, load_run, open_patches, train
from sentinode.data.concat import concat
from sentinode.data.duplicates.hashes import sha1_bytes
from sentinode.inference.logits import probability
from sentinode.inference.predict import predict_logits
from sentinode.machine import keep_freed_memory
from sentinode.metrics import fit_calibration, fit_conformal, roc_curve, youden_threshold
from sentinode.samples import pretrained_digest
from sentinode.serialize import to_json
from sentinode.storage import write_json
from sentinode.training.run import ARCHITECTURE, CONFIG, OOD, SUMMARY, TRAIN_SHA1, VALID_SHA1, WEIGHTS, Run

# Differences from the flagship recipe. The first training preceded Muon, and all of them preceded deduplication. The
# later ones ran on a processor without bfloat16.
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
BRIGHTNESS: dict[str, Any] = {
    "warmup_epochs": 0.5,
    "learning_rate": 0.01,
    "precision": "float32",
    "deduplicate": False,
    "augment": ("affine", "blur", "stain", "brightness"),
}
FINE_TUNINGS: dict[str, list[dict[str, Any]]] = {
    "d4net-m": [
        {**BRIGHTNESS, "seed": 0, "epochs": 6},
        {**BRIGHTNESS, "seed": 1, "epochs": 3},
        {**BRIGHTNESS, "seed": 2, "epochs": 3},
    ],
}


def main() -> None:
    """Train, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=FIRST)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument(
        "--unseen",
        type=Path,
        help="pcam-more.zip, if the data are the other two sets of scripts/folds.npz: patches for the calibration only",
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the single trainings")
    parser.add_argument("--out", type=Path, help="folder of the result (default: WORK/NAME)")
    arguments = parser.parse_args()
    keep_freed_memory()
    patches = concat([open_patches(path) for path in arguments.data])
    first = arguments.work / "first"
    calibration_sets = calibration_patches(arguments.data, arguments.unseen)
    network = build_model("d4net", size=arguments.name[-1])
    train(network, patches, TrainConfig.recipe("flagship", **FIRST[arguments.name]), out=first)
    runs = [load_run(first)]
    for number, settings in enumerate(FINE_TUNINGS[arguments.name], 1):
        folder = arguments.work / f"tuning-{number}"
        start = runs[0].load_model("final")
        runs.append(train(start, patches, TrainConfig.recipe("flagship", **settings), out=folder))
    out = arguments.out or arguments.work / arguments.name
    publish(runs, arguments.name, arguments.data, calibration_sets, out)


def mean_weights(models: Sequence[keras.Model]) -> list[np.ndarray]:
    """Return the mean of the weights of networks of the same shape."""
    return [np.mean(of_all, axis=0) for of_all in zip(*(model.get_weights() for model in models), strict=True)]


def with_exposure_correction(weights: list[np.ndarray], name: str) -> keras.Model:
    """Return a network with trained weights that brightens underexposed patches first, which has no weights."""
    model = build_model("d4net", size=name[-1], exposure_correction=True)
    model.set_weights(weights)
    return model


def calibration_patches(data: list[Path], unseen: Path | None) -> list[PatchSet]:
    """Return the validation patches and, if there are any, unseen training patches: as many of each class.

    Hard negatives are left out: they are not a random sample.
    """
    validation = open_patches(data[0], split="valid")
    if unseen is None:
        return [validation.cached()]
    table, patches = read_training_patches(FOLDS_FILE, [*map(str, data), str(unseen)])
    rows = np.flatnonzero((table["part"] == len(data)) & ~table["hard"])
    normal, tumour = (rows[table["label"].to_numpy()[rows] == label] for label in (0, 1))
    few = min(len(normal), len(tumour))
    rng = np.random.default_rng(0)
    chosen = np.concatenate([rng.permutation(each)[:few] for each in (normal, tumour)])
    return [validation.cached(), patches.select(np.sort(chosen)).cached()]


def publish(runs: list[Run], name: str, data: list[Path], calibration_sets: list[PatchSet], folder: Path) -> None:
    """Write the mean of the final weights with calibration and thresholds as a run directory."""
    first = runs[0]
    model = with_exposure_correction(mean_weights([run.load_model("final") for run in runs]), name)
    logits = np.concatenate([predict_logits(model, each) for each in calibration_sets])
    labels = np.concatenate([each.labels for each in calibration_sets])
    calibration = fit_calibration(labels, logits)
    probabilities = probability(calibration(logits))
    folder.mkdir(parents=True, exist_ok=True)
    for file in (TRAIN_SHA1, OOD, "history.csv"):
        shutil.copyfile(first.path / file, folder / file)
    sha1 = np.concatenate([sha1_bytes(each.table["sha1"]) for each in calibration_sets])
    np.save(folder / VALID_SHA1, np.unique(sha1))
    write_json(folder / ARCHITECTURE, json.loads(model.to_json()))
    model.save_weights(folder / WEIGHTS["best"])
    config = json.loads((first.path / CONFIG).read_text())
    config["data"]["path"] = " + ".join(path.name for path in data)
    config["model"]["built"]["options"]["exposure_correction"] = True
    config["soup"] = [run.config["settings"] for run in runs[1:]]
    write_json(folder / CONFIG, config)
    summary = {
        "best_epoch": len(first.history),
        "epochs": len(first.history),
        "duration_s": sum(run.summary["duration_s"] for run in runs),
        "calibration": to_json(calibration),
        "valid_auc": roc_curve(calibration_sets[0].labels, logits[: len(calibration_sets[0])]).auc,
        "threshold": youden_threshold(labels, probabilities),
        "conformal": to_json(fit_conformal(labels, probabilities)),
        "threshold_rule": "maximum of sensitivity + specificity on the patches of the calibration (Youden)",
        "ended": runs[-1].summary["ended"],
    }
    write_json(folder / SUMMARY, summary)
    print(json.dumps(summary, indent=2))
    print(f'"{name}": "{pretrained_digest(folder)}",')


if __name__ == "__main__":
    main()
