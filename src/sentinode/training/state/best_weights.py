"""The weights of the best epoch, and early stopping."""

from pathlib import Path
from typing import Any

import keras

from sentinode.storage import atomic_file
from sentinode.training.logging.history import History, Row


class BestWeights(keras.callbacks.Callback):
    """Save the weights of the epoch with the lowest validation loss; stop early.

    Parameters
    ----------
    path : Path
        A ``.weights.h5`` file.
    network : keras.Model
        The trained network, without augmentation.
    twin : keras.Model
        The same architecture, not compiled, so that the file does not contain the state of the optimizer.
    history : History
        An earlier callback in the list.
    patience : int
        Number of epochs without improvement after which training stops; 0 to never stop.
    """

    def __init__(self, path: Path, network: keras.Model, twin: keras.Model, history: History, patience: int) -> None:
        super().__init__()
        self._path, self._network, self._twin = path, network, twin
        self._history, self._patience = history, patience

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save if this epoch is the best so far."""
        if best_epoch(self._history.rows) == epoch + 1:
            self._twin.set_weights(self._network.get_weights())
            save_weights(self._twin, self._path)
        if stops_early(self._history.rows, self._patience):
            self.model.stop_training = True


def best_epoch(rows: list[Row]) -> int:
    """Return the epoch with the lowest validation loss, counted from 1; the first of several.

    Examples
    --------
    >>> best_epoch([{"epoch": 1, "val_loss": 0.6}, {"epoch": 2, "val_loss": 0.5}, {"epoch": 3, "val_loss": 0.5}])
    2
    """
    return int(min(rows, key=lambda row: row["val_loss"])["epoch"])


def stops_early(rows: list[Row], patience: int) -> bool:
    """Check whether the last `patience` epochs brought no lower validation loss; never with a patience of 0.

    Examples
    --------
    >>> stops_early([{"epoch": 1, "val_loss": 0.6}, {"epoch": 2, "val_loss": 0.7}], patience=1)
    True
    """
    return bool(patience and rows) and len(rows) - best_epoch(rows) >= patience


def save_weights(model: keras.Model, path: Path) -> None:
    """Write a ``.weights.h5`` file, whole or not at all."""
    size = sum(weight.nbytes + 16_384 for weight in model.get_weights())
    with atomic_file(path) as temporary:
        temporary.write_bytes(bytes(size))  # A full disk is found here; HDF5 would print tracebacks of its own.
        model.save_weights(temporary)
