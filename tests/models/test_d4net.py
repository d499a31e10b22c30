"""D4Net: invariant to orientation, and the same network for patches and regions."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode import TrainConfig, build_model, load_run, train
from sentinode.errors import ModelError
from sentinode.inference.logits import logit_model
from sentinode.layers.d4 import D4Conv, apply_symmetry
from sentinode.models.d4net import WIDTHS
from sentinode.samples import pretrained_path


def trained_a_little(model: keras.Model, pixels: np.ndarray) -> keras.Model:
    """Give the running statistics values of their own; those of a fresh network hide mistakes."""
    for _ in range(3):
        model(pixels, training=True)
    return model


OPTIONS = [*({"size": size} for size in WIDTHS), {"brightness_invariant": True}, {"exposure_correction": True}]


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def network(request, mini) -> keras.Model:
    return logit_model(trained_a_little(build_model("d4net", **request.param, seed=2), mini.read(range(32))))


@pytest.fixture(scope="module")
def blind(mini) -> keras.Model:
    model = build_model("d4net", brightness_invariant=True, seed=2)
    return logit_model(trained_a_little(model, mini.read(range(32))))


@settings(deadline=None, max_examples=8)
@given(symmetry=st.integers(0, 7), first=st.integers(0, 1600))
def test_the_logit_is_the_same_for_all_orientations(network, mini, symmetry, first):
    pixels = mini.read(range(first, first + 8))
    said = network.predict_on_batch(pixels)
    assert np.ptp(said) > 1e-3
    np.testing.assert_allclose(network.predict_on_batch(apply_symmetry(pixels, symmetry)), said, atol=1e-4)


@settings(deadline=None, max_examples=8)
@given(factor=st.floats(0.6, 1.0), first=st.integers(0, 1600))
def test_a_brightness_invariant_network_ignores_a_factor_on_all_pixels(blind, mini, factor, first):
    pixels = np.maximum(mini.read(range(first, first + 8)), 16)
    darker = np.rint(pixels * factor).astype(np.uint8)
    said = blind.predict_on_batch(pixels)
    assert np.ptp(said) > 0.05
    np.testing.assert_allclose(blind.predict_on_batch(darker), said, atol=0.02)  # Rounded to whole numbers.


def test_convolutions_are_saved_as_in_runs_that_are_older_than_their_last_option():
    saved = json.loads((pretrained_path("d4net-m") / "model.json").read_text())["config"]["layers"]
    saved = [layer["config"] for layer in saved if layer["class_name"] == "D4Conv"]
    now = [layer.get_config() for layer in build_model("d4net").layers if isinstance(layer, D4Conv)]
    for earlier, later in zip(saved, now, strict=True):
        assert earlier.keys() == later.keys()
    assert build_model("d4net", brightness_invariant=True).get_layer("conv_1").get_config()["zero_sum"]


@pytest.mark.parametrize("size", WIDTHS)
def test_a_logit_depends_on_the_whole_patch_and_nothing_is_padded(size):
    model = build_model("d4net", size=size)
    convolutions = [layer for layer in model.layers if layer.name.startswith("conv_")]
    field, jump = 1, 1
    for layer in convolutions:
        field += (layer.kernel_size - 1) * jump
        jump *= layer.strides
    positions = model.get_layer("relu_7").output.shape[1]
    assert field + (positions - 1) * jump == 96


@pytest.mark.slow
def test_it_is_trained_saved_and_loaded_like_any_other(mini, tmp_path):
    few = mini.select(range(0, len(mini), 20))
    config = TrainConfig(epochs=1, optimizer="adamw", learning_rate=0.003, precision="bfloat16")
    network = build_model("d4net", brightness_invariant=True, exposure_correction=True)
    run = train(network, few, config, out=tmp_path / "run")
    pixels = mini.read(range(8))
    again = load_run(run.path).model
    np.testing.assert_array_equal(again.predict_on_batch(pixels), run.model.predict_on_batch(pixels))
    said = logit_model(again).predict_on_batch(pixels)
    np.testing.assert_allclose(logit_model(again).predict_on_batch(apply_symmetry(pixels, 5)), said, atol=1e-4)


def test_an_unknown_size_is_refused():
    with pytest.raises(ModelError, match="size must be one of s, m, l; got 'xl'"):
        build_model("d4net", size="xl")
