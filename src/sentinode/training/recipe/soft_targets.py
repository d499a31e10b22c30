"""Training on probabilities instead of labels, such as stored predictions of teachers."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from sentinode.data.batches import TARGET
from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError


def with_targets(patches: PatchSet, targets: ArrayLike) -> PatchSet:
    """Add probabilities that replace the labels in training.

    Parameters
    ----------
    patches : PatchSet
    targets : array-like of shape (n,)
        P(tumour) of each patch, 0 to 1.

    Returns
    -------
    PatchSet

    Raises
    ------
    DataError
        There is not one probability for each patch.
    """
    values = np.asarray(targets, dtype=np.float32)
    if values.shape != (len(patches),):
        raise DataError(f"{patches.path}: targets have the shape {values.shape}; expected ({len(patches)},)")
    if not ((values >= 0) & (values <= 1)).all():
        wrong = values[~((values >= 0) & (values <= 1))][0]
        raise DataError(f"{patches.path}: targets must be probabilities from 0 to 1; got {wrong}")
    return replace(patches, table=patches.table.assign(**{TARGET: values}))


def without_targets(patches: PatchSet) -> PatchSet:
    """Remove them: validation uses labels."""
    return replace(patches, table=patches.table.drop(columns=TARGET, errors="ignore"))


class SoftAccuracy(keras.metrics.MeanMetricWrapper):
    """Accuracy against targets that are rounded to 0 or 1."""

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(_rounded_accuracy, name=name)


class SoftAuc(keras.metrics.AUC):
    """AUC of P(tumour), the last column, against targets that are rounded to 0 or 1."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        super().update_state(ops.cast(y_true[..., -1:] >= 0.5, "float32"), y_pred[..., -1:], sample_weight)


def _rounded_accuracy(y_true: Any, y_pred: Any) -> Any:
    return ops.cast(ops.equal(y_true[..., -1] >= 0.5, y_pred[..., -1] >= 0.5), "float32")
