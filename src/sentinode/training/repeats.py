"""Repeated rows, of which metrics know nothing."""

from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Batches


class UnpaddedMetrics(keras.callbacks.Callback):
    """Makes metrics count every patch once where a last, smaller batch was repeated for all devices to have a part.

    Every metric of ours adds up sums and counts, and repeated rows add them repeatedly.

    Parameters
    ----------
    batches
        What `fit` was given.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches
        self._before: list[np.ndarray] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Remember the sums before."""
        if self._batches.copies(batch) > 1:
            sums = self.model.metrics_variables
            self._before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in sums]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take the repeated part off."""
        copies = self._batches.copies(batch)
        if copies > 1:
            for variable, before in zip(self.model.metrics_variables, self._before, strict=True):
                variable.assign(before + (keras.ops.convert_to_numpy(variable) - before) / copies)
