"""What is searched: settings and options of a network, each with its values or its range."""

import json
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from sentinode.errors import ConfigError
from sentinode.training.config import TrainConfig

OPTION = "option."
_SETTINGS: dict[str, Field[Any]] = {setting.name: setting for setting in fields(TrainConfig)}


@dataclass(frozen=True)
class Values:
    """A few values to try.

    Attributes
    ----------
    name
        A setting of `TrainConfig`, or ``option.`` and an option of the network.
    values
        Numbers, truth values or texts; several texts that belong together are one text, joined by ``+``.
    """

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A stretch of numbers to draw from.

    Attributes
    ----------
    name
        As in `Values`.
    low, high
        Both may be drawn.
    log
        Whether factors are drawn evenly rather than differences.
    whole
        Whether only whole numbers are drawn.
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False


Dimension = Values | Range


def parse_dimension(text: str) -> Dimension:
    """Read ``NAME=A,B,C`` or ``NAME=LOW..HIGH``, with ``:log`` behind it for factors.

    Raises
    ------
    ConfigError
        Not of this form, no such setting, or values that the setting cannot have.

    Examples
    --------
    >>> parse_dimension("learning_rate=0.001..0.1:log")
    Range(name='learning_rate', low=0.001, high=0.1, log=True, whole=False)
    >>> parse_dimension("batch_size=16,32").values
    (16, 32)
    >>> parse_dimension("option.dense_units=32,64").values
    (32, 64)
    """
    name, equals, given = text.partition("=")
    if not equals or not given:
        raise ConfigError(f"--search {text}: NAME=A,B,C or NAME=LOW..HIGH is expected")
    if name in ("seed", "train_split", "valid_split"):
        raise ConfigError(f"--search {text}: {name} is not one to search; the result would fit it and nothing else")
    if not name.startswith(OPTION) and name not in _SETTINGS:
        raise ConfigError(f"--search {text}: there is no setting {name!r}; there are: {', '.join(_SETTINGS)}")
    if ".." in given:
        return _range(text, name, given)
    values = tuple(_value(name, each) for each in given.split(","))
    if len(set(values)) < len(values):
        raise ConfigError(f"--search {text}: it names a value twice")
    for value in values:
        _check(text, name, value)
    return Values(name, values)


def _range(text: str, name: str, given: str) -> Range:
    ends, _, how = given.partition(":")
    try:
        low, high = (json.loads(end) for end in ends.split(".."))
        whole = isinstance(low, int) and isinstance(high, int) and _kind(name) is not float
        if how not in ("", "log") or not low < high or (how and low <= 0) or _kind(name) not in (None, int, float):
            raise ValueError(given)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"--search {text}: LOW..HIGH with two numbers is expected, the first smaller; above 0 with :log"
        ) from error
    for end in (low, high):
        _check(text, name, end)
    return Range(name, low, high, how == "log", whole)


def _kind(name: str) -> type | None:
    """Return the type of a setting; None for an option of a network, which may be any."""
    return None if name.startswith(OPTION) else type(_SETTINGS[name].default)


def _value(name: str, text: str) -> Any:
    if _kind(name) in (str, tuple):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check(text: str, name: str, value: Any) -> None:
    """Let the settings themselves say what they cannot be."""
    if not name.startswith(OPTION):
        try:
            settings_of({name: value})
        except ConfigError as error:
            # What depends on another setting can only be told when all are known.
            if str(error).startswith(f"{name} must"):
                raise ConfigError(f"--search {text}: {error}") from error


def settings_of(chosen: dict[str, Any], base: TrainConfig | None = None) -> tuple[TrainConfig, dict[str, Any]]:
    """Put chosen values into settings; return these and the options of the network.

    Raises
    ------
    ConfigError
        A value is not one that the setting can have, beside the others.

    Examples
    --------
    >>> config, options = settings_of({"momentum": 0.8, "augment": "stain+blur", "option.size": "m"})
    >>> config.momentum, config.augment, options
    (0.8, ('stain', 'focus'), {'size': 'm'})
    """
    options = {name.removeprefix(OPTION): value for name, value in chosen.items() if name.startswith(OPTION)}
    settings = {name: value for name, value in chosen.items() if not name.startswith(OPTION)}
    for name, value in settings.items():
        if _kind(name) is tuple:
            settings[name] = () if value == "none" else tuple(str(value).split("+"))
    return TrainConfig.from_json({**(base or TrainConfig()).to_json(), **settings}), options


def combinations(space: Sequence[Dimension]) -> int | None:
    """Return how many combinations there are; None when a range is among them.

    Examples
    --------
    >>> combinations([Values("momentum", (0.8, 0.9)), Values("batch_size", (16, 32, 64))])
    6
    """
    count = 1
    for dimension in space:
        if isinstance(dimension, Range):
            return None
        count *= len(dimension.values)
    return count
