"""Sanity checks of attribution maps."""

import keras
import numpy as np
import pytest

from sentinode import load_run, open_patches
from sentinode.explanation.sanity import FRACTIONS, SanityChecks, central_share, randomized
from sentinode.inference.logits import logit_model, tumour_logit


@pytest.fixture(scope="module")
def brightness() -> keras.Model:
    inputs = keras.Input((96, 96, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Flatten()(keras.layers.Cropping2D(((0, 0), (0, 48)))(x))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="probability")(x))
    count = 96 * 48 * 3
    model.set_weights([np.full((count, 1), 40 / count, np.float32), np.array([-25.0], np.float32)])
    return model


def test_ordered_deletion_changes_the_probability_faster_than_random_deletion(brightness: keras.Model):
    checks = SanityChecks.measure(
        brightness, open_patches("pcam-mini", split="test").read([0, 50, 150]), "integrated-gradients"
    )
    assert (checks.deletion_gain > 0).all()
    assert (checks.insertion_gain > 0).all()


def test_equal_weights_stay_correlated_when_randomized(brightness: keras.Model):
    checks = SanityChecks.measure(brightness, open_patches("pcam-mini", split="test").read([0]), "integrated-gradients")
    assert checks.randomization_correlation[0] == pytest.approx(1)


@pytest.mark.slow
def test_a_network_with_shuffled_weights_still_answers():
    model, pixels = load_run("d4net-m").model, open_patches("pcam-mini", split="test").read(range(0, 400, 40))
    logits = [tumour_logit(logit_model(randomized(model, pixels, seed)).predict_on_batch(pixels)) for seed in range(3)]
    assert all(np.std(each) > 0.1 for each in logits)


def test_curves_start_and_end_at_the_whole_patch_and_its_mean_color(brightness: keras.Model):
    checks = SanityChecks.measure(brightness, open_patches("pcam-mini", split="test").read([0, 50]), "occlusion")
    assert checks.deletion.shape == (2, len(FRACTIONS))
    for curve, drawn in ((checks.deletion, checks.deletion_random), (checks.insertion, checks.insertion_random)):
        np.testing.assert_allclose(curve[:, [0, -1]], drawn[:, [0, -1]], rtol=1e-5)
    np.testing.assert_allclose(checks.deletion[:, 0], checks.insertion[:, -1], rtol=1e-5)
    np.testing.assert_allclose(checks.deletion_gain, (checks.deletion_random - checks.deletion).mean(axis=1))


def test_checks_of_a_constant_map_are_undefined():
    model = keras.Sequential(
        [keras.Input((96, 96, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros"))
    checks = SanityChecks.measure(model, open_patches("pcam-mini", split="test").read([0]), "integrated-gradients")
    assert all(np.isnan(each).all() for each in checks.values.values())


def test_central_share_of_simple_maps():
    inside, outside = np.zeros((96, 96)), np.zeros((96, 96))
    inside[32:64, 32:64], outside[:32] = 1, 1
    np.testing.assert_array_equal(central_share(np.stack([inside, outside, -inside])), [1, 0, np.nan])
