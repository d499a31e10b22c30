"""Check the values of settings of a training run."""

import math
from dataclasses import Field
from typing import Any

from sentinode.errors import ConfigError

ClassWeight = dict[int, float] | str | None


def parse_class_weight(text: str) -> ClassWeight:
    """Parse the class weight of the command line.

    Parameters
    ----------
    text : str
        ``"none"``, ``"balanced"`` or two numbers such as ``"1,3"``.

    Raises
    ------
    ConfigError
        The text has another form.

    Examples
    --------
    >>> parse_class_weight("1,3")
    {0: 1.0, 1: 3.0}
    """
    if text in ("none", "balanced"):
        return None if text == "none" else text
    try:
        normal, tumour = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"class_weight (--class-weight) must be none, balanced or two numbers above 0 such as 1,3; got {text!r}"
        ) from None
    return checked_class_weight({0: normal, 1: tumour})


def checked_class_weight(value: Any) -> ClassWeight:
    """Check a class weight, and return it with its labels as integers.

    Parameters
    ----------
    value : dict, "balanced" or None
        Labels may be text, as in JSON.

    Raises
    ------
    ConfigError
        It is something else, or a weight is not above 0.
    """
    if value is None or value == "balanced":
        return value
    # The keys of a dictionary that was read from JSON are text.
    weights = {str(label): weight for label, weight in value.items()} if isinstance(value, dict) else {}
    numbers = all(isinstance(weight, (int, float)) and 0 < weight < math.inf for weight in weights.values())
    if set(weights) != {"0", "1"} or not numbers:
        raise ConfigError(
            "class_weight (--class-weight) must be None, 'balanced' or two weights above 0, such as {0: 1, 1: 3} "
            f"(1,3); got {value!r}"
        )
    return {0: float(weights["0"]), 1: float(weights["1"])}


def check_setting(setting: Field[Any], value: Any) -> None:
    """Check a value of one setting by itself; `TrainConfig` checks those that depend on each other as well.

    Parameters
    ----------
    setting : Field
        Of `TrainConfig`.
    value : object

    Raises
    ------
    ConfigError
        The value is not allowed.
    """
    if setting.name == "class_weight":
        checked_class_weight(value)
        return
    _check_type(setting, value)
    _check_value(setting.name, value, setting.default, setting.metadata)
    if isinstance(value, tuple) and len(set(value)) < len(value):
        raise ConfigError(f"{setting.name} lists a value twice: {', '.join(value)}")


def _check_type(setting: Field[Any], value: Any) -> None:
    kind = type(setting.default)
    allowed = (int, float) if kind is float else kind
    names = {int: "an integer", float: "a number", bool: "True or False", str: "a text", tuple: "a tuple of texts"}
    texts = all(isinstance(item, str) for item in value) if isinstance(value, tuple) else True
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool) or not texts:
        raise ConfigError(f"{setting.name} must be {names[kind]}; got {value!r}")


def _check_value(name: str, value: Any, default: Any, constraints: Any) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if "choices" in constraints and not ((values or not default) and set(values) <= set(constraints["choices"])):
        got = ", ".join(map(repr, values)) or "nothing"
        raise ConfigError(f"{name} must be one of {', '.join(constraints['choices'])}; got {got}")
    bounds = {
        "at_least": (lambda v, b: v >= b, "at least"),
        "above": (lambda v, b: v > b, "above"),
        "below": (lambda v, b: v < b, "below"),
    }
    for key, (holds, words) in bounds.items():
        # Comparisons with NaN are false, so NaN is refused as well.
        if key in constraints and not (holds(value, constraints[key]) and value < math.inf):
            raise ConfigError(f"{name} must be {words} {constraints[key]}; got {value}")
