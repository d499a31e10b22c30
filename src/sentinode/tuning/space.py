"""The search space of a tuning: settings and model options with their values or ranges."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import Field, dataclass, fields
from typing import Any

from sentinode.errors import ConfigError
from sentinode.training.config import TrainConfig
from sentinode.training.setting_checks import check_setting, parse_class_weight

OPTION = "option."
_SETTINGS: dict[str, Field[Any]] = {setting.name: setting for setting in fields(TrainConfig)}


@dataclass(frozen=True)
class Values:
    """A setting and the values to try.

    Attributes
    ----------
    name : str
        A setting of `TrainConfig`, or ``option.`` followed by an option of the model.
    values : tuple
        Numbers, booleans or texts. A text such as ``stain+blur`` stands for several values of one setting.
    """

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A setting and the range of numbers to sample from.

    Attributes
    ----------
    name : str
        As in `Values`.
    low, high : float
        Bounds, both included.
    log : bool
        Whether to sample on a logarithmic scale.
    integer : bool
        Whether to sample integers only.
    """

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False


Dimension = Values | Range


def parse_dimension(text: str) -> Dimension:
    """Parse one dimension of the search space.

    Parameters
    ----------
    text : str
        ``NAME=A,B,C`` or ``NAME=LOW..HIGH``; append ``:log`` to a range to sample it on a logarithmic scale.

    Returns
    -------
    Values or Range

    Raises
    ------
    ConfigError
        The text has another form, the setting is unknown, or a value is not allowed.

    Examples
    --------
    >>> parse_dimension("learning_rate=0.001..0.1:log")
    Range(name='learning_rate', low=0.001, high=0.1, log=True, integer=False)
    >>> parse_dimension("batch_size=16,32").values
    (16, 32)
    >>> parse_dimension("option.dense_units=32,64").values
    (32, 64)
    """
    name, equals, given = text.partition("=")
    if not equals or not given:
        raise ConfigError(f"--search {text}: expected NAME=A,B,C or NAME=LOW..HIGH")
    if name in ("seed", "train_split", "valid_split"):
        raise ConfigError(f"--search {text}: {name} cannot be searched; the result would not hold for other data")
    if not name.startswith(OPTION) and name not in _SETTINGS:
        raise ConfigError(f"--search {text}: unknown setting {name!r}; available: {', '.join(_SETTINGS)}")
    bounds, _, scale = given.partition(":")
    low, high = map(_number, bounds.partition("..")[::2])
    if low is not None and high is not None:  # Otherwise the dots are part of a text, such as ../weights.h5.
        return _range(text, name, low, high, scale)
    values = tuple(_value(name, each) for each in given.split(","))
    for value in values:
        if isinstance(value, list | dict):
            raise ConfigError(f"--search {text}: {json.dumps(value)} is not a number, a boolean, null or a text")
        _check(text, name, value)
    if len(set(values)) < len(values):
        raise ConfigError(f"--search {text}: lists a value twice")
    return Values(name, values)


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return float(text)
    return None


def _range(text: str, name: str, low: float, high: float, scale: str) -> Range:
    ordered = -math.inf < low < high < math.inf  # False for NaN.
    if scale not in ("", "log") or not ordered or (scale and low <= 0) or _kind(name) not in (None, int, float):
        raise ConfigError(
            f"--search {text}: expected LOW..HIGH, two numbers with LOW below HIGH, and LOW above 0 with :log"
        )
    for bound in (low, high):
        _check(text, name, bound)
    integer = isinstance(low, int) and isinstance(high, int) and _kind(name) is not float
    return Range(name, low, high, scale == "log", integer)


def _kind(name: str) -> type | None:
    """Return the type of a setting; None for an option of a model, whose type is not known."""
    return None if name.startswith(OPTION) else type(_SETTINGS[name].default)


def _value(name: str, text: str) -> Any:
    if name == "class_weight" or _kind(name) in (str, tuple):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check(text: str, name: str, value: Any) -> None:
    if not name.startswith(OPTION):
        try:
            check_setting(_SETTINGS[name], _setting(name, value))
        except ConfigError as error:
            raise ConfigError(f"--search {text}: {error}") from error


def _setting(name: str, value: Any) -> Any:
    """Convert a value of a dimension to that of the setting."""
    if _kind(name) is tuple:
        return () if value == "none" else tuple(str(value).split("+"))
    return parse_class_weight(str(value).replace("+", ",")) if name == "class_weight" else value


def settings_of(chosen: dict[str, Any], base: TrainConfig | None = None) -> tuple[TrainConfig, dict[str, Any]]:
    """Separate the values of a trial into settings and model options.

    Parameters
    ----------
    chosen : dict
        Values by the name of the dimension.
    base : TrainConfig, optional
        All other settings.

    Returns
    -------
    config : TrainConfig
    options : dict
        Options of the model.

    Raises
    ------
    ConfigError
        A value is not allowed together with the others.

    Examples
    --------
    >>> config, options = settings_of({"momentum": 0.8, "augment": "stain+blur", "option.size": "m"})
    >>> config.momentum, config.augment, options
    (0.8, ('stain', 'blur'), {'size': 'm'})
    """
    options = {name.removeprefix(OPTION): value for name, value in chosen.items() if name.startswith(OPTION)}
    settings = {name: _setting(name, value) for name, value in chosen.items() if not name.startswith(OPTION)}
    return TrainConfig.from_json({**(base or TrainConfig()).to_json(), **settings}), options


def check_search(space: Sequence[Dimension], trials: int | None, seeds: int) -> int:
    """Check a search space and its numbers of trials and seeds.

    Parameters
    ----------
    space : sequence of Values or Range
    trials : int or None
        None to try all combinations.
    seeds : int

    Returns
    -------
    int
        Number of trials.

    Raises
    ------
    ConfigError
        A setting or a value is listed twice, a number is below 1, or a range is searched without a number of trials.
    """
    names = [dimension.name for dimension in space]
    for dimension in space:
        if names.count(dimension.name) > 1:
            raise ConfigError(f"{dimension.name} is searched twice; combine its values in one --search")
        if isinstance(dimension, Values) and len(set(dimension.values)) < len(dimension.values):
            raise ConfigError(f"{dimension.name} lists a value twice")
    total = combinations(space) if trials is None else trials
    if total is None:
        raise ConfigError("a range has infinitely many values; set the number of --trials, or list the values")
    for name, number in (("trials", total), ("seeds", seeds)):
        if number < 1:
            raise ConfigError(f"{name} (--{name}) must be at least 1; got {number}")
    return total


def combinations(space: Sequence[Dimension]) -> int | None:
    """Count the combinations of a search space.

    Returns
    -------
    int or None
        None when the space contains a range.

    Examples
    --------
    >>> combinations([Values("momentum", (0.8, 0.9)), Values("batch_size", (16, 32, 64))])
    6
    """
    if any(isinstance(dimension, Range) for dimension in space):
        return None
    return math.prod(len(dimension.values) for dimension in space if isinstance(dimension, Values))
