"""Layers of the group D4 are equivariant for any weights, in training and inference."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from sentinode.keras_compat.batch_normalization import batch_normalization
from sentinode.layers.d4 import ORDER, SYMMETRIES, D4Concatenate, D4Conv, D4Norm, D4Pool, apply_symmetry, kernel_table

SYMMETRY = st.integers(0, ORDER - 1)


def images(seed: int, side: int, channels: int = 3, count: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, side, side, channels)).astype(np.float32)


def as_array(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def blocks_moved(features: np.ndarray, symmetry: int) -> np.ndarray:
    """Turn a feature map as the image was turned: every block is turned, and block b goes where b turned stands."""
    blocks = np.split(features, ORDER, axis=-1)
    moved = [None] * ORDER
    for block, matrix in enumerate(SYMMETRIES):
        place = next(n for n, other in enumerate(SYMMETRIES) if np.array_equal(other, SYMMETRIES[symmetry] @ matrix))
        moved[place] = apply_symmetry(blocks[block], symmetry)
    return np.concatenate(moved, axis=-1)


def test_the_symmetries_are_eight_and_closed():
    assert len({matrix.tobytes() for matrix in SYMMETRIES}) == ORDER
    products = {(a @ b).tobytes() for a in SYMMETRIES for b in SYMMETRIES}
    assert products == {matrix.tobytes() for matrix in SYMMETRIES}


@given(first=SYMMETRY, second=SYMMETRY, side=st.integers(1, 7))
def test_two_symmetries_compose_to_their_product(first, second, side):
    x = images(side, side)
    product = SYMMETRIES[second] @ SYMMETRIES[first]
    number = next(n for n, other in enumerate(SYMMETRIES) if np.array_equal(other, product))
    assert np.array_equal(apply_symmetry(apply_symmetry(x, first), second), apply_symmetry(x, number))


@settings(deadline=None, max_examples=25)
@given(
    symmetry=SYMMETRY,
    seed=st.integers(0, 1000),
    kernel_size=st.integers(1, 5),
    strides=st.integers(1, 2),
    lift=st.booleans(),
    filters=st.integers(1, 3),
)
def test_a_convolution_is_equivariant(symmetry, seed, kernel_size, strides, lift, filters):
    layer = D4Conv(filters, kernel_size, strides, lift=lift, use_bias=True)
    side = kernel_size + 3 * strides
    x = images(seed, side, 3 if lift else 2 * ORDER)
    before = as_array(layer(x))
    layer.bias.assign(np.random.default_rng(seed).normal(size=filters))
    before = as_array(layer(x))
    turned = apply_symmetry(x, symmetry) if lift else blocks_moved(x, symmetry)
    np.testing.assert_allclose(as_array(layer(turned)), blocks_moved(before, symmetry), atol=2e-5)


def test_a_convolution_distinguishes_images():
    layer = D4Conv(4, 3, lift=True)
    one, other = as_array(layer(images(0, 9))), as_array(layer(images(1, 9)))
    assert np.abs(one - other).max() > 0.1


@settings(deadline=None, max_examples=15)
@given(symmetry=SYMMETRY, seed=st.integers(0, 1000))
def test_a_network_gives_the_same_for_all_orientations(symmetry, seed):
    network = keras.Sequential(
        [
            keras.Input((19, 19, 3)),
            D4Conv(2, 4, lift=True) if seed % 2 else D4Conv(2, 3, 2, lift=True),
            D4Norm(),
            keras.layers.ReLU(),
            D4Conv(3, 3),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            D4Pool(),
        ]
    )
    x = images(seed, 19, count=4)
    network(x, training=True)
    np.testing.assert_allclose(
        as_array(network(apply_symmetry(x, symmetry), training=False)), as_array(network(x, training=False)), atol=1e-5
    )


@given(symmetry=SYMMETRY, one=st.integers(1, 3), other=st.integers(1, 3))
@settings(deadline=None, max_examples=15)
def test_maps_are_put_together_block_by_block(symmetry, one, other):
    maps = [images(one, 5, one * ORDER), images(other + 3, 5, other * ORDER)]
    both = as_array(D4Concatenate()(maps))
    parts = [np.split(each, ORDER, axis=-1) for each in maps]
    assert np.array_equal(both, np.concatenate([block for pair in zip(*parts, strict=True) for block in pair], axis=-1))
    turned = as_array(D4Concatenate()([blocks_moved(each, symmetry) for each in maps]))
    assert np.array_equal(turned, blocks_moved(both, symmetry))


def test_the_full_kernel_is_that_of_an_ordinary_convolution():
    layer = D4Conv(3, 3, use_bias=True)
    x = images(0, 7, 2 * ORDER)
    outputs = as_array(layer(x))
    plain = keras.layers.Conv2D(3 * ORDER, 3)
    plain.build(x.shape)
    plain.set_weights([as_array(layer.full_kernel()), as_array(layer.full_bias())])
    np.testing.assert_allclose(as_array(plain(x)), outputs, atol=1e-5)


def test_every_free_weight_stands_eight_times_in_the_full_kernel():
    rows, counts = np.unique(kernel_table(3, ORDER), return_counts=True)
    assert len(rows) == 9 * ORDER
    assert set(counts) == {ORDER}


@pytest.mark.parametrize(("side", "kernel_size", "strides"), [(8, 3, 2), (2, 3, 1)])
def test_sizes_that_lose_the_symmetry_are_refused(side, kernel_size, strides):
    layer = D4Conv(1, kernel_size, strides, lift=True)
    with pytest.raises(ValueError, match=f"a side of {side} px"):
        layer(keras.Input((side, side, 3)))


def test_channels_not_divisible_by_eight_are_refused():
    with pytest.raises(ValueError, match="12 channels cannot be divided into 8 blocks"):
        D4Conv(1, 3)(images(0, 5, 12))


@pytest.mark.parametrize(
    "layer", [D4Conv(3, 3, 2, lift=True, use_bias=True), D4Norm(0.9, 1e-4), D4Pool(), D4Concatenate()]
)
def test_layers_are_rebuilt_from_their_config(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fused_normalization_is_that_of_keras(dtype):
    x = ops.cast(images(0, 5, 16, count=8) * 3 + 1, dtype)
    scale, offset = np.linspace(0.5, 2, 16, dtype=np.float32), np.linspace(-1, 1, 16, dtype=np.float32)
    y, mean, variance = batch_normalization(x, ops.convert_to_tensor(scale), ops.convert_to_tensor(offset), 1e-3)
    exact = as_array(ops.cast(x, "float32"))
    np.testing.assert_allclose(as_array(mean), exact.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(as_array(variance), exact.var((0, 1, 2)), rtol=1e-3)
    expected = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + 1e-3) * scale + offset
    np.testing.assert_allclose(as_array(ops.cast(y, "float32")), expected, atol=0.05 if dtype == "bfloat16" else 1e-4)


def test_running_statistics_are_shared_by_the_blocks():
    layer = D4Norm(momentum=0.0)
    x = images(0, 5, 2 * ORDER, count=8)
    layer(x, training=True)
    np.testing.assert_allclose(as_array(layer.mean), x.mean((0, 1, 2)).reshape(ORDER, 2).mean(0), atol=1e-5)
    assert layer.variance.shape == (2,)
