"""From settings to Keras' own objects: optimiser, schedule, loss, metrics."""

from typing import Any

import keras

from sentinode.errors import ModelError
from sentinode.training.config import TrainConfig
from sentinode.training.recipe.muon import Muon

# How much of a training the running mean of the weights remembers, at most: in a shorter one the weights that it began
# with would be most of it.
REMEMBERED = 0.1

_LOSSES = {
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_focal_crossentropy": keras.losses.BinaryFocalCrossentropy,
    "categorical_focal_crossentropy": keras.losses.CategoricalFocalCrossentropy,
}


def compile_model(model: keras.Model, config: TrainConfig, steps_per_epoch: int, labels: bool = True) -> None:
    """Compile `model` in place as `config` says.

    Parameters
    ----------
    model
        With one sigmoid or two softmax outputs.
    config
        The defaults give exactly ``SGD(0.01, momentum=0.95)``, cross-entropy and accuracy.
    steps_per_epoch
        Batches an epoch: schedules count steps.
    labels
        False where losses that layers add take the place of that to the labels.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> compile_model(model, TrainConfig(), steps_per_epoch=10)
    >>> model.loss
    'binary_crossentropy'
    """
    optimizer = _optimizer(config, steps_per_epoch)
    if config.weight_decay:
        # Drawing biases and scales of a normalisation towards zero does not make a network simpler.
        optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    # The mean of the weights stays beside them, where Keras would put it in their place at the end of every `fit`.
    optimizer.finalize_variable_values = lambda variables: None
    model.compile(
        optimizer=optimizer,
        loss=_loss(config, output_count(model)),
        loss_weights=None if labels else [0.0],
        metrics=[name if name == "accuracy" else keras.metrics.AUC(name="auc") for name in config.metrics],
    )


def output_count(model: keras.Model) -> int:
    """Return 1 for a sigmoid and 2 for a softmax.

    Raises
    ------
    ModelError
        The model has another output.
    """
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] not in (1, 2):
        raise ModelError(f"model {model.name!r} gives {shape}, where (n, 1) or (n, 2) is expected")
    return int(shape[1])


def _optimizer(config: TrainConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    common: dict[str, Any] = {
        "learning_rate": _learning_rate(config, steps_per_epoch),
        "weight_decay": config.weight_decay or None,
        "name": config.optimizer,  # Keras would number it through the life of the process.
        "use_ema": bool(config.ema),
        "ema_momentum": _kept_a_step(config, config.epochs * steps_per_epoch) if config.ema else 0.99,
    }
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=config.momentum, nesterov=config.nesterov, **common)
    if config.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(momentum=config.momentum, **common)
    if config.optimizer == "adamw":
        # AdamW without decay is Adam; Keras' default of 0.004 would be a setting that nobody made.
        return keras.optimizers.AdamW(**{**common, "weight_decay": config.weight_decay})
    if config.optimizer == "muon":
        return Muon(momentum=config.momentum, **{**common, "weight_decay": config.weight_decay})
    return {"adam": keras.optimizers.Adam, "nadam": keras.optimizers.Nadam}[config.optimizer](**common)


def _kept_a_step(config: TrainConfig, steps: int) -> float:
    """Return the part of the running mean that stays at a step, so that it remembers `REMEMBERED` of all at most."""
    return max(0.0, min(config.ema, 1 - 1 / (REMEMBERED * steps)))


def _learning_rate(config: TrainConfig, steps_per_epoch: int) -> Any:
    steps = config.epochs * steps_per_epoch
    warmup = round(config.warmup_epochs * steps_per_epoch)
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
    """A rate that rises evenly from zero and then falls evenly back to zero.

    Parameters
    ----------
    largest
        The rate at the top.
    warmup, steps
        Steps until the top, and in all.

    Examples
    --------
    >>> [round(float(WarmupLinear(1.0, 2, 6)(step)), 2) for step in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """

    def __init__(self, largest: float, warmup: int, steps: int) -> None:
        self.largest, self.warmup, self.steps = largest, warmup, steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        step = keras.ops.cast(step, "float32")
        falling = (self.steps - step) / (self.steps - self.warmup)
        return self.largest * keras.ops.minimum(step / self.warmup, falling) if self.warmup else self.largest * falling

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"largest": self.largest, "warmup": self.warmup, "steps": self.steps}


def logit_loss(config: TrainConfig, outputs: int) -> keras.losses.Loss:
    """Return the loss that `compile_model` sets, for outputs before the sigmoid or softmax.

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
    if not config.label_smoothing:
        return name
    return _LOSSES[name](label_smoothing=config.label_smoothing)
