"""FLOPs: as counted by hand and by TensorFlow's profiler."""

import keras
import numpy as np
import pytest

from sentinode import build_model
from sentinode.models.build import MODELS
from sentinode.models.flops import flops
from sentinode.models.plain import plain_network


def test_the_cnn_is_counted_as_by_hand():
    convolutions = 96 * 96 * 32 * 27 + 24 * 24 * 64 * 32 * 9
    assert flops(build_model("cnn")) == 2 * (convolutions + 6 * 6 * 64 * 64 + 64)


@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_equivariant_kernels_count_as_those_of_the_ordinary_network(size):
    model = build_model("d4net", size=size)
    pooled = model.layers[-1].kernel.shape[0]
    # The mean over the eight blocks comes before the last layer here, and is part of it there.
    assert flops(model) == flops(plain_network(model)) - 2 * 7 * pooled


@pytest.mark.parametrize("name", [*MODELS, "Xception"])
def test_tensorflow_counts_the_same(name):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("its profiler reads graphs of TensorFlow")
    model = build_model("transfer", backbone=name) if name not in MODELS else build_model(name)
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph

    call = tf.function(lambda pixels: model(pixels, training=False))
    concrete = call.get_concrete_function(tf.TensorSpec((1, 96, 96, 3), tf.uint8))
    _, graph = convert_variables_to_constants_v2_as_graph(concrete)
    with tf.Graph().as_default() as imported:
        tf.graph_util.import_graph_def(graph, name="")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options = {**options, "output": "none", "account_type_regexes": ["Conv2D", "DepthwiseConv2dNative", "MatMul"]}
        counted = tf.compat.v1.profiler.profile(imported, cmd="op", options=options).total_float_ops
    assert flops(model) == counted


def test_a_dense_layer_counts_at_every_position():
    model = keras.Sequential([keras.Input((5, 7, 3)), keras.layers.Dense(2)])
    assert flops(model) == 2 * 5 * 7 * 3 * 2
    assert model(np.zeros((1, 5, 7, 3), np.float32)).shape == (1, 5, 7, 2)
