"""Translate settings to Keras: optimizer, schedule, loss, metrics, faster layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from sentinode.errors import ModelError
from sentinode.keras_compat.optimizers import Muon, keep_average_separate
from sentinode.keras_compat.training_speed import activation_after_pooling, fused_batch_normalization
from sentinode.models.precision import mixed_precision
from sentinode.training.config import TrainConfig
from sentinode.training.recipe.soft_targets import SoftAccuracy, SoftAuc

# The moving average of the weights covers at most this part of a training run. Otherwise the average of a short run
# would consist mostly of its initial weights.
EMA_SPAN = 0.1

_LOSSES = {
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_focal_crossentropy": keras.losses.BinaryFocalCrossentropy,
    # Keras' default of 0.25 would make the loss a quarter of that of a sigmoid output, which has no such factor.
    "categorical_focal_crossentropy": partial(keras.losses.CategoricalFocalCrossentropy, alpha=1.0),
}


def compile_model(
    model: keras.Model, config: TrainConfig, steps_per_epoch: int, labels: bool = True, soft: bool = False
) -> None:
    """Compile a model in place.

    Parameters
    ----------
    model : keras.Model
        With one sigmoid or two softmax units.
    config : TrainConfig
        The defaults result in exactly ``SGD(0.01, momentum=0.95)``, cross-entropy and accuracy.
    steps_per_epoch : int
        For the schedule of the learning rate.
    labels : bool, default True
        False to train on the losses that layers add instead of the loss to the labels.
    soft : bool, default False
        Whether targets are probabilities, which metrics round.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> compile_model(model, TrainConfig(), steps_per_epoch=10)
    >>> model.loss
    'binary_crossentropy'
    """
    optimizer, outputs = _optimizer(config, steps_per_epoch), output_count(model)
    if config.weight_decay:
        # Biases and normalization parameters do not overfit.
        optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    keep_average_separate(optimizer)
    model.compile(
        optimizer=optimizer,
        loss=_loss(config, outputs),
        loss_weights=None if labels else [0.0],
        metrics=[_metric(name, outputs, soft) for name in config.metrics],
    )


def _metric(name: str, outputs: int, soft: bool) -> Any:
    if name == "accuracy":
        return SoftAccuracy(name) if soft else name
    # Keras' own AUC pools the two columns of a softmax output.
    return (SoftAuc if soft or outputs == 2 else keras.metrics.AUC)(name="auc")


def output_count(model: keras.Model) -> int:
    """Return the number of output units: 1 for a sigmoid, 2 for a softmax.

    Raises
    ------
    ModelError
        The model has another output shape.
    """
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] not in (1, 2):
        raise ModelError(f"model {model.name!r} has the output shape {shape}; expected (None, 1) or (None, 2)")
    return int(shape[1])


def _optimizer(config: TrainConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    common: dict[str, Any] = {
        "learning_rate": _learning_rate(config, steps_per_epoch),
        "weight_decay": config.weight_decay or None,
        "name": config.optimizer,  # Keras' default names contain a counter of the process.
        "use_ema": bool(config.ema),
        "ema_momentum": _ema_momentum(config, config.epochs * steps_per_epoch) if config.ema else 0.99,
    }
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=config.momentum, nesterov=config.nesterov, **common)
    if config.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(momentum=config.momentum, **common)
    if config.optimizer == "adamw":
        # Overrides Keras' default of 0.004.
        return keras.optimizers.AdamW(**{**common, "weight_decay": config.weight_decay})
    if config.optimizer == "muon":
        return Muon(momentum=config.momentum, **{**common, "weight_decay": config.weight_decay})
    return {"adam": keras.optimizers.Adam, "nadam": keras.optimizers.Nadam}[config.optimizer](**common)


def _ema_momentum(config: TrainConfig, steps: int) -> float:
    return max(0.0, min(config.ema, 1 - 1 / (EMA_SPAN * steps)))


def _learning_rate(config: TrainConfig, steps_per_epoch: int) -> Any:
    steps = config.epochs * steps_per_epoch
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps - 1)
    if config.schedule == "linear":
        return WarmupLinear(config.learning_rate, warmup, steps)
    if config.schedule == "cosine":
        if not warmup:
            return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
        return keras.optimizers.schedules.CosineDecay(
            0.0, steps - warmup, warmup_target=config.learning_rate, warmup_steps=warmup
        )
    return config.learning_rate


class WarmupLinear(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from zero, then linear decay to zero.

    Parameters
    ----------
    largest : float
        Learning rate after the warm-up.
    warmup, steps : int
        Steps of the warm-up, and in all.

    Examples
    --------
    >>> [round(float(WarmupLinear(1.0, 2, 6)(step)), 2) for step in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """

    def __init__(self, largest: float, warmup: int, steps: int) -> None:
        self.largest, self.warmup, self.steps = largest, warmup, steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        step = keras.ops.cast(step, "float32")
        falling = (self.steps - step) / (self.steps - self.warmup)
        return self.largest * keras.ops.minimum(step / self.warmup, falling) if self.warmup else self.largest * falling

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"largest": self.largest, "warmup": self.warmup, "steps": self.steps}


def logit_loss(config: TrainConfig, outputs: int) -> keras.losses.Loss:
    """Create the loss of `compile_model` for outputs before sigmoid or softmax.

    Examples
    --------
    >>> float(logit_loss(TrainConfig(), outputs=1)([[1.0]], [[0.0]]))
    0.693147...
    """
    return _LOSSES[_loss_name(config, outputs)](label_smoothing=config.label_smoothing, from_logits=True)


def _loss_name(config: TrainConfig, outputs: int) -> str:
    kind = "binary" if outputs == 1 else "categorical"
    return f"{kind}_crossentropy" if config.loss == "crossentropy" else f"{kind}_focal_crossentropy"


def _loss(config: TrainConfig, outputs: int) -> Any:
    name = _loss_name(config, outputs)
    if config.loss == "crossentropy" and not config.label_smoothing:
        return name
    return _LOSSES[name](label_smoothing=config.label_smoothing)


@contextmanager
def accelerated(model: keras.Model, precision: str) -> Iterator[None]:
    """Train a model with faster, equivalent layers, and in bfloat16 if requested, while the block runs.

    Parameters
    ----------
    model : keras.Model
    precision : {"float32", "bfloat16"}
    """
    with mixed_precision(model, precision), activation_after_pooling(model), fused_batch_normalization(model):
        yield
