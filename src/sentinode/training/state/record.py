"""What a run directory records before the first step, and whether it matches a request."""

import hashlib
import json
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from sentinode.data.batches import TARGET
from sentinode.data.duplicates.hashes import sha1_bytes
from sentinode.data.patchset import PatchSet
from sentinode.errors import DAMAGED_RUN, RunError
from sentinode.models.backend import without_tensorflow
from sentinode.models.build import MODELS, Origin, with_defaults
from sentinode.serialize import to_json
from sentinode.storage import atomic_file, write_csv, write_json, write_text
from sentinode.training.config import TrainConfig
from sentinode.training.provenance import Method
from sentinode.training.run import ARCHITECTURE, CHECKPOINT, CONFIG, SPLITS, SUMMARY, TRAIN_SHA1, VALID_SHA1, Run
from sentinode.training.state.environment import environment
from sentinode.training.state.folder import check_is_run_or_empty
from sentinode.training.state.last_run import origin_before

log = logging.getLogger("sentinode")

# Parts of the environment that change the last bits of a result.
BIT_IDENTITY = (
    "backend_version",
    "keras",
    "platform",
    "processor",
    "arithmetic",
    "threads",
    "devices",
    "processes",
)
# The settings that a linear probe records.
RECORDED_PROBE_SETTINGS = ("train_split", "valid_split", "deduplicate", "seed")

Stage = Literal["new", "begun", "finished"]


@dataclass(frozen=True)
class Record:
    """What is written before the first step.

    Attributes
    ----------
    config : dict
        Content of ``config.json``.
    architecture : str
        Content of ``model.json``.
    seen_sha1 : ndarray of shape (n,)
        SHA-1 (20 bytes) of the patches that starting weights and teachers were trained on.
    origin : Origin
        Where the initial weights come from.
    """

    config: dict[str, Any]
    architecture: str
    seen_sha1: np.ndarray
    origin: Origin


def describe(
    model: keras.Model,
    patches: PatchSet,
    training: PatchSet,
    validation: PatchSet,
    held_out: bool,
    config: TrainConfig,
    *,
    out: Path,
    method: Method = "training",
    teachers: Sequence[Run] = (),
) -> Record:
    """Describe model, data, settings and environment of a training run.

    Parameters
    ----------
    model : keras.Model
    patches : PatchSet
        The data as given.
    training, validation : PatchSet
        The splits of it.
    held_out : bool
        Whether the validation patches were held out from the training split.
    config : TrainConfig
    out : Path
        The run directory.
    method : {"training", "linear probe"}
    teachers : sequence of Run

    Returns
    -------
    Record
    """
    with without_tensorflow():
        architecture = json.loads(model.to_json())
    architecture.pop("compile_config", None)  # The settings are in config.json.
    skipped = tuple(dict.fromkeys(training.skipped + validation.skipped))
    trained = model.layers[-1].weights if method == "linear probe" else model.trainable_weights
    source = origin_before(model, out)
    seen_sha1 = np.empty(0, "S20") if source.seen_sha1 is None else source.seen_sha1
    path, *options = patches.to_arguments()
    settings = config.to_json()
    if method == "linear probe":
        settings = {name: settings[name] for name in RECORDED_PROBE_SETTINGS}
    return Record(
        config={
            "method": method,
            "settings": settings,
            "model": {
                "name": model.name,
                "parameters": model.count_params(),
                "trainable_parameters": int(sum(np.prod(weight.shape) for weight in trained)),
                "built": source.built,
            },
            "data": {
                "path": path,
                "kind": patches.kind,
                "options": options,
                "train": _part(training),
                "valid": {**_part(validation), "held_out_from_train": held_out},
                **({"skipped": [vars(each) for each in skipped]} if skipped else {}),
            },
            "starting_weights": source.starting_weights,
            "teachers": to_json([teacher.provenance for teacher in teachers]),
            "environment": environment(),
        },
        architecture=json.dumps(architecture, indent=1),
        seen_sha1=np.concatenate([seen_sha1, *(teacher.train_sha1 for teacher in teachers)]),
        origin=source,
    )


def class_counts(patches: PatchSet) -> tuple[int, int]:
    """Return the numbers of normal and tumour patches."""
    tumour = int(patches.labels.sum())
    return len(patches) - tumour, tumour


def find_stage(folder: Path, record: Record, config: TrainConfig) -> Stage:
    """Find out how far the requested training has come in a directory.

    Parameters
    ----------
    folder : Path
        The run directory.
    record : Record
        The requested training.
    config : TrainConfig

    Returns
    -------
    {"new", "begun", "finished"}

    Raises
    ------
    RunError
        The directory holds something else, a run with other settings, model or data, or a run that was begun on
        another backend.
    """
    if not check_is_run_or_empty(folder):
        return "new"
    if not (folder / SUMMARY).is_file() and not (folder / CHECKPOINT).is_file():
        return "new"  # It ended before its first checkpoint.
    if differences := _differences(Run(folder), record, config):
        raise RunError(
            f"{folder}: the existing run differs in {'; '.join(differences)}; choose another directory with --out"
        )
    if (folder / SUMMARY).is_file():
        return "finished"
    before, now = Run(folder).config["environment"], record.config["environment"]
    if before.get("backend") != now["backend"]:
        raise RunError(
            f"{folder}: was started on the {before.get('backend')} backend, whose checkpoints {now['backend']} cannot "
            f"read; continue with KERAS_BACKEND={before.get('backend')}, or choose another directory"
        )
    for name in BIT_IDENTITY:
        if before.get(name) != now[name]:
            log.warning(
                "%s: %s was %r, now %r; the result may differ in the last bits",
                folder,
                name.replace("_", " "),
                before.get(name),
                now[name],
            )
    return "begun"


def write_record(folder: Path, record: Record, training: PatchSet, validation: PatchSet) -> None:
    """Write the record of a training run to its run directory.

    Raises
    ------
    RunError
        The directory cannot be written.
    """
    try:
        write_json(folder / CONFIG, {**record.config, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
        write_text(folder / ARCHITECTURE, record.architecture)
        for name, part, more in ((TRAIN_SHA1, training, [record.seen_sha1]), (VALID_SHA1, validation, [])):
            with atomic_file(folder / name) as temporary:
                np.save(temporary, np.unique(np.concatenate([sha1_bytes(part.table["sha1"]), *more])))
        (folder / SPLITS).unlink(missing_ok=True)  # Of an earlier run that ended before its first checkpoint.
        if record.config["data"]["valid"]["held_out_from_train"]:
            parts = [
                part.table[["id", "sha1"]].assign(split=name)
                for name, part in (("train", training), ("valid", validation))
            ]
            write_csv(pd.concat(parts), folder / SPLITS)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror or error}); choose another directory") from error


def _part(patches: PatchSet) -> dict[str, Any]:
    normal, tumour = class_counts(patches)
    part: dict[str, Any] = {"normal": normal, "tumour": tumour, "fingerprint": patches.fingerprint}
    if TARGET in patches.table:
        part["targets_sha256"] = hashlib.sha256(patches.table[TARGET].to_numpy().tobytes()).hexdigest()
    return part


def _differences(before: Run, record: Record, config: TrainConfig) -> list[str]:
    try:
        architecture = (before.path / ARCHITECTURE).read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{before.path / ARCHITECTURE}: cannot be read ({error.strerror}); {DAMAGED_RUN}") from error
    earlier, now = before.config, record.config
    if before.method != now["method"]:
        return [f"its method ({before.method}, now {now['method']})"]
    differences = config.differences(earlier["settings"])
    if _anonymous(architecture) != _anonymous(record.architecture):
        differences.append(f"the model or its options ({earlier['model']['name']}, now {now['model']['name']})")
    elif _built(earlier) != _built(now):
        differences.append(f"the model ({earlier['model'].get('built')}, now {now['model']['built']})")
    for name, sources in (("starting weights", _starting_weights), ("teachers", _teachers)):
        if sources(earlier) != sources(now):
            differences.append(f"its {name}")
    for part in ("train", "valid"):
        if before.fingerprint(part) != now["data"][part]["fingerprint"]:
            differences.append(f"the {part} patches")
    if earlier["data"]["train"].get("targets_sha256") != now["data"]["train"].get("targets_sha256"):
        differences.append("its targets")
    return differences


def _built(config: dict[str, Any]) -> dict[str, Any] | None:
    built: dict[str, Any] | None = config["model"].get("built")
    return with_defaults(built) if built and built["name"] in MODELS else built


def _starting_weights(config: dict[str, Any]) -> str | None:
    return (config.get("starting_weights") or {}).get("weights_sha256")


def _teachers(config: dict[str, Any]) -> list[str]:
    return [teacher["weights_sha256"] for teacher in config.get("teachers") or []]


def _anonymous(architecture: str) -> str:
    """Number the names of layers, some of which contain a counter of the process."""
    for number, name in enumerate(dict.fromkeys(re.findall(r'"name": "([^"]+)"', architecture))):
        architecture = architecture.replace(f'"{name}"', f'"#{number}"')
    return architecture
