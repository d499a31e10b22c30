"""Whether an explanation can be believed."""

import keras
import numpy as np
import pytest

from sentinode import open_patches
from sentinode.explanation.sanity import Trust, central_share


@pytest.fixture(scope="module")
def brightness() -> keras.Model:
    """A network that asks how bright the left half is, and nothing else."""
    inputs = keras.Input((96, 96, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Flatten()(keras.layers.Cropping2D(((0, 0), (0, 48)))(x))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="probability")(x))
    count = 96 * 48 * 3
    model.set_weights([np.full((count, 1), 40 / count, np.float32), np.array([-25.0], np.float32)])
    return model


def test_hiding_what_matters_changes_the_answer_sooner(brightness: keras.Model) -> None:
    """Integrated gradients of a linear network are exact, so both ways must gain."""
    trust = Trust.of(brightness, open_patches("pcam-mini", split="test").read([0, 50, 150]), "integrated-gradients")
    assert (trust.deletion_gain > 0).all()
    assert (trust.insertion_gain > 0).all()


def test_shuffled_weights_that_are_all_alike_explain_alike(brightness: keras.Model) -> None:
    """Which the check says: an explanation that does not change is no evidence of learning."""
    trust = Trust.of(brightness, open_patches("pcam-mini", split="test").read([0]), "integrated-gradients")
    assert trust.randomised[0] == pytest.approx(1)


def test_the_share_of_the_centre() -> None:
    """Everything, nothing, and not defined where nothing speaks for tumour."""
    inside, outside = np.zeros((96, 96)), np.zeros((96, 96))
    inside[32:64, 32:64], outside[:32] = 1, 1
    np.testing.assert_array_equal(central_share(np.stack([inside, outside, -inside])), [1, 0, np.nan])
