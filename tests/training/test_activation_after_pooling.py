"""Bias and ReLU behind the pooling: the same network, the same training."""

import keras
import numpy as np
import pytest
from keras import layers

from sentinode import build_model
from sentinode.training.recipe.activation_after_pooling import activation_after_pooling


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


def test_a_step_is_the_same(mini):
    x, y = mini.read(range(16)), mini.labels[:16].astype(np.float32)[:, None]
    loss, changes = step(with_biases(), x, y)
    model = with_biases()
    with activation_after_pooling(model):
        other_loss, other_changes = step(model, x, y)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    for change, other in zip(changes, other_changes, strict=True):
        assert np.abs(change).max() > 0
        np.testing.assert_allclose(other, change, rtol=1e-4, atol=1e-7)


def test_the_model_is_as_before_afterwards(mini):
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


def test_layers_that_are_used_twice_or_penalised_are_left_alone(mini):
    conv, pool = layers.Conv2D(3, 3, activation="relu", padding="same"), layers.MaxPooling2D(2)
    shared = keras.Sequential([keras.Input((12, 12, 3)), conv, pool, conv, pool])
    penalised = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(2, 3, activation="relu", activity_regularizer="l1"),
            layers.MaxPooling2D(2),
        ]
    )
    for model in (shared, penalised):
        with activation_after_pooling(model):
            assert model.layers[0].activation is keras.activations.relu
            assert not any("call" in vars(layer) for layer in model.layers)
