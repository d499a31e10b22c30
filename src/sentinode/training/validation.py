"""One pass over the validation patches an epoch: loss, accuracy and exact AUC, all from the same logits."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Batches, targets
from sentinode.data.patchset import PatchSet
from sentinode.inference.logits import logit_model, probability, tumour_logit
from sentinode.metrics.ranking import roc_curve
from sentinode.models.backend import silence_retracing_warning
from sentinode.training.config import TrainConfig
from sentinode.training.distributed import ProcessGroup
from sentinode.training.recipe.compile import logit_loss, output_count


class Validation(keras.callbacks.Callback):
    """Measures the model on the validation patches and adds the figures to the epoch's.

    Keras' own validation keeps sums alone. From the logits themselves the AUC is exact, where its metric has 200
    thresholds, and the probability of every patch is known at no further cost. Several devices share its batches as
    they share those of the training, and every process gets all logits.

    Parameters
    ----------
    model
        That is trained, without augmentation.
    patches
        The validation split.
    config
        Names the loss and the size of a batch.
    watchers
        Callbacks that follow the pass: their ``on_predict_begin`` and ``on_predict_batch_end`` are called.

    Attributes
    ----------
    probabilities
        P(tumour) of every patch, after the last epoch that ended: float64, in the order of `patches`.
    """

    def __init__(
        self, model: keras.Model, patches: PatchSet, config: TrainConfig, watchers: Sequence[keras.callbacks.Callback]
    ) -> None:
        super().__init__()
        outputs = output_count(model)
        self._network = logit_model(model)  # It has the model's own layers, but a copy of the last one.
        self._last = self._network.layers[-1]
        if keras.distribution.distribution() is not None:
            self._network = keras.Model(self._network.inputs, _Everywhere(dtype="float32")(self._network.outputs[0]))
        self._batches = Batches(patches, config.batch_size, outputs=0, share=ProcessGroup.now())
        self._trained_last = model.layers[-1]
        self._labels, self._targets = patches.labels, targets(patches, outputs)
        self._loss, self._relay = logit_loss(config, outputs), _Relay(watchers)
        self.probabilities = np.empty(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add ``val_accuracy``, ``val_auc`` and ``val_loss``; comes before the callbacks that use them."""
        self._last.set_weights(self._trained_last.get_weights())
        with silence_retracing_warning():
            logits = self._network.predict(self._batches, callbacks=[self._relay], verbose=0)
        logits = logits[: len(self._labels)]  # A last batch that was repeated for all devices comes last.
        tumour = tumour_logit(logits)
        self.probabilities = probability(tumour)
        logs |= validation_figures(self._labels, tumour)
        # Penalties on weights are in the training's loss, so they are in this one.
        kept = [weight for weight in self.model.trainable_variables if weight.regularizer is not None]
        losses = [self._loss(self._targets, logits), *(weight.regularizer(weight) for weight in kept)]
        logs["val_loss"] = sum(float(keras.ops.convert_to_numpy(loss)) for loss in losses)


def validation_figures(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return accuracy, a patch above one half being called tumour, and exact AUC.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``; both are there.
    logits
        Log-odds of tumour, shape ``(n,)``.

    Examples
    --------
    >>> validation_figures(np.array([0, 0, 1, 1]), np.array([-2.0, -0.5, -1.0, 3.0]))
    {'val_accuracy': 0.75, 'val_auc': 0.75}
    """
    # Logits that are no numbers have no order; their loss is none either, and the history refuses that.
    auc = roc_curve(labels, logits).auc if np.isfinite(logits).all() else math.nan
    return {"val_accuracy": float(((logits > 0) == labels).mean()), "val_auc": auc}


class _Relay(keras.callbacks.Callback):
    """Tells callbacks of the pass; handed over themselves, they would be told that its network is their model."""

    def __init__(self, watchers: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self._watchers = watchers

    def on_predict_begin(self, logs: Any = None) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_predict_begin()

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_predict_batch_end(batch)


class _Everywhere(keras.layers.Layer):
    """Gives every device the outputs of all: a process can read what its own devices hold, and no more."""

    def call(self, inputs: Any) -> Any:
        """Gather."""
        mesh = keras.distribution.distribution().device_mesh
        return keras.distribution.distribute_tensor(inputs, keras.distribution.TensorLayout([None, None], mesh))
