"""The architectures, and one battery for all of them."""

import os
import random
import socket
import subprocess
import sys
from functools import cache
from importlib import import_module

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import expit

from sentinode import build_model
from sentinode.errors import ModelError
from sentinode.inference.logits import logit_model, probability, tumour_logit
from sentinode.layers.preprocessing import BackbonePreprocessing
from sentinode.models.build import MODELS
from sentinode.models.efficientnet_lite import VARIANTS
from sentinode.models.loading import model_from_file
from sentinode.models.transfer import backbone_names

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
ALL = [(name, output) for name in MODELS for output in ("sigmoid", "softmax")]


@cache
def built(name: str, output: str) -> keras.Model:
    return build_model(name, output=output)


def same_weights(one: keras.Model, other: keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def trainable_count(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(("name", "output"), ALL)
def test_it_takes_uint8_patches_and_gives_probabilities(name, output):
    model = built(name, output)
    given = model.predict_on_batch(PIXELS)
    assert isinstance(model, keras.Model)
    assert model.inputs[0].dtype == "uint8"
    assert model.input_shape == (None, 96, 96, 3)
    assert given.dtype == np.float32
    assert given.shape == (3, 1 if output == "sigmoid" else 2)
    assert np.all((given >= 0) & (given <= 1))
    if output == "softmax":
        assert given.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.parametrize(("name", "output"), ALL)
def test_its_logit_belongs_to_its_probability(name, output):
    model = built(name, output)
    logit = tumour_logit(logit_model(model).predict_on_batch(PIXELS))
    assert logit.dtype == np.float64
    assert probability(logit) == pytest.approx(model.predict_on_batch(PIXELS)[:, -1], abs=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_alone_fixes_its_weights(name):
    random.seed(11)
    before = random.getstate()
    one, again, other = (build_model(name, seed=seed) for seed in (5, 5, 6))
    assert random.getstate() == before
    assert same_weights(one, again)
    assert not same_weights(one, other)


@pytest.mark.parametrize(("name", "output"), ALL)
def test_it_comes_back_from_its_json_and_weights(name, output, tmp_path):
    model = built(name, output)
    (tmp_path / "model.json").write_text(model.to_json(), encoding="utf-8")
    model.save_weights(tmp_path / "it.weights.h5")
    back = model_from_file(tmp_path / "model.json", seed=1)
    assert not all(np.array_equal(a, b) for a, b in zip(back.get_weights(), model.get_weights(), strict=True))
    back.load_weights(tmp_path / "it.weights.h5")
    assert np.array_equal(back.predict_on_batch(PIXELS), model.predict_on_batch(PIXELS))


def test_the_cnn_scales_and_computes_as_done_by_hand():
    model = built("cnn", "sigmoid")
    k1, b1, k2, b2, w3, b3, w4, b4 = (weight.astype(np.float64) for weight in model.get_weights())
    x = PIXELS / 255
    for kernel, bias in ((k1, b1), (k2, b2)):
        windows = sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2))
        x = np.maximum(np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2))) + bias, 0)
        n, height, width, channels = x.shape
        x = x.reshape(n, height // 4, 4, width // 4, 4, channels).max(axis=(2, 4))
    by_hand = expit(np.maximum(x.reshape(3, -1) @ w3 + b3, 0) @ w4 + b4)
    assert model.predict_on_batch(PIXELS) == pytest.approx(by_hand, abs=1e-5)


def test_the_cnn_is_the_classic_network():
    model = built("cnn", "sigmoid")
    kinds = "Rescaling Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense Dense"
    assert isinstance(model, keras.Sequential)
    assert [type(layer).__name__ for layer in model.layers] == kinds.split()
    _, conv_1, pool_1, conv_2, pool_2, _, dense, last = model.layers
    for conv, filters in ((conv_1, 32), (conv_2, 64)):
        assert (conv.filters, conv.kernel_size, conv.strides) == (filters, (3, 3), (1, 1))
        assert (conv.padding, conv.activation.__name__) == ("same", "relu")
    for pool in (pool_1, pool_2):
        assert (pool.pool_size, pool.strides, pool.padding) == ((4, 4), (4, 4), "valid")
    assert (dense.units, dense.activation.__name__) == (64, "relu")
    assert (last.units, last.activation.__name__) == (1, "sigmoid")
    assert trainable_count(model) == model.count_params() == 166_977


def test_options_of_the_cnn_set_its_layers():
    options = {"first_filters": 5, "second_filters": 7, "kernel_size": 5, "pool_size": 2, "dense_units": 9}
    _, conv_1, pool_1, conv_2, pool_2, _, dense, last = build_model("cnn", output="softmax", **options).layers
    assert (conv_1.filters, conv_2.filters) == (5, 7)
    assert conv_1.kernel_size == conv_2.kernel_size == (5, 5)
    assert pool_1.pool_size == pool_2.pool_size == (2, 2)
    assert (dense.units, last.units, last.activation.__name__) == (9, 2, "softmax")


def test_the_mlp_has_one_hidden_layer():
    model = built("mlp", "sigmoid")
    assert [type(layer).__name__ for layer in model.layers] == ["Rescaling", "Flatten", "Dense", "Dense"]
    assert trainable_count(model) == 1_769_601
    assert build_model("mlp", dense_units=2).layers[2].units == 2


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["MobileNetV2", "EfficientNetB0", "ResNet50V2"])
def test_a_backbone_sees_pixels_as_keras_prepares_them(backbone):
    model = build_model("transfer", backbone=backbone)
    body = model.get_layer("backbone")
    prepare = import_module(getattr(keras.applications, backbone).__module__).preprocess_input
    features = body.predict_on_batch(prepare(PIXELS.astype(np.float32))).mean(axis=(1, 2))
    kernel, bias = model.layers[-1].get_weights()
    assert model.predict_on_batch(PIXELS) == pytest.approx(expit(features @ kernel + bias), abs=1e-4)
    assert trainable_count(model) == trainable_count(body) + features.shape[1] + 1


@pytest.mark.parametrize("name", [name for name in backbone_names() if name not in VARIANTS])
def test_every_backbone_has_its_own_preprocessing(name):
    module = getattr(keras.applications, name).__module__.rsplit(".", 1)[-1]
    expected = import_module(f"keras.applications.{module}").preprocess_input(PIXELS.astype(np.float32))
    given = keras.ops.convert_to_numpy(BackbonePreprocessing(module)(PIXELS))
    assert np.array_equal(given, np.asarray(expected))


@pytest.mark.slow
def test_a_backbone_takes_weights_from_a_local_file_and_is_frozen_then(tmp_path):
    plain = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(96, 96, 3))
    plain.save_weights(tmp_path / "body.weights.h5")
    path = str(tmp_path / "body.weights.h5")
    model = build_model("transfer", weights=path)
    assert same_weights(model.get_layer("backbone"), plain)
    assert trainable_count(model) == 1_281
    tuned = build_model("transfer", weights=path, trainable="all")
    assert trainable_count(tuned) == trainable_count(plain) + 1_281


def test_fine_tuning_starts_at_the_layer_that_is_named():
    body = build_model("transfer", trainable="block_16_expand").get_layer("backbone")
    names = [layer.name for layer in body.layers]
    learns = [layer.trainable for layer in body.layers]
    first = names.index("block_16_expand")
    assert not any(learns[:first])
    assert all(learns[first:])
    assert trainable_count(build_model("transfer", trainable="frozen")) == 1_281


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("perceptron", {}, ["perceptron", "cnn, mlp, d4net, p4m-densenet, resnet18, transfer"]),
        ("cnn", {"color": 1}, ["color", "kernel_size"]),
        ("cnn", {"output": "tanh"}, ["tanh", "sigmoid or softmax"]),
        ("cnn", {"kernel_size": 0}, ["kernel_size"]),
        ("cnn", {"pool_size": 100}, ["pool_size"]),
        ("cnn", {"first_filters": -1}, ["first_filters"]),
        ("cnn", {"dense_units": "many"}, ["dense_units"]),
        ("resnet18", {"width": 0}, ["width"]),
        ("p4m-densenet", {"growth": 0}, ["growth"]),
        ("transfer", {"dropout": 2}, ["dropout"]),
        ("transfer", {"backbone": "NoNet"}, ["NoNet", "MobileNetV2"]),
        ("transfer", {"backbone": "mobilenet_v2"}, ["mobilenet_v2", "MobileNetV2"]),
        ("transfer", {"trainable": "no_layer"}, ["no_layer", "frozen"]),
        ("transfer", {"weights": "missing.weights.h5"}, ["missing.weights.h5", "file not found"]),
    ],
)
def test_invalid_options_are_refused_in_one_line(name, options, words):
    with pytest.raises(ModelError) as refused:
        build_model(name, **options)
    message = str(refused.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", MODELS)
def test_networks_are_channels_last_if_keras_json_sets_channels_first(name):
    keras.config.set_image_data_format("channels_first")
    try:
        model = build_model(name)
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    assert model.output_shape == built(name, "sigmoid").output_shape
    assert "channels_first" not in model.to_json()
    assert model.count_params() == built(name, "sigmoid").count_params()


def test_weights_of_another_backbone_are_refused(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ModelError, match=r"other\.weights\.h5") as refused:
        build_model("transfer", weights=str(tmp_path / "other.weights.h5"))
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_imagenet_weights_without_a_network_name_the_way_out(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), closed)
    environment = {**os.environ, **proxies, "KERAS_HOME": str(tmp_path), "no_proxy": "", "NO_PROXY": ""}
    script = (
        "from sentinode import SentinodeError, build_model\n"
        "try: build_model('transfer', weights='imagenet')\n"
        "except SentinodeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    # Keras itself announces the download on the first line.
    message = done.stdout.strip().splitlines()[-1]
    assert message.startswith("the ImageNet weights of MobileNetV2 could not be downloaded")
    assert "pass the path as weights" in message
