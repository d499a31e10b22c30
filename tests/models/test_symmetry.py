"""Recognition of invariant networks."""

import keras
import numpy as np
import pytest

from sentinode import build_model
from sentinode.layers.d4 import D4Conv, D4Pool, apply_symmetry
from sentinode.models.build import MODELS
from sentinode.models.symmetry import is_symmetric


def small(*between, side: int = 12) -> keras.Model:
    """A network of a group convolution, some layers, and the two means."""
    layers = [keras.Input((side, side, 3)), D4Conv(2, 3, lift=True), *between]
    return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), D4Pool(), keras.layers.Dense(1)])


KEPT = {
    "nothing": [],
    "cropping": [keras.layers.Cropping2D(1)],
    "averages": [keras.layers.AveragePooling2D(2), keras.layers.ReLU(), D4Conv(1, 3)],
    "maxima that overlap": [keras.layers.MaxPooling2D(4, 2)],
}
LOST = {
    "a crop to one side": [keras.layers.Cropping2D(((1, 0), (0, 1)))],
    "a pooling that leaves out the last row": [keras.layers.MaxPooling2D(3)],
    "a pooling that is padded": [keras.layers.MaxPooling2D(3, 2, padding="same")],
    "an oblong pooling": [keras.layers.MaxPooling2D((5, 2), (1, 2))],
    "an ordinary convolution": [keras.layers.Conv2D(8, 3)],
    "a dense layer that mixes blocks": [keras.layers.Dense(16)],
}


def spread(model: keras.Model) -> float:
    """How far apart the eight orientations are."""
    x = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype(np.float32)
    said = np.array([keras.ops.convert_to_numpy(model(apply_symmetry(x, symmetry))) for symmetry in range(8)])
    return float(np.ptp(said, axis=0).max())


@pytest.mark.parametrize("name", KEPT)
def test_layers_that_keep_the_symmetry_are_known(name):
    model = small(*KEPT[name])
    assert is_symmetric(model)
    assert spread(model) < 1e-5


@pytest.mark.parametrize("name", LOST)
def test_layers_that_lose_it_are_known_too(name):
    model = small(*LOST[name])
    assert not is_symmetric(model)
    assert spread(model) > 1e-4


def test_a_network_without_orientation_pooling_is_not_symmetric():
    flat = keras.Sequential([keras.Input((5, 5, 3)), D4Conv(2, 3, lift=True), D4Pool(), keras.layers.Flatten()])
    assert not is_symmetric(flat)
    assert not is_symmetric(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))


def test_two_of_the_architectures_are_symmetric():
    assert {name for name in MODELS if is_symmetric(build_model(name))} == {"d4net", "p4m-densenet"}
