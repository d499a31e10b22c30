"""A small network that works on gray levels from 0 to 1, for all file formats."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression


def random_features(end: list[keras.layers.Layer]) -> keras.Model:
    """Return a convolution with random weights that does depend on the scale of its input, and the given end."""
    rng = np.random.default_rng(0)
    conv = keras.layers.Conv2D(24, 5, strides=3, activation="relu")
    model = keras.Sequential([keras.Input((96, 96, 3)), conv, keras.layers.GlobalAveragePooling2D(), *end])
    kernel = rng.normal(size=(5, 5, 3, 24)).astype(np.float32) / 4
    conv.set_weights([kernel, rng.normal(size=24).astype(np.float32)])
    return model


@pytest.fixture(scope="session")
def fitted(mini):
    """Kernel and bias of a logistic regression on the random features of patches scaled to 0…1."""
    train = mini.split("train")
    features = random_features([]).predict(train.read() / np.float32(255), verbose=0)
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    found = LogisticRegression(C=10, max_iter=2000).fit((features - mean) / std, train.labels)
    kernel = (found.coef_[0] / std).astype(np.float32)
    return kernel, np.float32(found.intercept_[0] - kernel @ mean)


@pytest.fixture(scope="session")
def network(fitted):
    """The network that ends in Dense(1, "sigmoid")."""
    dense = keras.layers.Dense(1, "sigmoid")
    model = random_features([dense])
    dense.set_weights([fitted[0][:, None], fitted[1][None]])
    return model


@pytest.fixture(scope="session")
def few(mini):
    return mini.split("test").select(range(0, 400, 10))


@pytest.fixture(scope="session")
def expected(network, few):
    """Its logits for a few patches."""
    kernel, bias = network.layers[-1].get_weights()
    features = keras.Model(network.inputs, network.layers[-2].output)
    return (features.predict(few.read() / np.float32(255), verbose=0) @ kernel + bias)[:, 0].astype(np.float64)
