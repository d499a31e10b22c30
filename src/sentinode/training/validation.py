"""Validation after each epoch: loss, accuracy and exact AUC from one pass."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Batches, targets
from sentinode.data.patchset import PatchSet
from sentinode.inference.logits import logit_model, probability, tumour_logit
from sentinode.metrics import roc_curve
from sentinode.models.backend import silence_retracing_warning
from sentinode.training.config import TrainConfig
from sentinode.training.distributed import ProcessGroup
from sentinode.training.recipe.compile import logit_loss, output_count


class Validation(keras.callbacks.Callback):
    """Evaluate the model on all validation patches and add the figures to the logs of the epoch.

    Keras' own AUC approximates the curve by 200 thresholds; from the logits it is exact, and the probabilities are
    available to other callbacks. Several devices share the batches, and every process gets all logits.

    Parameters
    ----------
    model : keras.Model
        The trained network, without augmentation.
    patches : PatchSet
        The validation split.
    config : TrainConfig
        Loss and batch size.
    watchers : sequence of keras.callbacks.Callback
        Their ``on_predict_begin`` and ``on_predict_batch_end`` are called during the pass.

    Attributes
    ----------
    probabilities : ndarray of shape (n,)
        P(tumour) of every patch after the last epoch, in the order of `patches`.
    """

    def __init__(
        self, model: keras.Model, patches: PatchSet, config: TrainConfig, watchers: Sequence[keras.callbacks.Callback]
    ) -> None:
        super().__init__()
        outputs = output_count(model)
        self._network = logit_model(model)  # Shares all layers of the model but the last one.
        self._last = self._network.layers[-1]
        if keras.distribution.distribution() is not None:
            self._network = keras.Model(self._network.inputs, _Replicate(dtype="float32")(self._network.outputs[0]))
        self._batches = Batches(patches, config.batch_size, outputs=0, share=ProcessGroup.current())
        self._trained_last = model.layers[-1]
        self._labels, self._targets = patches.labels, targets(patches, outputs)
        self._loss, self._relay = logit_loss(config, outputs), _Relay(watchers)
        self.probabilities = np.empty(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add ``val_accuracy``, ``val_auc`` and ``val_loss`` to the logs."""
        self._last.set_weights(self._trained_last.get_weights())
        with silence_retracing_warning():
            logits = self._network.predict(self._batches, callbacks=[self._relay], verbose=0)
        logits = logits[: len(self._labels)]  # On several devices the last batch is padded.
        tumour = tumour_logit(logits)
        self.probabilities = probability(tumour)
        logs |= validation_figures(self._labels, tumour)
        # The training loss includes weight penalties, so this one does as well.
        penalized = [weight for weight in self.model.trainable_variables if weight.regularizer is not None]
        losses = [self._loss(self._targets, logits), *(weight.regularizer(weight) for weight in penalized)]
        logs["val_loss"] = sum(float(keras.ops.convert_to_numpy(loss)) for loss in losses)


def validation_figures(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Compute accuracy at a probability of 0.5 and AUC.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        0 or 1; both classes must be present.
    logits : ndarray of shape (n,)
        Log-odds of tumour.

    Returns
    -------
    dict

    Examples
    --------
    >>> validation_figures(np.array([0, 0, 1, 1]), np.array([-2.0, -0.5, -1.0, 3.0]))
    {'val_accuracy': 0.75, 'val_auc': 0.75}
    """
    # NaN cannot be ranked. The loss is NaN as well then, and `History` reports it.
    auc = roc_curve(labels, logits).auc if np.isfinite(logits).all() else math.nan
    return {"val_accuracy": float(((logits > 0) == labels).mean()), "val_auc": auc}


class _Relay(keras.callbacks.Callback):
    """Forward events to callbacks whose own model must not be replaced by the validation network."""

    def __init__(self, watchers: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self._watchers = watchers

    def on_predict_begin(self, logs: Any = None) -> None:
        for watcher in self._watchers:
            watcher.on_predict_begin()

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        for watcher in self._watchers:
            watcher.on_predict_batch_end(batch)


class _Replicate(keras.layers.Layer):
    """Copy the outputs to every device; a process can read only what its own devices hold."""

    def call(self, inputs: Any) -> Any:
        mesh = keras.distribution.distribution().device_mesh
        return keras.distribution.distribute_tensor(inputs, keras.distribution.TensorLayout([None, None], mesh))
