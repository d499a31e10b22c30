"""The complete state of a training run in one file.

Keras' weight files leave out the states of random generators, and the paths of its state tree contain counters that
differ between processes. Variables are therefore stored by position; number, shapes and dtypes are checked on loading.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from sentinode.errors import RunError, TrainingStopped
from sentinode.storage import atomic_file
from sentinode.training.logging.history import History, Row
from sentinode.training.state.stopping import StopRequest

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run between two steps.

    Attributes
    ----------
    epoch : int
        Current epoch, counted from 0.
    batch : int
        Number of steps of this epoch that are done.
    rows : list of dict
        History of the epochs before.
    duration_s : float
        Duration of the training so far.
    arrays : dict of str to ndarray
        Values of all variables, named ``model_0``, ``optimizer_0``, ``metrics_0`` and so on.
    """

    epoch: int = 0
    batch: int = 0
    rows: list[Row] = field(default_factory=list)
    duration_s: float = 0.0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all.

        Raises
        ------
        RunError
            The file cannot be written. An earlier checkpoint is kept.
        """
        header = {"version": VERSION, "epoch": self.epoch, "batch": self.batch, "duration_s": self.duration_s}
        text = json.dumps({**header, "rows": self.rows})
        try:
            with atomic_file(path) as temporary:
                np.savez(temporary, allow_pickle=False, header=np.array(text), **self.arrays)
        except OSError as error:
            kept = "the last checkpoint is intact" if path.exists() else "there is no checkpoint yet"
            raise RunError(
                f"{path}: cannot be written ({error.strerror or error}); {kept}. Free some space or fix the "
                "permissions of the folder, then run the same command again"
            ) from error

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises
        ------
        RunError
            The file is damaged or has another version.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays.pop("header")))
            version = header.pop("version")
        except Exception as error:  # NumPy and zipfile raise a dozen types for a damaged file.
            raise RunError(f"{path}: not a readable checkpoint ({error}); delete the run and start again") from error
        if version != VERSION:
            raise RunError(f"{path}: checkpoint version {version}, expected {VERSION}; delete the run and start again")
        return cls(**header, arrays=arrays)


def initial_checkpoint(model: keras.Model) -> Checkpoint:
    """Create the checkpoint of a compiled model before its first step."""
    model.optimizer.build(model.trainable_variables)
    arrays = {name: value for name, value in read_variables(model).items() if not name.startswith("metrics_")}
    return Checkpoint(arrays=arrays)


def read_variables(model: keras.Model) -> dict[str, np.ndarray]:
    """Copy all variables of a compiled model; bfloat16, which NumPy's files do not support, as float32."""
    return {
        name: np.array(keras.ops.convert_to_numpy(variable), dtype=_stored_dtype(variable))
        for name, variable in _variables(model).items()
    }


def write_variables(model: keras.Model, arrays: dict[str, np.ndarray], path: Path, metrics: bool) -> None:
    """Assign the values of a checkpoint to a compiled model.

    Parameters
    ----------
    model : keras.Model
        Its optimizer is built.
    arrays : dict of str to ndarray
        The result of `read_variables`.
    path : Path
        The checkpoint, for error messages.
    metrics : bool
        Whether to assign the state of metrics as well, which exists once training has begun.

    Raises
    ------
    RunError
        The checkpoint belongs to another model or optimizer.
    """
    variables = _variables(model)
    if not metrics:
        variables = {name: value for name, value in variables.items() if not name.startswith("metrics_")}
        arrays = {name: value for name, value in arrays.items() if not name.startswith("metrics_")}
    other = "the checkpoint belongs to another model; delete the run and start again"
    if unmatched := sorted(set(variables) ^ set(arrays)):
        raise RunError(f"{path}: {', '.join(unmatched[:3])} is only in the model or only in the file; {other}")
    for name, variable in variables.items():
        expected, found = (
            (tuple(variable.shape), _stored_dtype(variable)),
            (arrays[name].shape, str(arrays[name].dtype)),
        )
        if expected != found:
            raise RunError(f"{path}: {name} is {found}, expected {expected}; {other}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Return all variables that training changes: weights, generators, optimizer, metrics."""
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    return {f"{name}_{number}": variable for name, group in groups.items() for number, variable in enumerate(group)}


def _stored_dtype(variable: keras.Variable) -> str:
    return "float32" if variable.dtype == "bfloat16" else str(variable.dtype)


class Checkpoints(keras.callbacks.Callback):
    """Save the state after every epoch, at intervals within an epoch, and when a stop is requested.

    Parameters
    ----------
    path : Path
        The checkpoint file.
    start : Checkpoint
        The state that this training run started from.
    history : History
        An earlier callback in the list.
    request : StopRequest
    steps : int
        Steps per epoch.
    minutes : float
        Time between checkpoints within an epoch.
    """

    def __init__(
        self, path: Path, start: Checkpoint, history: History, request: StopRequest, steps: int, minutes: float
    ) -> None:
        super().__init__()
        self._path, self._history, self._request, self._steps, self._minutes = path, history, request, steps, minutes
        self._start, self._skip, self._epoch = start, start.batch, start.epoch
        self._began = self._saved = time.monotonic()
        self._before_last_step: Checkpoint | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the metrics of a resumed epoch, which `fit` has just reset."""
        self._epoch = epoch
        if self._skip:
            write_variables(self.model, self._start.arrays, self._path, metrics=True)
        self._keep_if_one_step_is_left(done=self._skip)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save at intervals; stop on request."""
        done = self._skip + batch + 1
        if self._request.asked():
            self._stop(self._state(done))
        if done < self._steps and time.monotonic() - self._saved >= 60 * self._minutes:
            self._save(self._state(done))
        self._keep_if_one_step_is_left(done)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop during validation; the last step and the validation will be repeated."""
        if self._request.asked() and self._before_last_step is not None:
            self._stop(self._before_last_step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save; stop on request."""
        self._skip, self._epoch, self._before_last_step = 0, epoch + 1, None
        state = self._state(0)
        if self._request.asked():
            self._stop(state)
        self._save(state)

    @property
    def duration_s(self) -> float:
        """Duration of the training, including earlier parts."""
        return self._start.duration_s + time.monotonic() - self._began

    def _keep_if_one_step_is_left(self, done: int) -> None:
        # `fit` cannot start with no step left in an epoch, so a stop during validation goes back by one step.
        if done == self._steps - 1:
            self._before_last_step = self._state(done)

    def _state(self, done: int) -> Checkpoint:
        if done == self._steps and self._before_last_step is not None:
            return self._before_last_step
        return Checkpoint(self._epoch, done, list(self._history.rows), self.duration_s, read_variables(self.model))

    def _save(self, state: Checkpoint) -> None:
        state.save(self._path)
        self._saved = time.monotonic()

    def _stop(self, state: Checkpoint) -> None:
        self._save(state)
        at = f"in epoch {state.epoch + 1} after step {state.batch} of {self._steps}"
        if state.epoch and not state.batch:
            at = f"after epoch {state.epoch}"
        raise TrainingStopped(f"{self._path.parent}: stopped {at}", self._request.asked() or 0)
