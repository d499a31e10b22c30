"""The learning curves of a training run: csv, JSON lines, TensorBoard, and one line per epoch in the log."""

import contextlib
import json
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from sentinode.errors import TrainingDiverged
from sentinode.progress import Advance
from sentinode.storage import atomic_file, write_csv
from sentinode.training.logging.tensorboard import EventWriter

Row = dict[str, float]

log = logging.getLogger("sentinode")


class History(keras.callbacks.Callback):
    """Write one row per epoch to ``history.csv``, ``history.jsonl`` and TensorBoard.

    Parameters
    ----------
    folder : Path
        The run directory.
    rows : list of dict
        The history so far.
    patches : tuple of int
        Number of patches that the first epoch still trains on, and that each later epoch trains on.
    """

    def __init__(self, folder: Path, rows: list[Row], patches: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self._folder, self._patches = folder, patches
        self.rows = list(rows)
        self._open = contextlib.ExitStack()
        self._writers = {
            name: self._open.enter_context(EventWriter(folder / "tensorboard" / name)) for name in ("train", "valid")
        }
        for row in rows:
            self._to_tensorboard(row)

    def close(self) -> None:
        """Close the event files."""
        self._open.close()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start to measure the duration of the epoch."""
        self._started = time.perf_counter()
        self._train_s: float | None = None
        self._first_step_s, self._steps = 0.0, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Measure the first step by itself: the first one of a training run includes compilation."""
        self._steps += 1
        if self._steps == 1:
            self._first_step_s = time.perf_counter() - self._started

    def on_predict_begin(self, logs: Any = None) -> None:
        """Stop measuring: ``train_s`` does not include validation."""
        self._train_s = time.perf_counter() - self._started

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the row of the epoch.

        Raises
        ------
        TrainingDiverged
            A loss is not finite.
        """
        figures = {name: float(value) for name, value in (logs or {}).items()}
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        for name in ("loss", "val_loss"):
            if not math.isfinite(figures[name]):
                largest = max([rate, *(row["learning_rate"] for row in self.rows)])
                raise TrainingDiverged(
                    f"{self._folder}: training diverged, {name} is {figures[name]} in epoch {epoch + 1}; use a "
                    f"learning rate below {largest:.2g}, and another directory"
                )
        patches, self._patches = self._patches[0], (self._patches[1], self._patches[1])
        train_s = self._train_s or time.perf_counter() - self._started
        speed = patches / train_s
        if self._steps > 1:
            speed = patches * (1 - 1 / self._steps) / (train_s - self._first_step_s)
        extra = {"learning_rate": rate, "train_s": round(train_s, 3), "patches_per_s": round(speed, 1)}
        self.add({"epoch": epoch + 1, **figures, **extra})

    def add(self, row: Row) -> None:
        """Add one row to all files."""
        self.rows.append(row)
        self._to_tensorboard(row)
        write_csv(pd.DataFrame(self.rows), self._folder / "history.csv")
        with atomic_file(self._folder / "history.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    def _to_tensorboard(self, row: Row) -> None:
        step = int(row["epoch"])
        valid = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        train = {name: value for name, value in row.items() if not name.startswith("val_") and name != "epoch"}
        self._writers["train"].scalars(train, step)
        self._writers["valid"].scalars(valid, step)


class ProgressBar(keras.callbacks.Callback):
    """Advance one bar through the whole training; without a terminal, log one line per epoch.

    Parameters
    ----------
    advance : callable
        From `progress_bar`.
    history : History
        An earlier callback in the list.
    epochs : int
        Number of epochs in all.
    patches : int
        Number of patches per epoch.
    batch_size : int
    skip : int
        Number of batches that the first epoch leaves out.
    """

    def __init__(
        self, advance: Advance, history: History, epochs: int, patches: int, batch_size: int, skip: int
    ) -> None:
        super().__init__()
        self._advance, self._history, self._epochs = advance, history, epochs
        self._patches, self._batch_size, self._skip = patches, batch_size, skip

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Advance the bar by one batch."""
        self._advance(min(self._batch_size, self._patches - (self._skip + batch) * self._batch_size))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show the figures of the epoch."""
        self._skip, row = 0, self._history.rows[-1]
        self._advance(0, note=f"epoch {epoch + 1}/{self._epochs}, AUC {row['val_auc']:.3f}")
        if not sys.stderr.isatty():
            log.info(
                "epoch %d/%d: loss %.3f, validation loss %.3f, validation AUC %.3f, %s patches/s",
                epoch + 1,
                self._epochs,
                row["loss"],
                row["val_loss"],
                row["val_auc"],
                f"{row['patches_per_s']:,.0f}",
            )
