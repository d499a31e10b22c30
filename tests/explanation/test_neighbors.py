"""Nearest training patches in feature space."""

import numpy as np
import pytest

from sentinode import load_run, open_patches
from sentinode.explanation import neighbors
from sentinode.explanation.neighbors import nearest_training_patches
from sentinode.layers.d4 import apply_symmetry


@pytest.fixture(scope="module")
def flagship():
    return load_run("d4net-m")


@pytest.fixture(scope="module")
def train(mini):
    return mini.split("train").select(range(0, 1080, 15))


def turned(patches, symmetry, folder):
    np.save(folder / "turned.npy", apply_symmetry(patches.read(), symmetry))
    return open_patches(folder / "turned.npy").cached(folder)


def test_the_nearest_neighbor_of_a_rotated_training_patch_is_that_patch(flagship, train, tmp_path):
    few = train.select([3, 14, 30])
    found = nearest_training_patches(flagship, train, turned(few, 5, tmp_path), count=2)
    first = found.table.groupby("id", sort=False).first()
    assert first["neighbor"].tolist() == few.table["id"].tolist()
    assert first["distance"].to_numpy() == pytest.approx(0, abs=1e-3)
    assert found.searched == len(train)
    np.testing.assert_array_equal(found.patches.read()[::2], few.read())


def test_copies_of_the_patch_are_excluded(flagship, train):
    few = train.select([3, 14])
    found = nearest_training_patches(flagship, train, few, count=3)
    assert not (found.table["id"] == found.table["neighbor"]).any()
    assert found.table["id"].value_counts().tolist() == [3, 3]
    assert found.table.groupby("id")["distance"].apply(lambda its: its.is_monotonic_increasing).all()


def test_few_training_patches_are_all_returned(flagship, train):
    found = nearest_training_patches(flagship, train.select([1, 2, 3]), train.select([1]), count=5)
    assert len(found.table) == 2


def test_only_training_patches_are_searched(tiny_run, mini):
    test = mini.split("test")
    assert nearest_training_patches(tiny_run, test, test.select([0])) is None
    found = nearest_training_patches(tiny_run, mini, test.select([0]))
    assert set(found.table["neighbor"]) <= set(mini.split("train").table["id"])


@pytest.mark.slow
def test_many_training_patches_are_sampled_by_seed(flagship, train, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_SEARCHED", 20)
    shown = train.select([0])
    one, same, other = (nearest_training_patches(flagship, train, shown, seed=seed) for seed in (0, 0, 1))
    assert one.searched == 20
    assert one.table.equals(same.table)
    assert not one.table.equals(other.table)
