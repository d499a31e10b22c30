"""What happens beside the training: a bar, histories, TensorBoard, the best weights."""

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from sentinode.errors import RunError
from sentinode.progress import progress_bar
from sentinode.storage import whole_file
from sentinode.training.tensorboard import EventWriter


class ProgressBar(keras.callbacks.Callback):
    """One bar for the whole training, with patches/s, time left, and the last epoch's figures.

    Parameters
    ----------
    patches, batch_size
        Of the training split.
    """

    def __init__(self, patches: int, batch_size: int) -> None:
        super().__init__()
        self._patches, self._batch_size = patches, batch_size
        self._open = contextlib.ExitStack()

    def on_train_begin(self, logs: Any = None) -> None:
        """Show the bar."""
        total = self._patches * self.params["epochs"]
        self._advance = self._open.enter_context(progress_bar("training", total=total))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move on."""
        self._advance(min(self._batch_size, self._patches - batch * self._batch_size))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's figures at the end of the bar."""
        logs = logs or {}
        shown = [f"{name} {logs[name]:.3f}" for name in ("loss", "val_loss", "val_accuracy") if name in logs]
        self._advance(0, note=f"epoch {epoch + 1}: {', '.join(shown)}")

    def on_train_end(self, logs: Any = None) -> None:
        """Leave the bar as it is."""
        self._open.close()


class RefuseDivergence(keras.callbacks.Callback):
    """Ends a training whose loss is not a number any more: nothing after it could be used."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at the epoch's losses.

        Raises
        ------
        RunError
            One of them is not finite.
        """
        for name in ("loss", "val_loss"):
            value = float((logs or {})[name])
            if not math.isfinite(value):
                raise RunError(
                    f"{name} is {value} in epoch {epoch + 1}: the training diverged; lower the learning rate"
                )


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest validation loss, whole at any moment.

    Parameters
    ----------
    path
        A ``.weights.h5`` file.
    twin
        The same architecture, not compiled, so that the optimiser's state does not go into the file.
    """

    def __init__(self, path: Path, twin: keras.Model) -> None:
        super().__init__()
        self._path, self._twin = path, twin
        self._lowest = math.inf

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save when this epoch is the best so far."""
        loss = float((logs or {})["val_loss"])
        if loss < self._lowest:
            self._lowest = loss
            self._twin.set_weights(self.model.get_weights())
            save_weights(self._twin, self._path)


def save_weights(model: keras.Model, path: Path) -> None:
    """Write a ``.weights.h5`` file, whole or not at all."""
    with whole_file(path) as beside:
        model.save_weights(beside)


class HistoryFiles(keras.callbacks.Callback):
    """One row an epoch: ``history.csv``, ``history.jsonl``, and TensorBoard's event files.

    Parameters
    ----------
    folder
        The run directory.
    patches
        Of the training split.
    """

    def __init__(self, folder: Path, patches: int) -> None:
        super().__init__()
        self._folder, self._patches = folder, patches
        self.rows: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the event files."""
        self._boards = {name: EventWriter(self._folder / "tensorboard" / name) for name in ("train", "valid")}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self._train_s: float | None = None

    def on_test_begin(self, logs: Any = None) -> None:
        """Stop the training's clock: validation has a pace of its own."""
        self._train_s = time.perf_counter() - self._started

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's row."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        train_s = self._train_s or time.perf_counter() - self._started
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        extra = {
            "learning_rate": rate,
            "train_s": round(train_s, 3),
            "patches_per_s": round(self._patches / train_s, 1),
        }
        self.rows.append({"epoch": epoch + 1, **figures, **extra})
        self._write()
        valid = {name.removeprefix("val_"): value for name, value in figures.items() if name.startswith("val_")}
        train = {name: value for name, value in figures.items() if not name.startswith("val_")}
        self._boards["train"].scalars({**train, **extra}, step=epoch + 1)
        self._boards["valid"].scalars(valid, step=epoch + 1)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the event files."""
        for board in self._boards.values():
            board.close()

    def _write(self) -> None:
        table = pd.DataFrame(self.rows)
        with whole_file(self._folder / "history.csv") as beside:
            table.to_csv(beside, index=False, lineterminator="\n")
        with whole_file(self._folder / "history.jsonl") as beside:
            beside.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
