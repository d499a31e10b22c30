"""What happens beside the training: checkpoints, the best weights, histories, TensorBoard, a bar.

Each callback may live through several calls of `fit`: a resumed training finishes its epoch in one and goes on in
another. Their state is the history alone, one row an epoch.
"""

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from sentinode.data.batches import Batches
from sentinode.errors import TrainingDiverged, TrainingStopped
from sentinode.progress import Advance
from sentinode.storage import atomic_file
from sentinode.training.logging.tensorboard import EventWriter
from sentinode.training.state.checkpoint import Checkpoint, read_variables, write_variables
from sentinode.training.state.stopping import StopRequest

Row = dict[str, float]


class EpochOrder(keras.callbacks.Callback):
    """Gives each epoch its own order of patches.

    Parameters
    ----------
    batches
        Of the training split.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Shuffle."""
        self._batches.go_to(epoch)


class ProgressBar(keras.callbacks.Callback):
    """Moves one bar through the whole training, with the last epoch's figures at its end.

    Parameters
    ----------
    advance
        From `progress_bar`.
    patches, batch_size
        Of the training split.
    first_batch
        Where the first epoch begins.
    """

    def __init__(self, advance: Advance, patches: int, batch_size: int, first_batch: int) -> None:
        super().__init__()
        self._advance, self._patches, self._batch_size = advance, patches, batch_size
        self._skip = first_batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move on."""
        self._advance(min(self._batch_size, self._patches - (self._skip + batch) * self._batch_size))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's figures at the end of the bar."""
        self._skip = 0
        logs = logs or {}
        shown = [f"{name} {logs[name]:.3f}" for name in ("loss", "val_loss", "val_auc") if name in logs]
        self._advance(0, note=f"epoch {epoch + 1}: {', '.join(shown)}")


class History(keras.callbacks.Callback):
    """One row an epoch: ``history.csv``, ``history.jsonl``, and TensorBoard's event files; refuses divergence.

    Parameters
    ----------
    folder
        The run directory.
    rows
        The history so far.
    patches
        How many the first epoch still has to see, and how many the later ones have.
    """

    def __init__(self, folder: Path, rows: list[Row], patches: tuple[int, int]) -> None:
        super().__init__()
        self._folder, self._patches = folder, patches
        self.rows = list(rows)
        self._open = contextlib.ExitStack()
        self._boards = {
            name: self._open.enter_context(EventWriter(folder / "tensorboard" / name)) for name in ("train", "valid")
        }
        for row in rows:
            self._to_boards(row)

    def close(self) -> None:
        """Close the event files."""
        self._open.close()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self._train_s: float | None = None

    def on_predict_begin(self, logs: Any = None) -> None:
        """Stop the training's clock: validation has a pace of its own."""
        self._train_s = time.perf_counter() - self._started

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's row.

        Raises
        ------
        TrainingDiverged
            A loss is not finite: nothing after it could be used.
        """
        figures = {name: float(value) for name, value in (logs or {}).items()}
        for name in ("loss", "val_loss"):
            if not math.isfinite(figures[name]):
                value = figures[name]
                raise TrainingDiverged(
                    f"{name} is {value} in epoch {epoch + 1}: the training diverged; lower the learning rate"
                )
        patches, self._patches = self._patches[0], (self._patches[1], self._patches[1])
        train_s = self._train_s or time.perf_counter() - self._started
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        extra = {"learning_rate": rate, "train_s": round(train_s, 3), "patches_per_s": round(patches / train_s, 1)}
        self.add({"epoch": epoch + 1, **figures, **extra})

    def add(self, row: Row) -> None:
        """Write a row."""
        self.rows.append(row)
        self._to_boards(row)
        with atomic_file(self._folder / "history.csv") as beside:
            pd.DataFrame(self.rows).to_csv(beside, index=False, lineterminator="\n")
        with atomic_file(self._folder / "history.jsonl") as beside:
            beside.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    def _to_boards(self, row: Row) -> None:
        step = int(row["epoch"])
        valid = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        train = {name: value for name, value in row.items() if not name.startswith("val_") and name != "epoch"}
        self._boards["train"].scalars(train, step)
        self._boards["valid"].scalars(valid, step)


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest validation loss, and stops when it is long past.

    Parameters
    ----------
    path
        A ``.weights.h5`` file.
    network
        What is trained, without augmentation.
    twin
        The same architecture, not compiled, so that the optimiser's state does not go into the file.
    history
        Comes before this one in the list of callbacks.
    patience
        Stop after so many epochs without a better one; 0 never.
    """

    def __init__(self, path: Path, network: keras.Model, twin: keras.Model, history: History, patience: int) -> None:
        super().__init__()
        self._path, self._network, self._twin = path, network, twin
        self._history, self._patience = history, patience

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save when this epoch is the best so far."""
        if best_epoch(self._history.rows) == epoch + 1:
            self._twin.set_weights(self._network.get_weights())
            save_weights(self._twin, self._path)
        if past_its_best(self._history.rows, self._patience):
            self.model.stop_training = True


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole state after every epoch and every so many minutes, and when a stop is asked for.

    Parameters
    ----------
    path
        The checkpoint file.
    start
        Where this training begins; its metrics are put back when its epoch is not at its beginning.
    history
        Comes before this one in the list of callbacks.
    request
        From `stop_requests`.
    steps
        Batches of an epoch.
    minutes
        Between checkpoints within an epoch.
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
        """Put back what `fit` has reset just before."""
        self._epoch = epoch
        if self._skip:
            write_variables(self.model, self._start.arrays, self._path, metrics=True)
        self._keep_when_one_step_is_left(done=self._skip)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save when it is time to, and stop when that was asked for."""
        done = self._skip + batch + 1
        if self._request.asked():
            self._stop(self._state(done))
        if done < self._steps and time.monotonic() - self._saved >= 60 * self._minutes:
            self._save(self._state(done))
        self._keep_when_one_step_is_left(done)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop during validation: the last step is done again later, and the validation after it."""
        if self._request.asked() and self._before_last_step is not None:
            self._stop(self._before_last_step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save."""
        self._skip, self._epoch, self._before_last_step = 0, epoch + 1, None
        state = self._state(0)
        if self._request.asked():
            self._stop(state)
        self._save(state)

    @property
    def duration_s(self) -> float:
        """Seconds of training, earlier parts included."""
        return self._start.duration_s + time.monotonic() - self._began

    def _keep_when_one_step_is_left(self, done: int) -> None:
        # Fit cannot begin with no step left in an epoch, so a stop during validation goes back by one.
        if done == self._steps - 1:
            self._before_last_step = self._state(done)

    def _state(self, done: int) -> Checkpoint:
        """Return the state after `done` steps of the epoch; an epoch with all its steps done is not one to save."""
        if done == self._steps and self._before_last_step is not None:
            return self._before_last_step
        return Checkpoint(self._epoch, done, list(self._history.rows), self.duration_s, read_variables(self.model))

    def _save(self, state: Checkpoint) -> None:
        state.save(self._path)
        self._saved = time.monotonic()

    def _stop(self, state: Checkpoint) -> None:
        self._save(state)
        raise TrainingStopped(self._where(state), self._request.asked() or 0)

    def _where(self, state: Checkpoint) -> str:
        if state.epoch and not state.batch:
            return f"{self._path.parent}: stopped after epoch {state.epoch}"
        return f"{self._path.parent}: stopped in epoch {state.epoch + 1} after {state.batch} of {self._steps} steps"


def best_epoch(rows: list[Row]) -> int:
    """Return the epoch, counted from 1, with the lowest validation loss; the first of equals.

    Examples
    --------
    >>> best_epoch([{"epoch": 1, "val_loss": 0.6}, {"epoch": 2, "val_loss": 0.5}, {"epoch": 3, "val_loss": 0.5}])
    2
    """
    return int(min(rows, key=lambda row: row["val_loss"])["epoch"])


def past_its_best(rows: list[Row], patience: int) -> bool:
    """Say whether the last `patience` epochs brought no better validation loss; never with a patience of 0.

    Examples
    --------
    >>> past_its_best([{"epoch": 1, "val_loss": 0.6}, {"epoch": 2, "val_loss": 0.7}], patience=1)
    True
    """
    return bool(patience and rows) and len(rows) - best_epoch(rows) >= patience


def save_weights(model: keras.Model, path: Path) -> None:
    """Write a ``.weights.h5`` file, whole or not at all."""
    size = sum(weight.nbytes + 16_384 for weight in model.get_weights())
    with atomic_file(path) as beside:
        beside.write_bytes(bytes(size))  # No room is found out here: HDF5 would print tracebacks whatever one does.
        model.save_weights(beside)
