"""The settings of a training run: names, defaults, allowed values and help texts.

The options of the command line, ``config.json`` and ``docs/commands.md`` are derived from `TrainConfig`.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from sentinode.errors import ConfigError
from sentinode.serialize import to_json
from sentinode.training.setting_checks import ClassWeight, check_setting, checked_class_weight

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "rmsprop", "muon")
SCHEDULES = ("constant", "cosine", "linear")
LOSSES = ("crossentropy", "focal")
METRICS = ("accuracy", "auc")
# The keys of `layers.augmentation.AUGMENTATIONS`; this module does not import Keras.
AUGMENTATIONS = ("symmetry", "affine", "blur", "stain", "brightness", "cutout")
PRECISIONS = ("float32", "bfloat16", "auto")

# Settings that differ from the defaults.
RECIPES: dict[str, dict[str, Any]] = {
    "classic": {},
    "flagship": {
        "deduplicate": True,
        "epochs": 20,
        "batch_size": 64,
        "optimizer": "muon",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 0.1,
        "schedule": "linear",
        "warmup_epochs": 2.0,
        "ema": 0.998,
        "augment": ("affine", "blur", "stain"),
        "augment_strength": 0.8,
        "label_smoothing": 0.02,
        "precision": "auto",
    },
}


def _setting(default: Any, help: str, **constraints: Any) -> Any:  # noqa: A002
    return field(default=default, metadata={"help": help, **constraints})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run. The defaults are the classic recipe.

    Parameters
    ----------
    train_split, valid_split : str
        Names of the splits to train and to validate on.
    deduplicate : bool
        Train on one of several identical patches.
    epochs : int
        Passes over the training patches.
    batch_size : int
        Patches per step, of all devices together.
    optimizer : {"sgd", "adam", "adamw", "nadam", "rmsprop", "muon"}
    learning_rate : float
        Largest learning rate of the schedule.
    momentum : float
        Momentum of sgd, rmsprop and muon.
    nesterov : bool
        Nesterov momentum (sgd).
    weight_decay : float
        Decoupled weight decay, multiplied by the learning rate. Not applied to biases and normalization parameters.
    schedule : {"constant", "cosine", "linear"}
        Learning rate schedule. Cosine and linear decay to zero.
    warmup_epochs : float
        Epochs of linear warm-up (cosine and linear).
    ema : float
        Momentum of an exponential moving average of the weights, which is validated and saved instead of them; 0 to
        use the weights themselves. Limited so that the average covers at most a tenth of the training.
    augment : tuple of {"symmetry", "affine", "blur", "stain", "brightness", "cutout"}
        Random augmentations.
    augment_strength : float
        Factor on the limits of all augmentations.
    loss : {"crossentropy", "focal"}
        Binary for a sigmoid output, categorical for a softmax output.
    label_smoothing : float
        No effect in knowledge distillation, where predictions replace the labels.
    metrics : tuple of {"accuracy", "auc"}
        Measured on the training patches.
    class_weight : dict of int to float, "balanced" or None
        Weight of each class in the loss, such as ``{0: 1, 1: 3}``. ``"balanced"`` weights each class by the inverse of
        its frequency.
    precision : {"float32", "bfloat16", "auto"}
        Numerical precision of the training. ``"auto"`` runs a short trial; see `choose_precision`.
    early_stopping : int
        Stop after this number of epochs without a lower validation loss; 0 to never stop.
    checkpoint_minutes : float
        Time between checkpoints within an epoch.
    seed : int
        Seed of the order of patches and of augmentation.

    Raises
    ------
    ConfigError
        A value is not allowed, or two settings contradict each other.

    Examples
    --------
    >>> TrainConfig(epochs=10).momentum
    0.95
    """

    train_split: str = _setting("train", "split to train on")
    valid_split: str = _setting("valid", "split for the choice of the best epoch and the threshold")
    deduplicate: bool = _setting(False, "train on one of several identical patches")
    epochs: int = _setting(3, "passes over the training patches", at_least=1)
    batch_size: int = _setting(32, "patches per step", at_least=1)
    optimizer: str = _setting("sgd", "optimizer", choices=OPTIMIZERS)
    learning_rate: float = _setting(0.01, "largest learning rate of the schedule", above=0)
    momentum: float = _setting(0.95, "momentum of sgd, rmsprop and muon", at_least=0, below=1)
    nesterov: bool = _setting(False, "Nesterov momentum (sgd)")
    weight_decay: float = _setting(
        0.0, "decoupled weight decay, times the learning rate; not applied to biases", at_least=0
    )
    schedule: str = _setting("constant", "learning rate schedule; cosine and linear decay to zero", choices=SCHEDULES)
    warmup_epochs: float = _setting(0.0, "epochs of linear warm-up (cosine and linear)", at_least=0)
    ema: float = _setting(
        0.0,
        "momentum of an exponential moving average of the weights, such as 0.998; the average is validated and saved "
        "in place of the weights, and covers at most a tenth of the training; 0: off",
        at_least=0,
        below=1,
    )
    augment: tuple[str, ...] = _setting((), "random augmentation", choices=AUGMENTATIONS)
    augment_strength: float = _setting(1.0, "factor on the limits of all augmentations", above=0)
    loss: str = _setting(
        "crossentropy", "loss; binary for a sigmoid output, categorical for a softmax output", choices=LOSSES
    )
    label_smoothing: float = _setting(0.0, "label smoothing; no effect with --teacher", at_least=0, below=1)
    metrics: tuple[str, ...] = _setting(("accuracy",), "metrics on the training patches", choices=METRICS)
    class_weight: ClassWeight = _setting(  # noqa: RUF009
        None, "weight of each class in the loss: none, balanced, or two numbers such as 1,3 for normal,tumour"
    )
    precision: str = _setting(
        "float32",
        "numerical precision of the training; auto tries bfloat16 for a few steps and uses it if it is faster and the "
        "validation loss is not higher",
        choices=PRECISIONS,
    )
    early_stopping: int = _setting(
        0, "stop after this number of epochs without a lower validation loss; 0: never", at_least=0
    )
    checkpoint_minutes: float = _setting(
        5.0, "minutes between checkpoints within an epoch; each epoch ends with one", at_least=0, may_change=True
    )
    seed: int = _setting(
        0,
        "random seed of the order of patches and of augmentation; on the command line, also of initial weights",
        at_least=0,
    )

    def __post_init__(self) -> None:
        for name in ("metrics", "augment"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "class_weight", checked_class_weight(self.class_weight))
        for each in fields(self):
            value = getattr(self, each.name)
            if getattr(value, "shape", None) == ():  # A number of NumPy, such as one of logspace.
                object.__setattr__(self, each.name, value.item())
        for setting in fields(self):
            value = getattr(self, setting.name)
            check_setting(setting, value)
            if isinstance(setting.default, float):  # Keras refuses an integer, such as a momentum of 0.
                object.__setattr__(self, setting.name, float(value))
        if self.train_split == self.valid_split:
            raise ConfigError(
                f"train_split and valid_split (--train-split, --valid-split) are both {self.train_split!r}; validate "
                "on another split"
            )
        if self.warmup_epochs and self.schedule == "constant":
            raise ConfigError("warmup_epochs needs schedule 'cosine' or 'linear'; got 'constant'")
        if self.warmup_epochs >= self.epochs:
            raise ConfigError(f"warmup_epochs must be less than epochs ({self.epochs}); got {self.warmup_epochs:g}")

    def class_weights(self, counts: tuple[int, int]) -> dict[int, float] | None:
        """Compute the weight of each class.

        Parameters
        ----------
        counts : tuple of int
            Numbers of normal and tumour patches.

        Returns
        -------
        dict of int to float, or None
            None when all classes have the same weight.

        Examples
        --------
        >>> TrainConfig(class_weight="balanced").class_weights((300, 100))
        {0: 0.6666666666666666, 1: 2.0}
        """
        if self.class_weight == "balanced":
            return {label: sum(counts) / (2 * max(count, 1)) for label, count in enumerate(counts)}
        return self.class_weight if isinstance(self.class_weight, dict) else None

    def differences(self, earlier: dict[str, Any]) -> list[str]:
        """Describe the settings that differ from those of an earlier training run and change its result.

        Parameters
        ----------
        earlier : dict
            Settings in the form of `to_json`.

        Returns
        -------
        list of str

        Examples
        --------
        >>> TrainConfig(epochs=10).differences(TrainConfig().to_json())
        ['epochs 3, now 10']
        """
        now = self.to_json()
        earlier = {**TrainConfig().to_json(), **earlier}  # Settings that were added later have their defaults.
        binding = [setting.name for setting in fields(self) if not setting.metadata.get("may_change")]
        return [f"{name} {earlier[name]!r}, now {now[name]!r}" for name in binding if earlier[name] != now[name]]

    def to_json(self) -> dict[str, Any]:
        """Return all settings as JSON values."""
        return dict(to_json(self))

    @classmethod
    def recipe(cls, name: str, **settings: Any) -> "TrainConfig":
        """Create settings from a recipe.

        Parameters
        ----------
        name : {"classic", "flagship"}
            The defaults, or the recipe for `d4net` (docs/flagship.md).
        **settings
            Settings that override the recipe.

        Raises
        ------
        ConfigError
            The recipe is unknown, or a value is not allowed.

        Examples
        --------
        >>> TrainConfig.recipe("flagship", epochs=5).optimizer
        'muon'
        """
        if name not in RECIPES:
            raise ConfigError(f"recipe must be one of {', '.join(RECIPES)}; got {name!r}")
        return cls(**{**RECIPES[name], **settings})

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "TrainConfig":
        """Create settings from the result of `to_json`.

        Raises
        ------
        ConfigError
            A setting is unknown, or its value is not allowed.
        """
        known = {setting.name for setting in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ConfigError(f"unknown settings: {', '.join(unknown)}; available: {', '.join(sorted(known))}")
        return cls(**settings)


def setting_flag(name: str) -> str:
    """Return the option of the command line for a setting, such as ``--batch-size`` for ``batch_size``."""
    return "--" + name.replace("_", "-")
