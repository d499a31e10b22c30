"""Whether an explanation can be believed."""

import keras
import numpy as np
import pytest

from sentinode import load_run, open_patches
from sentinode.explanation.sanity import SHARES, Trust, central_share, shuffled
from sentinode.inference.logits import logit_model, tumour_logit


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


def test_a_network_with_shuffled_weights_still_answers() -> None:
    """One that says the same of every patch would explain nothing, and be no control."""
    model, pixels = load_run("d4net-m").model, open_patches("pcam-mini", split="test").read(range(0, 400, 40))
    logits = [tumour_logit(logit_model(shuffled(model, pixels, seed)).predict_on_batch(pixels)) for seed in range(3)]
    assert all(np.std(each) > 0.1 for each in logits)


def test_curves_go_from_the_whole_patch_to_none_of_it(brightness: keras.Model) -> None:
    """And back; the order makes no difference to the ends."""
    trust = Trust.of(brightness, open_patches("pcam-mini", split="test").read([0, 50]), "occlusion")
    assert trust.deletion.shape == (2, len(SHARES))
    for curve, drawn in ((trust.deletion, trust.deletion_drawn), (trust.insertion, trust.insertion_drawn)):
        np.testing.assert_allclose(curve[:, [0, -1]], drawn[:, [0, -1]], rtol=1e-5)
    np.testing.assert_allclose(trust.deletion[:, 0], trust.insertion[:, -1], rtol=1e-5)
    np.testing.assert_allclose(trust.deletion_gain, (trust.deletion_drawn - trust.deletion).mean(axis=1))


def test_an_explanation_that_says_nothing_is_not_judged() -> None:
    """Neither as good nor as bad."""
    model = keras.Sequential(
        [keras.Input((96, 96, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros"))
    trust = Trust.of(model, open_patches("pcam-mini", split="test").read([0]), "integrated-gradients")
    assert all(np.isnan(each).all() for each in trust.figures.values())


def test_the_share_of_the_centre() -> None:
    """Everything, nothing, and not defined where nothing speaks for tumour."""
    inside, outside = np.zeros((96, 96)), np.zeros((96, 96))
    inside[32:64, 32:64], outside[:32] = 1, 1
    np.testing.assert_array_equal(central_share(np.stack([inside, outside, -inside])), [1, 0, np.nan])
