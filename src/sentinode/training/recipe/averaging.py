"""Exponential moving average of the weights."""

from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.keras_compat.graph import flatten_layers
from sentinode.keras_compat.optimizers import load_average
from sentinode.layers.d4 import D4Norm
from sentinode.training.config import TrainConfig

# Batches of training patches on which batch statistics are recomputed.
BATCHES = 20


class WeightAverage:
    """Load the moving average of the weights into a model, and restore the weights.

    The moving statistics of normalization layers belong to the weights with which they were measured. They are
    recomputed for the average, on training patches without augmentation.

    Parameters
    ----------
    learner : keras.Model
        The compiled model. If its optimizer keeps no average, nothing changes.
    network : keras.Model
        The network inside, without augmentation.
    batches : callable
        Returns batches of training patches, uint8 of shape ``(n, 96, 96, 3)``, the same at every call.
    """

    def __init__(self, learner: keras.Model, network: keras.Model, batches: Callable[[], Iterable[np.ndarray]]) -> None:
        self._learner, self._network, self._batches = learner, network, batches
        self._saved: list[np.ndarray] = []

    def load(self) -> None:
        """Replace the weights by their average."""
        if not self._learner.optimizer.use_ema:
            return
        # All variables: recomputing statistics advances the generators of dropout as well.
        self._saved = [keras.ops.convert_to_numpy(variable).copy() for variable in self._network.variables]
        load_average(self._learner.optimizer, self._learner.trainable_variables)
        recompute_batch_statistics(self._network, self._batches())

    def restore(self) -> None:
        """Restore the weights with which training continues."""
        for variable, value in zip(self._network.variables, self._saved, strict=bool(self._saved)):
            variable.assign(value)
        self._saved = []

    def callback(self, *, restore: bool) -> keras.callbacks.Callback:
        """Create a callback that calls `load` or `restore` at the end of every epoch."""
        action = self.restore if restore else self.load
        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: action())


def some_batches(training: PatchSet, config: TrainConfig, limit: int = BATCHES) -> Iterator[np.ndarray]:
    """Yield the same few batches of training patches at every call."""
    batches = Batches(training, config.batch_size, outputs=0, seed=config.seed)
    for index in range(min(limit, len(training) // config.batch_size or 1)):
        yield batches[index][0]


def recompute_batch_statistics(network: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Set mean and variance of all normalization layers to their averages over batches.

    Parameters
    ----------
    network : keras.Model
    batches : iterable of ndarray
        uint8 patches of shape ``(n, 96, 96, 3)``. All batches have the same weight.

    Examples
    --------
    >>> from sentinode import build_model
    >>> network = build_model("d4net")
    >>> recompute_batch_statistics(network, [np.zeros((2, 96, 96, 3), np.uint8)])
    >>> bool(keras.ops.max(network.get_layer("norm_1").variance) < 1e-6)  # All pixels are equal.
    True
    """
    kinds = (D4Norm, keras.layers.BatchNormalization)
    layers = [layer for layer in flatten_layers(network) if isinstance(layer, kinds)]
    momenta = [layer.momentum for layer in layers]
    try:
        for number, pixels in enumerate(batches if layers else ()):
            for layer in layers:
                layer.momentum = number / (number + 1)
            network(pixels, training=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
