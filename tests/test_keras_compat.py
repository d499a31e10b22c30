"""Faster layers and Muon: the same network and the same training; written against one range of Keras versions."""

import keras
import numpy as np
import pytest
from keras import layers

from sentinode import TrainConfig, build_model
from sentinode.explanation.model_split import split_at_last_feature_map
from sentinode.export.network import exported_network
from sentinode.inference.features import feature_model
from sentinode.inference.logits import logit_model
from sentinode.keras_compat.graph import flatten_layers
from sentinode.keras_compat.optimizers import Muon
from sentinode.keras_compat.training_speed import activation_after_pooling, fused_batch_normalization
from sentinode.models.precision import mixed_precision
from sentinode.training.recipe.compile import compile_model

pytestmark = pytest.mark.slow


def step(model, x, y):
    model.compile(keras.optimizers.SGD(0.01, momentum=0.95), "binary_crossentropy")
    before = model.get_weights()
    loss = model.train_on_batch(x, y)
    return float(loss), [after - was for after, was in zip(model.get_weights(), before, strict=True)]


def with_biases():
    model = build_model("cnn", seed=1)
    for name in ("conv_1", "conv_2"):
        bias = model.get_layer(name).bias
        bias.assign(np.linspace(-0.1, 0.1, bias.shape[0]))
    return model


def test_a_network_made_of_layers_of_another_one_has_its_own_logits_features_and_maps(mini):
    """`layer.input` is that of the first use: it would lead into the other network."""
    first = build_model("cnn", seed=1)
    x = 0.5 * layers.Rescaling(1 / 255)(first.inputs[0])
    for layer in first.layers[1:]:
        x = layer(x)
    model, pixels = keras.Model(first.inputs[0], x), mini.read(range(4))
    expected = model.predict_on_batch(pixels)
    assert not np.allclose(expected, first.predict_on_batch(pixels), atol=1e-3)
    logits = -np.log(1 / expected - 1)
    np.testing.assert_allclose(logit_model(model).predict_on_batch(pixels), logits, atol=1e-4)
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(feature_model(model).predict_on_batch(pixels) @ kernel + bias, logits, atol=1e-4)
    split = split_at_last_feature_map(model)
    np.testing.assert_allclose(split.after.predict_on_batch(split.before.predict_on_batch(pixels)), logits, atol=1e-4)
    np.testing.assert_allclose(exported_network(model).predict_on_batch(pixels), expected, atol=1e-4)


def test_a_step_with_activation_after_pooling_is_the_same(mini):
    x, y = mini.read(range(16)), mini.labels[:16].astype(np.float32)[:, None]
    loss, changes = step(with_biases(), x, y)
    model = with_biases()
    with activation_after_pooling(model):
        other_loss, other_changes = step(model, x, y)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    for change, other in zip(changes, other_changes, strict=True):
        assert np.abs(change).max() > 0
        np.testing.assert_allclose(other, change, rtol=1e-4, atol=1e-7)


def test_activation_after_pooling_is_undone(mini):
    model = build_model("cnn")
    before, said = model.to_json(), model.predict(mini.read(range(8)), verbose=0)
    with activation_after_pooling(model):
        assert model.get_layer("conv_2").activation is keras.activations.linear
        assert not model.get_layer("conv_2").use_bias
    assert model.to_json() == before
    assert "call" not in vars(model.get_layer("pool_1"))
    model.make_predict_function(force=True)
    assert np.array_equal(model.predict(mini.read(range(8)), verbose=0), said)


def test_other_activations_poolings_and_models_are_left_alone():
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(2, 3, activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Conv2D(2, 3, activation="relu", name="then_mean"),
            layers.AveragePooling2D(2),
        ]
    )
    functional = build_model("transfer")
    with activation_after_pooling(model), activation_after_pooling(functional):
        assert model.layers[0].activation is keras.activations.tanh
        assert model.get_layer("then_mean").activation is keras.activations.relu
        assert not any("call" in vars(layer) for layer in (*model.layers, *functional.layers))


def test_layers_that_are_used_twice_or_penalized_are_left_alone(mini):
    conv, pool = layers.Conv2D(3, 3, activation="relu", padding="same"), layers.MaxPooling2D(2)
    shared = keras.Sequential([keras.Input((12, 12, 3)), conv, pool, conv, pool])
    penalized = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(2, 3, activation="relu", activity_regularizer="l1"),
            layers.MaxPooling2D(2),
        ]
    )
    for model in (shared, penalized):
        with activation_after_pooling(model):
            assert model.layers[0].activation is keras.activations.relu
            assert not any("call" in vars(layer) for layer in model.layers)


FUSES = keras.backend.backend() != "jax"  # Its compiler does, and layers are left alone.


def with_offsets(name, **options):
    """A network whose normalizations scale, shift and remember something, as after some training."""
    model = build_model(name, seed=1, **options)
    rng = np.random.default_rng(0)
    for layer in flatten_layers(model):
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


def smooth():
    """Three normalizations one behind the other, and nothing with a kink: rounding stays rounding."""
    model = keras.Sequential([keras.Input((24, 24, 3))], name="smooth")
    for filters in (8, 12, 16):
        model.add(layers.Conv2D(filters, 3, use_bias=False))
        model.add(layers.BatchNormalization(scale=filters != 12, center=filters != 16, momentum=0.9))
        model.add(layers.Activation("tanh"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(1, "sigmoid"))
    return model


def test_a_step_with_fused_normalization_is_the_same():
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
        assert np.abs(other - change).max() <= 1e-4 * np.abs(change).max() + 1e-6


@pytest.mark.parametrize(
    ("name", "options"), [("resnet18", {"width": 8}), ("transfer", {"backbone": "MobileNetV2", "dropout": 0.0})]
)
def test_loss_and_moving_statistics_are_the_same_in_real_networks(mini, name, options):
    x, y = mini.read(range(16)), mini.labels[:16].astype(np.float32)[:, None]
    model, other = with_offsets(name, **options), with_offsets(name, **options)
    loss, _ = step(model, x, y)
    with fused_batch_normalization(other):
        assert sum("call" in vars(layer) for layer in flatten_layers(other)) >= (18 if FUSES else 0)
        assert step(other, x, y)[0] == pytest.approx(loss, rel=1e-4)
    for one, two in zip(model.non_trainable_variables, other.non_trainable_variables, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-3)


def test_fused_normalization_works_in_bfloat16(mini):
    x, y = mini.read(range(16)), mini.labels[:16].astype(np.float32)[:, None]
    found = []
    for precision in ("float32", "bfloat16"):
        model = with_offsets("resnet18", width=8)
        with mixed_precision(model, precision), fused_batch_normalization(model):
            found.append(step(model, x, y)[0])
        assert all(weight.dtype == "float32" for weight in model.weights)
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_fused_normalization_is_undone(mini):
    model = with_offsets("resnet18", width=8)
    before, said = model.to_json(), model.predict(mini.read(range(8)), verbose=0)
    with fused_batch_normalization(model):
        assert np.array_equal(model.predict(mini.read(range(8)), verbose=0), said)
        assert ("call" in vars(model.get_layer("conv_1_norm"))) == FUSES
    assert "call" not in vars(model.get_layer("conv_1_norm"))
    assert model.to_json() == before


def test_a_frozen_normalization_keeps_its_statistics(mini):
    model = with_offsets("resnet18", width=8)
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
def test_whole_numbers_and_one_value_a_channel_are_normalized_as_by_keras(shape):
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


def muon_step(shape, seed=0, rate=0.1, weight_decay=0.0, gradient=None, start=None):
    """Return what one step takes off a kernel, as float64."""
    given = np.random.default_rng(seed).normal(size=shape) if gradient is None else gradient
    kernel = keras.Variable(np.zeros(shape) if start is None else start, dtype="float32")
    before = keras.ops.convert_to_numpy(kernel).astype(float)
    Muon(rate, momentum=0.9, weight_decay=weight_decay).apply([keras.ops.convert_to_tensor(given, "float32")], [kernel])
    return before - keras.ops.convert_to_numpy(kernel).astype(float)


@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (72, 4, 16), (40, 8), (8, 40)])
def test_a_muon_step_has_equal_singular_values(shape):
    gradient = np.random.default_rng(1).normal(size=shape) * np.geomspace(1, 5, shape[-1])
    lengths = np.linalg.svd(muon_step(shape, gradient=gradient).reshape(-1, shape[-1]), compute_uv=False)
    assert lengths.min() > 0.05 and lengths.max() < 0.13  # 0.1, as near as four iterations come.


def test_a_muon_step_points_along_the_gradient():
    gradient = np.random.default_rng(2).normal(size=(36, 6))
    left, _, right = np.linalg.svd(gradient, full_matrices=False)
    ideal, taken = left @ right, muon_step((36, 6), gradient=gradient)
    assert np.sum(ideal * taken) / (np.linalg.norm(ideal) * np.linalg.norm(taken)) > 0.97


def test_a_muon_step_does_not_depend_on_the_scale_of_the_gradient():
    gradient = np.random.default_rng(3).normal(size=(3, 3, 4, 8))
    np.testing.assert_allclose(
        muon_step((3, 3, 4, 8), gradient=gradient), muon_step((3, 3, 4, 8), gradient=1e-3 * gradient), atol=1e-4
    )


@pytest.mark.parametrize("shape", [(16,), (64, 1), (64, 2)])
def test_biases_and_outputs_take_the_steps_of_adam(shape):
    np.testing.assert_allclose(np.abs(muon_step(shape)), 0.1 * 0.03, rtol=1e-3)


def test_weight_decay_is_scaled_by_the_learning_rate():
    start = np.ones((8, 8))
    plain = muon_step((8, 8), start=start)
    np.testing.assert_allclose(muon_step((8, 8), start=start, weight_decay=0.5) - plain, 0.1 * 0.5, rtol=2e-2)


@pytest.mark.parametrize("name", ["cnn", "d4net"])
def test_a_network_learns_with_it(name):
    keras.utils.set_random_seed(0)
    model = build_model(name)
    compile_model(model, TrainConfig(optimizer="muon", learning_rate=0.05, weight_decay=0.1), steps_per_epoch=20)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3), dtype=np.uint8)
    labels = np.arange(16).reshape(-1, 1) % 2
    pixels[labels[:, 0] == 1] //= 2
    first = model.evaluate(pixels, labels, verbose=0)[0]
    model.fit(pixels, labels, epochs=20, verbose=0, shuffle=False)
    assert model.history.history["loss"][-1] < first / 2
