"""Fused normalisations: the same network, the same training."""

import keras
import numpy as np
import pytest
from keras import layers

from sentinode import build_model
from sentinode.models.precision import mixed_precision
from sentinode.training.recipe.fused_batch_normalization import fused_batch_normalization

FUSES = keras.backend.backend() != "jax"  # Its compiler does, and layers are left alone.


def step(model, x, y):
    model.compile(keras.optimizers.SGD(0.01, momentum=0.95), "binary_crossentropy")
    before = model.get_weights()
    loss = model.train_on_batch(x, y)
    return float(loss), [after - was for after, was in zip(model.get_weights(), before, strict=True)]


def with_offsets(name, **options):
    """A network whose normalisations scale, shift and remember something, as after some training."""
    model = build_model(name, seed=1, **options)
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


def smooth():
    """Three normalisations one behind the other, and nothing with a kink: rounding stays rounding."""
    model = keras.Sequential([keras.Input((24, 24, 3))], name="smooth")
    for filters in (8, 12, 16):
        model.add(layers.Conv2D(filters, 3, use_bias=False))
        model.add(layers.BatchNormalization(scale=filters != 12, center=filters != 16, momentum=0.9))
        model.add(layers.Activation("tanh"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(1, "sigmoid"))
    return model


def test_a_step_is_the_same():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 2, (16, 24, 24, 3)), rng.integers(0, 2, (16, 1))
    model = smooth()
    start = [rng.normal(0, 0.3, weight.shape) if weight.ndim > 1 else weight for weight in model.get_weights()]
    model.set_weights(start)
    loss, changes = step(model, x, y)
    model.set_weights(start)
    with fused_batch_normalization(model):
        other_loss, other_changes = step(model, x, y)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    for change, other in zip(changes, other_changes, strict=True):
        assert np.abs(change).max() > 0
        assert np.abs(other - change).max() <= 1e-4 * np.abs(change).max() + 1e-7


@pytest.mark.parametrize(
    ("name", "options"), [("resnet18", {"width": 4}), ("transfer", {"backbone": "MobileNetV2", "dropout": 0.0})]
)
def test_loss_and_what_is_kept_of_the_batch_are_the_same_in_real_networks(mini, name, options):
    x, y = mini.read(range(16)), mini.labels[:16].astype(np.float32)[:, None]
    model, other = with_offsets(name, **options), with_offsets(name, **options)
    loss, _ = step(model, x, y)
    with fused_batch_normalization(other):
        assert sum("call" in vars(layer) for layer in other._flatten_layers()) >= (18 if FUSES else 0)
        assert step(other, x, y)[0] == pytest.approx(loss, rel=1e-4)
    for one, two in zip(model.non_trainable_variables, other.non_trainable_variables, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-3)


def test_in_bfloat16_too(mini):
    x, y = mini.read(range(16)), mini.labels[:16].astype(np.float32)[:, None]
    found = []
    for precision in ("float32", "bfloat16"):
        model = with_offsets("resnet18", width=4)
        with mixed_precision(model, precision), fused_batch_normalization(model):
            found.append(step(model, x, y)[0])
        assert all(weight.dtype == "float32" for weight in model.weights)
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_the_model_is_as_before_afterwards(mini):
    model = with_offsets("resnet18", width=4)
    before, said = model.to_json(), model.predict(mini.read(range(8)), verbose=0)
    with fused_batch_normalization(model):
        assert np.array_equal(model.predict(mini.read(range(8)), verbose=0), said)
        assert ("call" in vars(model.get_layer("conv_1_norm"))) == FUSES
    assert "call" not in vars(model.get_layer("conv_1_norm"))
    assert model.to_json() == before


def test_a_frozen_normalisation_keeps_what_it_knows(mini):
    model = with_offsets("resnet18", width=4)
    norm = model.get_layer("conv_1_norm")
    norm.trainable = False
    kept = [keras.ops.convert_to_numpy(weight).copy() for weight in norm.weights]
    with fused_batch_normalization(model):
        step(model, mini.read(range(4)), mini.labels[:4].astype(np.float32)[:, None])
    assert all(np.array_equal(weight, was) for weight, was in zip(norm.weights, kept, strict=True))


def test_other_axes_and_vectors_are_left_alone():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.BatchNormalization(axis=1),
            layers.BatchNormalization(dtype="float64"),
            layers.Flatten(),
            layers.BatchNormalization(),
        ]
    )
    with fused_batch_normalization(model):
        assert not any("call" in vars(layer) for layer in model.layers)


def test_without_scale_or_offset():
    x = np.random.default_rng(0).normal(2, 3, (4, 5, 5, 2)).astype(np.float32)
    for options in ({"scale": False}, {"center": False}, {"scale": False, "center": False}):
        norm = layers.BatchNormalization(**options)
        model = keras.Sequential([keras.Input((5, 5, 2)), norm])
        expected = keras.ops.convert_to_numpy(norm(x, training=True))
        kept = [keras.ops.convert_to_numpy(weight).copy() for weight in norm.weights]
        norm.moving_mean.assign([0.0, 0.0])
        norm.moving_variance.assign([1.0, 1.0])
        with fused_batch_normalization(model):
            assert ("call" in vars(norm)) == FUSES
            np.testing.assert_allclose(keras.ops.convert_to_numpy(norm(x, training=True)), expected, atol=2e-5)
        for weight, was in zip(norm.weights, kept, strict=True):
            np.testing.assert_allclose(weight, was, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (3, 2, 2, 2)])
def test_whole_numbers_and_one_value_a_channel_are_normalised_as_by_keras(shape):
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for inputs in (x, x.astype(np.float32)):
        norm = layers.BatchNormalization()
        model = keras.Sequential([keras.Input(shape[1:], dtype=str(inputs.dtype)), norm])
        expected = keras.ops.convert_to_numpy(norm(inputs, training=True))
        kept = [keras.ops.convert_to_numpy(weight).copy() for weight in norm.weights]
        norm.moving_mean.assign([0.0, 0.0])
        norm.moving_variance.assign([1.0, 1.0])
        with fused_batch_normalization(model):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(norm(inputs, training=True)), expected, atol=1e-3)
        for weight, was in zip(norm.weights, kept, strict=True):
            np.testing.assert_allclose(weight, was, rtol=1e-5)
