"""The running mean of the weights, which jumps about less than they do and mostly predicts better."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Put the running mean in the place of the weights inside the block.

    Parameters
    ----------
    model
        Compiled. When its optimiser keeps no mean, nothing is changed.

    Examples
    --------
    >>> from sentinode import TrainConfig, build_model
    >>> from sentinode.training.compiling import compile_model
    >>> model = build_model("cnn")
    >>> compile_model(model, TrainConfig(ema=0.9), steps_per_epoch=1)
    >>> model.optimizer.build(model.trainable_variables)
    >>> with averaged_weights(model):
    ...     float(abs(model.get_layer("conv_1").kernel.numpy()).max())
    0.0
    """
    if not model.optimizer.use_ema:
        yield
        return
    weights = model.trainable_variables
    before = [keras.ops.copy(weight) for weight in weights]
    for weight, mean in zip(weights, model.optimizer._model_variables_moving_average, strict=True):
        weight.assign(mean)
    try:
        yield
    finally:
        for weight, kept in zip(weights, before, strict=True):
            weight.assign(kept)
