"""The training itself: data, model and settings in, a run out."""

import json
import logging
import re
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.data.splits import hold_out
from sentinode.errors import RunError
from sentinode.metrics.operating import youden_threshold
from sentinode.metrics.ranking import roc_curve
from sentinode.models.backend import tensorflow_left_out
from sentinode.models.loading import model_from_file
from sentinode.plots.learning import draw_learning_curves
from sentinode.prediction.predict import predict
from sentinode.storage import whole_file, write_json, write_text
from sentinode.training.callbacks import BestWeights, HistoryFiles, ProgressBar, RefuseDivergence, save_weights
from sentinode.training.compiling import compile_model, output_count
from sentinode.training.config import TrainConfig
from sentinode.training.environment import environment
from sentinode.training.run import ARCHITECTURE, CONFIG, SPLITS, SUMMARY, TRAIN_SHA1, WEIGHTS, Run, is_run, load_run

log = logging.getLogger("sentinode")


def train(
    model: keras.Model,
    patches: PatchSet,
    config: TrainConfig | None = None,
    *,
    out: str | Path,
    cache: str | Path | None = None,
) -> Run:
    """Train a model on patches and leave a run directory.

    Parameters
    ----------
    model
        From `build_model`, or any `keras.Model` that takes uint8 patches and ends in ``Dense(1, "sigmoid")`` or
        ``Dense(2, "softmax")``. It is trained in place and holds the final weights afterwards.
    patches
        A set with the splits that `config` names. Without its validation split, a tenth of the training patches is
        held out for it; see `hold_out`.
    config
        The settings; the classic recipe when left out.
    out
        The run directory. A finished run of the same settings, model and data is returned as it is.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.

    Returns
    -------
    Run
        ``run.model`` holds the best weights.

    Raises
    ------
    DataError
        A patch cannot be read or has no label; found before training starts.
    RunError
        `out` holds something else, or the training diverged before its first epoch ended.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> run = train(build_model("cnn"), few, TrainConfig(epochs=1), out=tempfile.mkdtemp())
    >>> len(run.history)
    1
    """
    config = config or TrainConfig()
    folder = Path(out)
    training, validation, made = _splits(patches, config, cache)
    outputs = output_count(model)
    architecture = _architecture(model)
    about = {
        "settings": config.to_json(),
        "model": {"name": model.name, "trainable_parameters": _trainable(model)},
        "data": {
            "path": patches.path,
            "kind": patches.kind,
            "train": _about(training),
            "valid": {**_about(validation), "held_out_from_train": made},
        },
        "environment": environment(),
    }
    if _is_finished(folder, about, architecture):
        log.info("%s: this run is finished; nothing to do", folder)
        return load_run(folder)
    _start(folder, about, architecture, training, validation if made else None)

    train_batches = Batches(training, config.batch_size, outputs, seed=config.seed)
    compile_model(model, config, len(train_batches))
    twin = model_from_file(folder / ARCHITECTURE)
    history = HistoryFiles(folder, len(training))
    started = time.perf_counter()
    model.fit(
        train_batches,
        validation_data=Batches(validation, config.batch_size, outputs),
        epochs=config.epochs,
        class_weight=config.class_weights(_class_counts(training)),
        shuffle=False,  # Batches shuffles by seed and epoch; Keras would shuffle its batches by Python's global state.
        callbacks=[
            RefuseDivergence(),
            BestWeights(folder / WEIGHTS["best"], twin),
            history,
            ProgressBar(len(training), config.batch_size),
            *_early_stopping(config),
        ],
        verbose=0,
    )
    twin.set_weights(model.get_weights())
    save_weights(twin, folder / WEIGHTS["final"])
    return _finish(folder, validation, history.rows, time.perf_counter() - started)


def _splits(patches: PatchSet, config: TrainConfig, cache: str | Path | None) -> tuple[PatchSet, PatchSet, bool]:
    """Return training and validation patches, decoded; say whether the second had to be made."""
    names = patches.split_names
    training = patches.split(config.train_split) if names else patches
    if config.valid_split in names:
        validation = patches.split(config.valid_split)
        for part in (training, validation):
            _ = part.labels  # A missing label is found before the minutes of decoding.
        return training.cached(cache), validation.cached(cache), False
    _ = training.labels
    training, validation = hold_out(training.cached(cache), seed=config.seed)
    log.info(
        "%s has no split %r: %s of its training patches, a tenth, are held out for validation",
        patches.path,
        config.valid_split,
        f"{len(validation):,}",
    )
    return training, validation, True


def _architecture(model: keras.Model) -> str:
    with tensorflow_left_out():
        content = json.loads(model.to_json())
    content.pop("compile_config", None)  # How it was trained stands in config.json.
    return json.dumps(content, indent=1)


def _about(patches: PatchSet) -> dict[str, Any]:
    normal, tumour = _class_counts(patches)
    return {"normal": normal, "tumour": tumour, "fingerprint": patches.fingerprint}


def _class_counts(patches: PatchSet) -> tuple[int, int]:
    tumour = int(patches.labels.sum())
    return len(patches) - tumour, tumour


def _trainable(model: keras.Model) -> int:
    return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))


def _early_stopping(config: TrainConfig) -> list[keras.callbacks.Callback]:
    if not config.early_stopping:
        return []
    return [keras.callbacks.EarlyStopping("val_loss", patience=config.early_stopping)]


def _is_finished(folder: Path, about: dict[str, Any], architecture: str) -> bool:
    """Say whether this very run has ended in `folder`; refuse what is something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not is_run(folder):
        raise RunError(f"{folder}: not empty and not a run; name another directory with --out")
    if not (folder / SUMMARY).is_file():
        return False
    before = load_run(folder)
    differs = [
        f"{key} {before.config['settings'].get(key)!r}, now {value!r}"
        for key, value in about["settings"].items()
        if before.config["settings"].get(key) != value
    ]
    if _nameless((folder / ARCHITECTURE).read_text(encoding="utf-8")) != _nameless(architecture):
        differs.append(f"the model ({before.config['model']['name']}, now {about['model']['name']}, or its options)")
    differs += [
        f"the {part} patches"
        for part in ("train", "valid")
        if before.config["data"][part]["fingerprint"] != about["data"][part]["fingerprint"]
    ]
    if differs:
        raise RunError(f"{folder}: a finished run differs in {'; '.join(differs)}; name another directory with --out")
    return True


def _nameless(architecture: str) -> str:
    """Number the names of layers: Keras counts some of them through the life of a process."""
    for number, name in enumerate(dict.fromkeys(re.findall(r'"name": "([^"]+)"', architecture))):
        architecture = architecture.replace(f'"{name}"', f'"#{number}"')
    return architecture


def _start(
    folder: Path, about: dict[str, Any], architecture: str, training: PatchSet, held_out: PatchSet | None
) -> None:
    if is_run(folder):
        log.info("%s: a run that did not end is started anew", folder)
        for name in (*WEIGHTS.values(), "history.csv", "history.jsonl", SPLITS):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    write_json(folder / CONFIG, {**about, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    write_text(folder / ARCHITECTURE, architecture)
    with whole_file(folder / TRAIN_SHA1) as beside:
        np.save(beside, np.unique(np.array([bytes.fromhex(sha1) for sha1 in training.table["sha1"]], dtype="S20")))
    if held_out is not None:
        parts = [part.table[["id"]].assign(split=name) for name, part in (("train", training), ("valid", held_out))]
        with whole_file(folder / SPLITS) as beside:
            pd.concat(parts).to_csv(beside, index=False, lineterminator="\n")


def _finish(folder: Path, validation: PatchSet, rows: list[dict[str, float]], duration_s: float) -> Run:
    """Write what follows from the weights; the summary comes last, since it says that the run has ended."""
    run = Run(folder)
    best_model = run.model
    with whole_file(folder / "model.keras") as beside, tensorflow_left_out():
        best_model.save(beside)
    history = pd.DataFrame(rows)
    best_epoch = int(history["epoch"].iloc[int(history["val_loss"].argmin())])
    draw_learning_curves(history, best_epoch, folder / "curves.png")
    predictions = predict(best_model, validation, {"model": str(folder), "fingerprint": validation.fingerprint})
    predictions.write(folder / "valid_predictions.csv")
    probabilities = predictions.table["probability"]
    summary = {
        "best_epoch": best_epoch,
        "epochs": len(history),
        "duration_s": round(duration_s, 2),
        "valid_auc": roc_curve(predictions.labels, probabilities).auc,
        "threshold": youden_threshold(predictions.labels, probabilities),
        "threshold_rule": "largest sensitivity + specificity on the validation patches (Youden)",
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(folder / SUMMARY, summary)
    return run
