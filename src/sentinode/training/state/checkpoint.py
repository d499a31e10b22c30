"""The whole state of a training in one file, so that it can go on as if nothing had happened.

Keras' own weight files leave out the states of random generators, and its state tree numbers paths through the life of
a process; so variables are stored by position, and every count, shape and dtype is checked when they are put back.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from sentinode.errors import RunError
from sentinode.storage import atomic_file

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands.

    Attributes
    ----------
    epoch
        The epoch to go on with, counted from 0.
    batch
        How many of its batches are done.
    rows
        The history of the epochs before it, one dict each.
    duration_s
        Seconds of training so far.
    arrays
        Values of all variables, named ``model_0`` …, ``optimizer_0`` …, ``metrics_0`` ….
    """

    epoch: int = 0
    batch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    duration_s: float = 0.0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        RunError
            The disk is full, or the folder cannot be written; the last checkpoint stays as it was.
        """
        about = {"version": VERSION, "epoch": self.epoch, "batch": self.batch, "duration_s": self.duration_s}
        text = json.dumps({**about, "rows": self.rows})
        try:
            with atomic_file(path) as beside:
                np.savez(beside, allow_pickle=False, about=np.array(text), **self.arrays)
        except OSError as error:
            kept = "the last checkpoint is whole" if path.exists() else "nothing is trained yet"
            raise RunError(
                f"{path}: cannot be written ({error.strerror or error}); {kept}: "
                "make room, or mend the folder's permissions, and give the same command again"
            ) from error

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a file that `save` wrote.

        Raises
        ------
        RunError
            It is broken, or of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(str(arrays.pop("about")))
            version = about.pop("version")
        except Exception as error:  # NumPy and zipfile raise a dozen kinds for a broken file.
            raise RunError(f"{path}: not a readable checkpoint ({error}); delete the run and start anew") from error
        if version != VERSION:
            raise RunError(f"{path}: checkpoint version {version}, where {VERSION} is expected; start the run anew")
        return cls(**about, arrays=arrays)


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """Return every variable that a training changes, by position: weights, generators, optimiser, metrics."""
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    return {f"{name}_{number}": variable for name, group in groups.items() for number, variable in enumerate(group)}


def read_variables(model: keras.Model) -> dict[str, np.ndarray]:
    """Return copies of all variables of a compiled model; bfloat16, which NumPy's files do not know, as float32."""
    return {
        name: np.array(keras.ops.convert_to_numpy(variable), dtype=_stored_as(variable))
        for name, variable in variables_of(model).items()
    }


def _stored_as(variable: keras.Variable) -> str:
    return "float32" if variable.dtype == "bfloat16" else str(variable.dtype)


def write_variables(model: keras.Model, arrays: dict[str, np.ndarray], path: Path, metrics: bool) -> None:
    """Put values back into a compiled model.

    Parameters
    ----------
    model
        Its optimiser is built.
    arrays
        From `read_variables`.
    path
        The checkpoint, for the message.
    metrics
        Whether to put back metrics as well: they exist once training has begun.

    Raises
    ------
    RunError
        A count, shape or dtype differs: the checkpoint belongs to another model or optimiser.
    """
    variables = variables_of(model)
    if not metrics:
        variables = {name: value for name, value in variables.items() if not name.startswith("metrics_")}
        arrays = {name: value for name, value in arrays.items() if not name.startswith("metrics_")}
    missing = sorted(set(variables) ^ set(arrays))
    if missing:
        raise RunError(f"{path}: {', '.join(missing[:3])} is on one side only; it belongs to another model: start anew")
    for name, variable in variables.items():
        here, there = (tuple(variable.shape), _stored_as(variable)), (arrays[name].shape, str(arrays[name].dtype))
        if here != there:
            raise RunError(
                f"{path}: {name} is {there}, where {here} is expected; it belongs to another model: start anew"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def fresh(model: keras.Model) -> Checkpoint:
    """Return the checkpoint of a compiled model before its first step."""
    model.optimizer.build(model.trainable_variables)
    arrays = {name: value for name, value in read_variables(model).items() if not name.startswith("metrics_")}
    return Checkpoint(arrays=arrays)
