"""Kernels and responses of the first layer."""

import keras
import numpy as np
import pytest
from scipy.signal import correlate

from sentinode import build_model
from sentinode.errors import ModelError
from sentinode.explanation.first_layer import first_layer
from sentinode.layers.d4 import apply_symmetry


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)


def test_an_edge_kernel_responds_at_the_edge():
    model = build_model("cnn")
    layer = model.get_layer("conv_1")
    kernel, bias = layer.get_weights()
    kernel[..., 0] = np.array([-1, 0, 1], dtype=np.float32)[None, :, None]
    layer.set_weights([kernel, bias])
    patch = np.zeros((1, 96, 96, 3), dtype=np.uint8)
    patch[:, :, 40:] = 255
    found = first_layer(model, patch)
    np.testing.assert_array_equal(found.kernels[0], kernel[..., 0])
    assert np.flatnonzero(found.responses[0, 0, 48] > 0.1).tolist() == [39, 40]
    assert found.responses[0, 0, 48, 39] == pytest.approx(9)


@pytest.mark.parametrize("name", ["cnn", "d4net", "transfer", "resnet18", "p4m-densenet"])
def test_every_network_has_kernels_with_three_channels(name):
    found = first_layer(build_model(name), noise(2))
    assert found.kernels.shape[-1] == 3
    assert found.responses.shape[:2] == (2, len(found.kernels))
    assert np.isfinite(found.responses).all()
    assert np.ptp(found.responses) > 0


@pytest.mark.parametrize("invariant", [False, True])
def test_kernels_of_d4net_reproduce_its_responses(invariant):
    model, pixels = build_model("d4net", brightness_invariant=invariant), noise(1)
    found = first_layer(model, pixels)
    scaled = 2.5 * np.log(np.maximum(pixels[0], 8) / 255) + 1.5 if invariant else pixels[0] * (4 / 255) - 2.8
    for kernel, response in zip(found.kernels, found.responses[0], strict=True):
        expected = correlate(scaled, kernel, mode="valid")[::2, ::2, 0]
        np.testing.assert_allclose(response, expected, atol=1e-3)


def test_a_network_without_convolution_is_refused():
    with pytest.raises(ModelError, match="no convolution"):
        first_layer(build_model("mlp"), noise(1))


def test_a_network_that_begins_with_another_network_has_kernels():
    pixels = keras.Input((96, 96, 3), dtype="uint8")
    backbone = keras.Model(pixels, keras.layers.Conv2D(5, 3)(keras.layers.Rescaling(1 / 255)(pixels)))
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, "sigmoid")]
    found = first_layer(keras.Sequential([keras.Input((96, 96, 3), dtype="uint8"), backbone, *head]), noise(2))
    assert found.kernels.shape == (5, 3, 3, 3)
    np.testing.assert_allclose(found.responses, np.moveaxis(backbone.predict_on_batch(noise(2)), -1, 1), atol=1e-5)


def test_the_response_of_one_kernel_depends_on_orientation():
    model, pixels = build_model("d4net"), noise(1)
    responses, turned = (first_layer(model, each).responses for each in (pixels, apply_symmetry(pixels, 1)))
    assert np.abs(responses - turned).max() > 0.1
