"""What a run directory says of its making, and whether it is the run that is asked for."""

import contextlib
import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from sentinode.data.duplicates.hashes import sha1_bytes
from sentinode.data.patchset import PatchSet
from sentinode.errors import RunError
from sentinode.models.backend import without_tensorflow
from sentinode.models.build import origin, seen_before
from sentinode.storage import TEMPORARY_PREFIX, atomic_file, write_json, write_text
from sentinode.training.config import TrainConfig
from sentinode.training.load import is_run
from sentinode.training.run import ARCHITECTURE, CHECKPOINT, CONFIG, SPLITS, SUMMARY, TRAIN_SHA1, VALID_SHA1, Run
from sentinode.training.state.environment import environment
from sentinode.training.state.progress import lock_path

log = logging.getLogger("sentinode")

# Of the environment: where one of these differs, a training that goes on ends with other last bits.
SAME_BITS = (
    "backend_version",
    "keras",
    "platform",
    "processor",
    "arithmetic",
    "threads",
    "devices",
    "processes",
)

Stage = Literal["new", "begun", "finished"]


@dataclass(frozen=True)
class Record:
    """What is written before the first step.

    Attributes
    ----------
    config
        The content of ``config.json``.
    architecture
        The content of ``model.json``.
    seen
        The SHA-1 of the patches that the weights have seen before, 20 bytes each.
    """

    config: dict[str, Any]
    architecture: str
    seen: np.ndarray


def describe(
    model: keras.Model,
    patches: PatchSet,
    training: PatchSet,
    validation: PatchSet,
    held_out: bool,
    config: TrainConfig,
    teachers: Sequence[Run] = (),
) -> Record:
    """Say what is trained on what, how, and where."""
    with without_tensorflow():
        architecture = json.loads(model.to_json())
    architecture.pop("compile_config", None)  # How it was trained stands in config.json.
    skipped = tuple(dict.fromkeys(training.skipped + validation.skipped))
    trainable = int(sum(np.prod(weight.shape) for weight in model.trainable_weights))
    return Record(
        config={
            "settings": config.to_json(),
            "model": {"name": model.name, "trainable_parameters": trainable, "built": origin(model)},
            "data": {
                "path": patches.path,
                "kind": patches.kind,
                "train": _part(training),
                "valid": {**_part(validation), "held_out_from_train": held_out},
                **({"skipped": [vars(each) for each in skipped]} if skipped else {}),
            },
            **({"teachers": [teacher.identity for teacher in teachers]} if teachers else {}),
            "environment": environment(),
        },
        architecture=json.dumps(architecture, indent=1),
        # A teacher's labels reach the network too.
        seen=np.concatenate([seen_before(model), *(teacher.train_sha1 for teacher in teachers)]),
    )


def class_counts(patches: PatchSet) -> tuple[int, int]:
    """Return how many patches are normal and how many tumour."""
    tumour = int(patches.labels.sum())
    return len(patches) - tumour, tumour


@contextlib.contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run directory; the lock dies with its process.

    Raises
    ------
    RunError
        Another process trains there, or the directory cannot be made or written.
    """
    lock, made = FileLock(lock_path(folder)), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"{folder}: another process trains there; wait for it, or name another directory") from error
    except OSError as error:
        done = "written" if folder.exists() else "made"
        raise RunError(f"{folder}: cannot be {done} ({error.strerror or error}); name another directory") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Deleted while held, which others notice; Windows refuses, and it stays.
            Path(lock.lock_file).unlink()
        lock.release()
        if made:
            with contextlib.suppress(OSError):  # Nothing came of it, and nothing is left; a run is not empty.
                folder.rmdir()


def holds_run(folder: Path) -> bool:
    """Say whether a directory holds a run.

    Raises
    ------
    RunError
        It holds anything else, or cannot be read.
    """
    try:
        # What a killed process left, a lock or half a file, is nobody's.
        if not folder.exists() or (folder.is_dir() and all(_is_left(file) for file in folder.iterdir())):
            return False
    except OSError as error:
        raise RunError(f"{folder}: cannot be read ({error.strerror or error}); name another directory") from error
    if not is_run(folder):
        raise RunError(f"{folder}: not empty and not a run; name another directory with --out")
    return True


def _is_left(file: Path) -> bool:
    return file == lock_path(file.parent) or file.name.startswith(TEMPORARY_PREFIX)


def find_stage(folder: Path, record: Record, config: TrainConfig) -> Stage:
    """Say how far this very run has come in `folder`.

    Raises
    ------
    RunError
        The directory holds something else, or a run of other settings, another model or other data, or one that was
        begun on another backend and has not ended.
    """
    if not holds_run(folder):
        return "new"
    if not (folder / SUMMARY).is_file() and not (folder / CHECKPOINT).is_file():
        return "new"  # It ended before its first checkpoint: nothing is lost.
    differs = _differences(Run(folder), record, config)
    if differs:
        raise RunError(f"{folder}: the run there differs in {'; '.join(differs)}; name another directory with --out")
    if (folder / SUMMARY).is_file():
        return "finished"
    backend, used = Run(folder).config["environment"].get("backend"), record.config["environment"]["backend"]
    if backend != used:
        raise RunError(
            f"{folder}: begun on {backend}, which keeps its state otherwise than {used}; KERAS_BACKEND={backend} goes "
            "on with it (once it has ended it loads on either), or name another directory"
        )
    for name in SAME_BITS:
        before, now = Run(folder).config["environment"].get(name), record.config["environment"][name]
        if before != now:
            log.warning("%s: begun with %s %r, now %r: the last bits may differ", folder, name, before, now)
    return "begun"


def write_record(folder: Path, record: Record, training: PatchSet, validation: PatchSet, held_out: bool) -> None:
    """Write what is known before the first step.

    Raises
    ------
    RunError
        The directory cannot be written.
    """
    try:
        write_json(folder / CONFIG, {**record.config, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
        write_text(folder / ARCHITECTURE, record.architecture)
        for name, part, more in ((TRAIN_SHA1, training, [record.seen]), (VALID_SHA1, validation, [])):
            with atomic_file(folder / name) as beside:
                np.save(beside, np.unique(np.concatenate([sha1_bytes(part.table["sha1"]), *more])))
        if held_out:
            parts = [
                part.table[["id", "sha1"]].assign(split=name)
                for name, part in (("train", training), ("valid", validation))
            ]
            with atomic_file(folder / SPLITS) as beside:
                pd.concat(parts).to_csv(beside, index=False, lineterminator="\n")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror or error}); name another directory") from error


def _part(patches: PatchSet) -> dict[str, Any]:
    normal, tumour = class_counts(patches)
    return {"normal": normal, "tumour": tumour, "fingerprint": patches.fingerprint}


def _differences(before: Run, record: Record, config: TrainConfig) -> list[str]:
    try:
        architecture = (before.path / ARCHITECTURE).read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{before.path / ARCHITECTURE}: cannot be read ({error.strerror}); is the run whole?") from error
    differs = config.differences(before.config["settings"])
    if _nameless(architecture) != _nameless(record.architecture):
        differs.append(
            f"the model ({before.config['model']['name']}, now {record.config['model']['name']}, or its options)"
        )
    elif before.config["model"].get("built") != record.config["model"]["built"]:
        differs.append(
            f"how the model was built ({before.config['model'].get('built')}, now {record.config['model']['built']})"
        )
    teachers = [
        [teacher["weights_sha256"] for teacher in config.get("teachers", [])]
        for config in (before.config, record.config)
    ]
    if teachers[0] != teachers[1]:
        differs.append("its teachers")
    for part in ("train", "valid"):
        if before.fingerprint(part) != record.config["data"][part]["fingerprint"]:
            differs.append(f"the {part} patches")
    return differs


def _nameless(architecture: str) -> str:
    """Number the names of layers: Keras counts some of them through the life of a process."""
    for number, name in enumerate(dict.fromkeys(re.findall(r'"name": "([^"]+)"', architecture))):
        architecture = architecture.replace(f'"{name}"', f'"#{number}"')
    return architecture
