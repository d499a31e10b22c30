"""Example patches with their predictions in TensorBoard."""

from typing import Any

import keras
import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.plots.patches import draw_predictions
from sentinode.training.logging.tensorboard import EventWriter
from sentinode.training.validation import Validation

PER_CLASS = 4


class Examples(keras.callbacks.Callback):
    """Write an image of the same validation patches and their probabilities after every epoch.

    Parameters
    ----------
    writer : EventWriter
    patches : PatchSet
        The validation split.
    validation : Validation
        An earlier callback in the list.
    seed : int
        Seed of the selection.
    """

    def __init__(self, writer: EventWriter, patches: PatchSet, validation: Validation, seed: int) -> None:
        super().__init__()
        self._writer, self._validation = writer, validation
        self._rows = choose_examples(patches.labels, seed)
        self._pixels, self._labels = patches.read(self._rows), patches.labels[self._rows]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the image."""
        sheet = draw_predictions(self._pixels, self._labels, self._validation.probabilities[self._rows])
        self._writer.image("examples", sheet, epoch + 1)


def choose_examples(labels: np.ndarray, seed: int) -> np.ndarray:
    """Select four patches of each class, or all if there are fewer.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    seed : int

    Returns
    -------
    ndarray
        Row numbers in ascending order.

    Examples
    --------
    >>> len(choose_examples(np.array([0, 1] * 20), seed=0))
    8
    >>> choose_examples(np.array([0, 0, 1]), seed=0).tolist()
    [0, 1, 2]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.sort(np.concatenate([order[labels[order] == label][:PER_CLASS] for label in (0, 1)]))
