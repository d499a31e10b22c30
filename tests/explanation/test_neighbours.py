"""Nearest training patches, on real patches."""

import numpy as np
import pytest

from sentinode import load_run, open_patches
from sentinode.explanation import neighbours
from sentinode.explanation.neighbours import nearest_training_patches
from sentinode.layers.d4 import apply_symmetry


@pytest.fixture(scope="module")
def flagship():
    return load_run("d4net-m")


@pytest.fixture(scope="module")
def train(mini):
    return mini.split("train").select(range(0, 1080, 15))


def turned(patches, symmetry, folder):
    """The same patches in another orientation, as a set of their own."""
    np.save(folder / "turned.npy", apply_symmetry(patches.read(), symmetry))
    return open_patches(folder / "turned.npy").cached(folder)


def test_a_turned_training_patch_has_itself_as_its_neighbour(flagship, train, tmp_path) -> None:
    """At no distance: the network does not see a difference."""
    few = train.select([3, 14, 30])
    found = nearest_training_patches(flagship, train, turned(few, 5, tmp_path), count=2)
    first = found.table.groupby("id", sort=False).first()
    assert first["neighbour"].tolist() == few.table["id"].tolist()
    assert first["distance"].to_numpy() == pytest.approx(0, abs=1e-3)
    assert found.among == len(train)
    np.testing.assert_array_equal(found.patches.read()[::2], few.read())


def test_a_patch_is_no_neighbour_of_itself(flagship, train) -> None:
    """A copy says nothing."""
    few = train.select([3, 14])
    found = nearest_training_patches(flagship, train, few, count=3)
    assert not (found.table["id"] == found.table["neighbour"]).any()
    assert found.table["id"].value_counts().tolist() == [3, 3]
    assert found.table.groupby("id")["distance"].apply(lambda its: its.is_monotonic_increasing).all()


def test_fewer_training_patches_than_asked_for_are_all_named(flagship, train) -> None:
    """Each once."""
    found = nearest_training_patches(flagship, train.select([1, 2, 3]), train.select([1]), count=5)
    assert len(found.table) == 2


def test_patches_that_were_not_trained_on_are_no_neighbours(tiny_run, mini) -> None:
    """Without any there is nothing to show."""
    test = mini.split("test")
    assert nearest_training_patches(tiny_run, test, test.select([0])) is None
    found = nearest_training_patches(tiny_run, mini, test.select([0]))
    assert set(found.table["neighbour"]) <= set(mini.split("train").table["id"])


def test_of_many_training_patches_some_are_drawn(flagship, train, monkeypatch) -> None:
    """The same ones for the same seed."""
    monkeypatch.setattr(neighbours, "AMONG", 20)
    shown = train.select([0])
    one, same, other = (nearest_training_patches(flagship, train, shown, seed=seed) for seed in (0, 0, 1))
    assert one.among == 20
    assert one.table.equals(same.table)
    assert not one.table.equals(other.table)
