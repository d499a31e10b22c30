"""The optimiser that makes steps alike in all directions of a kernel."""

import keras
import numpy as np
import pytest

from sentinode import TrainConfig, build_model
from sentinode.training.recipe.compile import compile_model
from sentinode.training.recipe.muon import Muon


def step(shape, seed=0, rate=0.1, weight_decay=0.0, gradient=None, start=None):
    """Return what one step takes off a kernel, as float64."""
    given = np.random.default_rng(seed).normal(size=shape) if gradient is None else gradient
    kernel = keras.Variable(np.zeros(shape) if start is None else start, dtype="float32")
    before = keras.ops.convert_to_numpy(kernel).astype(float)
    Muon(rate, momentum=0.9, weight_decay=weight_decay).apply([keras.ops.convert_to_tensor(given, "float32")], [kernel])
    return before - keras.ops.convert_to_numpy(kernel).astype(float)


@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (72, 4, 16), (40, 8), (8, 40)])
def test_a_step_has_one_length_in_all_directions(shape):
    gradient = np.random.default_rng(1).normal(size=shape) * np.geomspace(1, 5, shape[-1])
    lengths = np.linalg.svd(step(shape, gradient=gradient).reshape(-1, shape[-1]), compute_uv=False)
    assert lengths.min() > 0.05 and lengths.max() < 0.13  # 0.1, as near as four iterations come.


def test_a_step_points_where_the_gradient_does():
    gradient = np.random.default_rng(2).normal(size=(36, 6))
    left, _, right = np.linalg.svd(gradient, full_matrices=False)
    ideal, taken = left @ right, step((36, 6), gradient=gradient)
    assert np.sum(ideal * taken) / (np.linalg.norm(ideal) * np.linalg.norm(taken)) > 0.97


def test_the_size_of_the_gradient_does_not_matter():
    gradient = np.random.default_rng(3).normal(size=(3, 3, 4, 8))
    np.testing.assert_allclose(
        step((3, 3, 4, 8), gradient=gradient), step((3, 3, 4, 8), gradient=1e-3 * gradient), atol=1e-4
    )


@pytest.mark.parametrize("shape", [(16,), (64, 1), (64, 2)])
def test_biases_and_outputs_take_the_steps_of_adam(shape):
    np.testing.assert_allclose(np.abs(step(shape)), 0.1 * 0.03, rtol=1e-3)


def test_decay_takes_off_its_part_times_the_rate():
    start = np.ones((8, 8))
    plain = step((8, 8), start=start)
    np.testing.assert_allclose(step((8, 8), start=start, weight_decay=0.5) - plain, 0.1 * 0.5, rtol=2e-2)


@pytest.mark.parametrize("name", ["cnn", "d4net"])
def test_a_network_learns_with_it(name):
    keras.utils.set_random_seed(0)
    model = build_model(name)
    compile_model(model, TrainConfig(optimizer="muon", learning_rate=0.05, weight_decay=0.1), steps_per_epoch=10)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3), dtype=np.uint8)
    labels = np.arange(16).reshape(-1, 1) % 2
    pixels[labels[:, 0] == 1] //= 2
    first = model.evaluate(pixels, labels, verbose=0)[0]
    model.fit(pixels, labels, epochs=10, verbose=0, shuffle=False)
    assert model.test_on_batch(pixels, labels)[0] < first / 2 or model.history.history["loss"][-1] < first / 2
