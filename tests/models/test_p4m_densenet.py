"""P4M-DenseNet: size, receptive field and invariance to orientation."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode import build_model
from sentinode.errors import ModelError
from sentinode.inference.logits import logit_model
from sentinode.layers.d4 import apply_symmetry
from sentinode.models.plain import plain_network


@pytest.fixture(scope="module")
def network(mini) -> keras.Model:
    """Its statistics and offsets have values of their own; those of a fresh network hide mistakes."""
    model = build_model("p4m-densenet", seed=2)
    rng = np.random.default_rng(0)
    for _ in range(3):
        model(mini.read(range(16)), training=True)
    for weight in model.trainable_variables:
        if len(weight.shape) == 1:
            weight.assign(weight + 0.1 * rng.normal(size=weight.shape).astype("float32"))
    return logit_model(model)


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(symmetry=st.integers(1, 7), first=st.integers(0, 1600))
def test_the_logit_is_the_same_for_all_orientations(network, mini, symmetry, first):
    pixels = mini.read(range(first, first + 4))
    said = network.predict_on_batch(pixels)
    assert np.ptp(said) > 1e-3
    np.testing.assert_allclose(network.predict_on_batch(apply_symmetry(pixels, symmetry)), said, atol=1e-4)


def test_the_mean_depends_on_the_whole_patch_and_nothing_is_padded_or_left_over():
    model = build_model("p4m-densenet")
    field, jump = 3, 1
    for layer in model.layers:
        if isinstance(layer, keras.layers.AveragePooling2D):
            assert layer.input.shape[1] % 2 == 0
            field, jump = field + jump, 2 * jump
        elif layer.name.startswith("dense_") and hasattr(layer, "kernel_size"):
            field += (layer.kernel_size - 1) * jump
    positions = model.get_layer("last_relu").output.shape[1]
    assert (field, jump, positions) == (80, 16, 2)
    assert field + (positions - 1) * jump == 96


def test_a_dense_block_takes_along_the_middle_of_its_input():
    model = build_model("p4m-densenet", first_filters=1, growth=1)
    values = keras.Model(model.inputs, [model.get_layer(name).output for name in ("lift", "dense_1", "dense_1_both")])
    pixels = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    lift, made, both = (keras.ops.convert_to_numpy(each) for each in values(pixels))
    assert np.array_equal(both[..., 0::2], lift[:, 1:-1, 1:-1])
    assert np.array_equal(both[..., 1::2], made)


def test_a_width_below_one_is_refused():
    with pytest.raises(ModelError, match="must be at least 1; got 8 and 0"):
        build_model("p4m-densenet", growth=0)


def test_it_is_not_written_out_as_a_chain_of_convolutions():
    with pytest.raises(ModelError, match="is not part of d4net"):
        plain_network(build_model("p4m-densenet"))
