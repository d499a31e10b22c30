"""Convert dataclasses to plain JSON values and back."""

import math
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sentinode.errors import DataError

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Convert a value to what `json.dumps` accepts.

    Dataclasses become dictionaries with one key per field, in the order of the fields. A field with the metadata
    ``{"json": False}`` is left out. Arrays, tuples and sets become lists, paths become text, and infinite numbers,
    which JSON lacks, become the text ``"Infinity"`` or ``"-Infinity"``, which `from_json` turns back.

    Parameters
    ----------
    value : object
        A dataclass instance, an array, a container or a plain value.

    Returns
    -------
    object
        Dictionaries, lists, text, numbers, booleans and None.

    Raises
    ------
    TypeError
        A value has no form in JSON.
    ValueError
        A number is NaN.

    Examples
    --------
    >>> from sentinode.metrics import Interval
    >>> to_json(Interval(0.9, 0.8, float("inf"), "Wilson", 200))
    {'estimate': 0.9, 'low': 0.8, 'high': 'Infinity', 'method': 'Wilson', 'patches': 200, 'clusters': None}
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if _of_numpy(type(value)):
        return to_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise ValueError("NaN has no form in JSON; use None for a value that is not known")
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (int, float)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_json(getattr(value, each.name)) for each in fields(value) if _in_json(each)}
    if isinstance(value, dict):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_json(each) for each in value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def from_json(kind: type[T], content: Any, **given: Any) -> T:
    """Build a dataclass from what `to_json` made of one.

    Parameters
    ----------
    kind : type
        The dataclass. The types of its fields say how to convert each value.
    content : object
        What was read from JSON. Keys without a field are ignored.
    **given : object
        Values of fields that are not in the JSON.

    Returns
    -------
    kind
        An instance equal to the one that was converted.

    Raises
    ------
    DataError
        A field is missing, or a value does not fit its type.

    Examples
    --------
    >>> from sentinode.metrics import Interval
    >>> from_json(Interval, to_json(Interval(0.9, 0.8, float("inf"), "Wilson", 200))).high
    inf
    """
    if not isinstance(content, dict):
        raise DataError(f"a {kind.__name__} is a JSON object; got {_shown(content)}")
    values = {}
    for name, hint, required in _fields_of(cast(Any, kind)):
        if name in given:
            values[name] = given[name]
        elif name in content:
            try:
                values[name] = _convert(hint, content[name])
            except (TypeError, ValueError) as error:
                raise DataError(f"{kind.__name__}.{name}: cannot be {_shown(content[name])} ({error})") from error
        elif required:
            raise DataError(f"{kind.__name__}.{name} is missing")
    return kind(**values)


def _in_json(field: Any) -> bool:
    return bool(field.metadata.get("json", True))


@cache
def _fields_of(kind: Any) -> list[tuple[str, Any, bool]]:
    hints = get_type_hints(kind)
    return [
        (each.name, hints[each.name], each.default is MISSING and each.default_factory is MISSING)
        for each in fields(kind)
        if each.init
    ]


def _convert(hint: Any, value: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return _convert_union(arguments, value)
    if is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]
    if _of_numpy(hint) or _of_numpy(origin):
        return _array(arguments, value)
    if origin is tuple:
        each = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        return tuple(_convert(kind, one) for kind, one in zip(each, value, strict=True))
    if origin is list:
        return [_convert(arguments[0], one) for one in value]
    if origin is dict:
        return {_convert(arguments[0], key): _convert(arguments[1], one) for key, one in value.items()}
    if hint in (float, int, str, bool, Path):
        return _scalar(hint, value)
    return value


def _convert_union(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and NoneType in kinds:
        return None
    errors: list[Exception] = []
    for kind in kinds:
        if kind is NoneType:
            continue
        try:
            return _convert(kind, value)
        except (TypeError, ValueError, DataError) as error:
            errors.append(error)
    raise errors[-1] if errors else TypeError("None is the only value")


def _of_numpy(kind: Any) -> bool:
    return getattr(kind, "__module__", "") == "numpy"  # The command line starts without importing NumPy.


def _array(arguments: tuple[Any, ...], value: Any) -> Any:
    import numpy as np

    kinds = get_args(arguments[1]) if len(arguments) > 1 else ()
    found = np.array(value, dtype=kinds[0] if kinds and isinstance(kinds[0], type) else None)
    if found.dtype.kind in "OU":
        raise TypeError("an array holds numbers")
    return found


def _scalar(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and not isinstance(value, bool) and isinstance(value, (int, float, str)):
        return float(value)
    if kind is float or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"expected {kind.__name__}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
