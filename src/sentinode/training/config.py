"""Every setting of a training, its default and its help text: the one place where they are defined.

The command line, ``config.json`` and ``docs/commands.md`` derive from it.
"""

from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

from sentinode.errors import ConfigError

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "rmsprop", "muon")
SCHEDULES = ("constant", "cosine", "linear")
LOSSES = ("crossentropy", "focal")
METRICS = ("accuracy", "auc")
# Of `layers.augmentation`, which needs Keras; this module does without.
AUGMENTATIONS = ("symmetry", "affine", "blur", "stain", "brightness", "cutout")
PRECISIONS = ("float32", "bfloat16", "auto")
# The settings that count where the last layer alone is fitted.
FROZEN_TOO = ("train_split", "valid_split", "frozen", "checkpoint_minutes", "seed")


# What a recipe sets; all else stays at its default.
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


def _setting(default: Any, help: str, **about: Any) -> Any:  # noqa: A002
    return field(default=default, metadata={"help": help, **about})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training; the defaults are the classic recipe.

    Raises
    ------
    ConfigError
        A value is not one that the setting can have.

    Examples
    --------
    >>> TrainConfig(epochs=10).momentum
    0.95
    """

    train_split: str = _setting("train", "split to learn from", flag="--train")
    valid_split: str = _setting("valid", "split to choose the best epoch and the threshold on", flag="--valid")
    deduplicate: bool = _setting(
        False, "learn from one of each patch's exact copies, so that none weighs more than others"
    )
    epochs: int = _setting(3, "passes over the training patches", at_least=1)
    batch_size: int = _setting(32, "patches a step", at_least=1)
    optimizer: str = _setting("sgd", "how weights follow the gradient", choices=OPTIMIZERS)
    learning_rate: float = _setting(0.01, "size of a step, at its largest", above=0)
    momentum: float = _setting(0.95, "part of the last step that is kept (sgd, rmsprop and muon)", at_least=0, below=1)
    nesterov: bool = _setting(False, "look ahead before the gradient is taken (sgd)")
    weight_decay: float = _setting(
        0.0, "part of each weight that is taken off a step, times the rate; biases are left alone", at_least=0
    )
    schedule: str = _setting("constant", "course of the learning rate; the others end at zero", choices=SCHEDULES)
    warmup_epochs: float = _setting(0.0, "epochs over which the rate rises from zero (cosine and linear)", at_least=0)
    ema: float = _setting(
        0.0,
        "keep a running mean of the weights, to validate and to save: the part that stays at every step, such as "
        "0.998, or less, so that a tenth of the training is remembered at most",
        at_least=0,
        below=1,
    )
    augment: tuple[str, ...] = _setting((), "change patches at random in training", choices=AUGMENTATIONS)
    augment_strength: float = _setting(1.0, "how far they are changed", above=0)
    loss: str = _setting("crossentropy", "binary for a sigmoid, categorical for a softmax", choices=LOSSES)
    label_smoothing: float = _setting(0.0, "how far targets are moved towards one half", at_least=0, below=1)
    metrics: tuple[str, ...] = _setting(("accuracy",), "measured while training", choices=METRICS)
    class_weight: str = _setting("none", "'none', 'balanced', or two numbers such as 1,3 for normal,tumour")
    precision: str = _setting(
        "float32",
        "of the arithmetic in training; auto measures once whether bfloat16 is faster and harmless",
        choices=PRECISIONS,
    )
    early_stopping: int = _setting(0, "stop after so many epochs without a better validation loss; 0 never", at_least=0)
    frozen: bool = _setting(
        False, "fit the last layer alone, by logistic regression on what the network makes of patches: takes seconds"
    )
    checkpoint_minutes: float = _setting(
        5.0, "minutes between checkpoints within an epoch; one is made after every epoch", at_least=0, may_change=True
    )
    seed: int = _setting(
        0, "fixes the order of patches; on the command line initial weights and dropout as well", at_least=0
    )

    def __post_init__(self) -> None:
        for name in ("metrics", "augment"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for setting in fields(self):
            _check_type(setting, getattr(self, setting.name))
            _check_value(setting.name, getattr(self, setting.name), setting.default, setting.metadata)
        if self.train_split == self.valid_split:
            raise ConfigError(f"train_split and valid_split are both {self.train_split!r}; validate on other patches")
        for name, values in (("metrics", self.metrics), ("augment", self.augment)):
            if len(set(values)) < len(values):
                raise ConfigError(f"{name} names one twice: {', '.join(values)}")
        if self.warmup_epochs and self.schedule == "constant":
            raise ConfigError("warmup_epochs needs schedule 'cosine' or 'linear'; got 'constant'")
        if self.warmup_epochs >= self.epochs:
            raise ConfigError(f"warmup_epochs must be less than epochs ({self.epochs}); got {self.warmup_epochs:g}")
        self.class_weights((1, 1))
        self._check_frozen()

    def _check_frozen(self) -> None:
        idle = [
            setting.name
            for setting in fields(self)
            if setting.name not in FROZEN_TOO and getattr(self, setting.name) != setting.default
        ]
        if self.frozen and idle:
            raise ConfigError(
                f"frozen fits the last layer by logistic regression, where {', '.join(idle)} would change nothing; "
                "leave it out"
            )

    def class_weights(self, counts: tuple[int, int]) -> dict[int, float] | None:
        """Return the weight of each class for patches of these counts, or None when all weigh the same.

        Examples
        --------
        >>> TrainConfig(class_weight="balanced").class_weights((300, 100))
        {0: 0.6666666666666666, 1: 2.0}
        """
        if self.class_weight == "none":
            return None
        if self.class_weight == "balanced":
            return {label: sum(counts) / (2 * max(count, 1)) for label, count in enumerate(counts)}
        try:
            normal, tumour = (float(part) for part in self.class_weight.split(","))
        except ValueError:
            normal = tumour = -1
        if not (0 < normal < float("inf") and 0 < tumour < float("inf")):
            raise ConfigError(
                f"class_weight must be 'none', 'balanced' or two numbers above 0 like 1,3; got {self.class_weight!r}"
            )
        return {0: normal, 1: tumour}

    def differences(self, before: dict[str, Any]) -> list[str]:
        """Say in words which settings differ from those of an earlier call in a way that changes the result.

        Examples
        --------
        >>> TrainConfig(epochs=10).differences(TrainConfig().to_json())
        ['epochs 3, now 10']
        """
        now = self.to_json()
        before = {**TrainConfig().to_json(), **before}  # A setting that came later is off by default.
        binding = [setting.name for setting in fields(self) if not setting.metadata.get("may_change")]
        return [f"{name} {before[name]!r}, now {now[name]!r}" for name in binding if before[name] != now[name]]

    def to_json(self) -> dict[str, Any]:
        """Return all settings as plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def recipe(cls, name: str, **settings: Any) -> "TrainConfig":
        """Make a config from a recipe, with some settings of your own.

        Parameters
        ----------
        name
            ``"classic"``: the defaults. ``"flagship"``: what `d4net` learns best with; see docs/flagship.md.
        settings
            Those that differ from it.

        Raises
        ------
        ConfigError
            No such recipe, or a value is not allowed.

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
        """Make a config from what `to_json` gave.

        Raises
        ------
        ConfigError
            A setting is not known, or its value is not allowed.
        """
        known = {setting.name for setting in fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ConfigError(f"unknown settings: {', '.join(unknown)}; this version knows {', '.join(sorted(known))}")
        return cls(**settings)


def _check_type(setting: Field[Any], value: Any) -> None:
    """Refuse values of another type; a whole number will do for a real one, and True is no number."""
    kind = type(setting.default)
    allowed = (int, float) if kind is float else kind
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", tuple: "several texts"}
    texts = all(isinstance(item, str) for item in value) if isinstance(value, tuple) else True
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool) or not texts:
        raise ConfigError(f"{setting.name} must be {words[kind]}; got {value!r}")


def _check_value(name: str, value: Any, default: Any, about: Any) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if "choices" in about and not ((values or not default) and set(values) <= set(about["choices"])):
        got = ", ".join(map(repr, values)) or "nothing"
        raise ConfigError(f"{name} must be one of {', '.join(about['choices'])}; got {got}")
    bounds = {
        "at_least": (lambda v, b: v >= b, "at least"),
        "above": (lambda v, b: v > b, "above"),
        "below": (lambda v, b: v < b, "below"),
    }
    for key, (holds, words) in bounds.items():
        # A comparison with NaN is false, so NaN is refused as well.
        if key in about and not (holds(value, about[key]) and value < float("inf")):
            raise ConfigError(f"{name} must be {words} {about[key]}; got {value}")
