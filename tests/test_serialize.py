"""Dataclasses go to JSON and come back equal."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sentinode.errors import DataError
from sentinode.serialize import from_json, to_json
from sentinode.storage import read_json, write_json


@dataclass(frozen=True)
class Inner:
    low: float
    name: str | None = None


@dataclass(frozen=True)
class Outer:
    count: int
    pair: tuple[float, float]
    inners: tuple[Inner, ...]
    by_name: dict[str, list[Inner]]
    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    best: Inner | None
    place: Path
    rest: dict[str, object]
    hidden: str = field(default="", metadata={"json": False})


def outer(**changes):
    values = {
        "count": 3,
        "pair": (0.1, 1.0),
        "inners": (Inner(1.5), Inner(float("-inf"), "a")),
        "by_name": {"x": [Inner(2.0)]},
        "values": np.array([np.inf, 0.1, 1 / 3]),
        "counts": np.array([[1, 2], [3, 4]]),
        "best": None,
        "place": Path("a/b"),
        "rest": {"k": [1, None]},
        "hidden": "secret",
    }
    return Outer(**{**values, **changes})


@pytest.mark.parametrize("best", [None, Inner(float("inf"), "best")])
def test_a_nested_dataclass_round_trips_through_a_file(tmp_path, best):
    before = outer(best=best)
    write_json(tmp_path / "it.json", before)
    after = read_json(tmp_path / "it.json", Outer, hidden="secret")
    for name in ("count", "pair", "inners", "by_name", "best", "place", "rest", "hidden"):
        assert getattr(after, name) == getattr(before, name)
    for name in ("values", "counts"):
        first, second = getattr(before, name), getattr(after, name)
        assert np.array_equal(first, second) and first.dtype == second.dtype


def test_fields_excluded_from_json_are_not_written():
    assert "hidden" not in to_json(outer())


def test_numpy_and_python_numbers_are_written_identically():
    assert json.dumps(to_json({"a": np.float64(0.5), "b": np.int64(2), "c": np.bool_(True)})) == (
        '{"a": 0.5, "b": 2, "c": true}'
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "three"}, "Outer.count"),
        ({"count": True}, "Outer.count"),
        ({"pair": [1.0]}, "Outer.pair"),
        ({"values": ["a"]}, "Outer.values"),
        ({"inners": [{"name": "a"}]}, "Inner.low is missing"),
        ({"best": 3}, "Inner is a JSON object"),
    ],
)
def test_content_that_does_not_fit_is_refused_with_the_field_and_the_file(tmp_path, change, message):
    write_json(tmp_path / "it.json", {**to_json(outer()), **change})
    with pytest.raises(DataError, match=rf"it.json: .*{message}"):
        read_json(tmp_path / "it.json", Outer)


def test_unknown_keys_are_ignored():
    assert from_json(Inner, {"low": 1.0, "later": 2}) == Inner(1.0)


@pytest.mark.parametrize("value", [object(), float("nan"), np.array([1.0, np.nan])])
def test_values_without_a_json_form_are_refused(value):
    with pytest.raises((TypeError, ValueError), match="no form in JSON"):
        to_json({"a": value})
