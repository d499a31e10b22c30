"""A few validation patches in TensorBoard, the same at every epoch, with what the network says of them."""

from typing import Any

import keras
import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.plots.patches import draw_predictions
from sentinode.training.logging.tensorboard import EventWriter
from sentinode.training.validation import Validation

EACH_CLASS = 4


class Examples(keras.callbacks.Callback):
    """Writes a picture of example patches and their probabilities after every epoch.

    Parameters
    ----------
    board
        Where TensorBoard finds it.
    patches
        The validation split.
    validation
        Comes before this one in the list of callbacks, and knows the probabilities already.
    seed
        Of the choice.
    """

    def __init__(self, board: EventWriter, patches: PatchSet, validation: Validation, seed: int) -> None:
        super().__init__()
        self._board, self._validation = board, validation
        self._rows = choose_examples(patches.labels, seed)
        self._pixels, self._labels = patches.read(self._rows), patches.labels[self._rows]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draw."""
        sheet = draw_predictions(self._pixels, self._labels, self._validation.probabilities[self._rows])
        self._board.image("examples", sheet, epoch + 1)


def choose_examples(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows of four patches of each class, or of all that there are; the same for the same seed.

    Examples
    --------
    >>> len(choose_examples(np.array([0, 1] * 20), seed=0))
    8
    >>> choose_examples(np.array([0, 0, 1]), seed=0).tolist()
    [0, 1, 2]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.sort(np.concatenate([order[labels[order] == label][:EACH_CLASS] for label in (0, 1)]))
