"""External Keras files: the right logits from every form, every command, and nothing in them is run."""

import json
import pickle
import shutil
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.commands import refused, sentinode, succeeded
from tests.external.conftest import random_features

from sentinode import evaluate, explain, export_run, load_run, predict
from sentinode.errors import ConfigError, DataError, ModelError
from sentinode.external.files import is_model_file, recognize
from sentinode.external.model import load_model_file
from sentinode.training.load import starting_model


def test_a_file_is_closed_after_its_kind_was_recognized(tmp_path):
    (tmp_path / "my.onnx").write_bytes(bytes(100))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert recognize(tmp_path / "my.onnx") == "onnx"
    assert not [each for each in caught if each.category is ResourceWarning]


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    network.save(folder / "my.keras")
    network.save(folder / "my.h5")
    (folder / "course").mkdir()
    (folder / "course" / "model.json").write_text(network.to_json())
    network.save_weights(folder / "course" / "model.weights.h5")
    return folder


@pytest.mark.parametrize("name", ["my.keras", "my.h5", "course/model.json", "course"])
def test_every_form_gives_the_logits_of_the_network_on_scaled_pixels(name, saved, few, expected):
    assert is_model_file(saved / name)
    model = load_model_file(saved / name)
    assert model.interpretation.scale.text == "1/255"
    assert any("probed" in sentence for sentence in model.interpretation.sentences)
    found = predict(model, few)
    np.testing.assert_allclose(found.table["logit"], expected, atol=1e-3)
    assert found.made_by["input_scale"] == "1/255"
    assert found.made_by["threshold"] == 0.5


ENDS = {
    "linear": lambda kernel, bias: ([keras.layers.Dense(1)], [kernel[:, None], bias[None]]),
    "activation layer": lambda kernel, bias: (
        [keras.layers.Dense(1), keras.layers.Activation("sigmoid")],
        [kernel[:, None], bias[None]],
    ),
    "softmax": lambda kernel, bias: (
        [keras.layers.Dense(2, "softmax")],
        [np.stack([0 * kernel, kernel], 1), np.array([0, bias])],
    ),
    "two logits": lambda kernel, bias: (
        [keras.layers.Dense(2)],
        [np.stack([-kernel / 2, kernel / 2], 1), np.array([-bias / 2, bias / 2])],
    ),
    "nested softmax": lambda kernel, bias: (
        [keras.Sequential([keras.layers.Dense(2, "softmax")])],
        [np.stack([0 * kernel, kernel], 1), np.array([0, bias])],
    ),
    "nested": lambda kernel, bias: (
        [keras.Sequential([keras.layers.Dense(1, "sigmoid")])],
        [kernel[:, None], bias[None]],
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_output_layer_is_recognized(end, fitted, few, expected, tmp_path):
    layers, weights = ENDS[end](*fitted)
    model = random_features(layers)
    layers[0].set_weights(weights)
    model.save(tmp_path / "it.keras")
    found = predict(load_model_file(tmp_path / "it.keras", input_scale="1/255"), few)
    np.testing.assert_allclose(found.table["logit"], expected, atol=1e-2)


@pytest.mark.parametrize("output", ["probability", "normal-probability"])
def test_a_linear_layer_may_compute_the_probability(output, fitted, few, tmp_path):
    dense = keras.layers.Dense(1)
    model = random_features([dense])
    dense.set_weights([fitted[0][:, None] / 1000, np.array([0.5], np.float32)])
    model.save(tmp_path / "it.keras")
    found = predict(load_model_file(tmp_path / "it.keras", input_scale="1/255", model_output=output), few)
    expected = model.predict(few.read() / np.float32(255), verbose=0)[:, 0]
    expected = expected if output == "probability" else 1 - expected
    np.testing.assert_allclose(found.table["probability"], expected, atol=1e-5)


@pytest.mark.parametrize("units", [1, 2])
def test_a_meaning_that_does_not_fit_the_number_of_outputs_is_refused(units, tmp_path):
    random_features([keras.layers.Dense(units)]).save(tmp_path / "it.keras")
    refused = {1: ("softmax", "tumour-first"), 2: ("logit", "probability", "normal-probability")}
    for output in refused[units]:
        with pytest.raises(ModelError, match=f"it.keras: {units} outputs? per patch, .* got {output}"):
            load_model_file(tmp_path / "it.keras", input_scale="1/255", model_output=output)


def test_a_functional_model_with_branches_keeps_its_graph(fitted, few, tmp_path):
    inputs = keras.Input((96, 96, 3))
    branches = [keras.layers.Conv2D(4, 3, activation="relu", padding="same")(inputs) for _ in range(2)]
    x = keras.ops.relu(keras.layers.Add()(branches))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(x))
    model.save(tmp_path / "it.keras")
    found = load_model_file(tmp_path / "it.keras", input_scale="1/127.5-1")
    whole = model.predict(few.read() / np.float32(127.5) - 1, verbose=0)[:, 0]
    np.testing.assert_allclose(predict(found, few).table["probability"], whole, atol=1e-5)
    assert [layer.name for layer in found.model.layers][:2] == ["patches", "scale_pixels"]


def test_another_input_size_is_resampled(few, tmp_path):
    inputs = keras.Input((48, 48, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(pooled)).save(tmp_path / "it.keras")
    model = load_model_file(tmp_path / "it.keras", input_scale="1/255")
    assert model.model.input_shape == (None, 96, 96, 3)
    assert predict(model, few).table["probability"].nunique() > 1


@pytest.mark.slow
def test_python_functions_work_with_a_file(saved, few, tmp_path):
    model = load_model_file(saved / "my.keras")
    assert evaluate(model, few, "test", out=tmp_path / "evaluation").ranking.auc.estimate > 0.6
    found = explain(model, few, ids=few.table["id"][:1].tolist(), methods=["grad-cam", "integrated-gradients"])
    assert np.abs(found.maps["integrated-gradients"]).max() > 0
    made = export_run(model, tmp_path / "it.keras")
    again = load_model_file(tmp_path / "it.keras")
    np.testing.assert_allclose(predict(again, few).table["logit"], predict(model, few).table["logit"], atol=1e-3)
    assert made.difference < 1e-3
    assert again.interpretation.scale.text == "1"


def test_a_keras_model_in_memory_can_be_evaluated(tiny_run, few):
    assert evaluate(tiny_run.model, few, "test").made_by["threshold"] == 0.5


def test_commands_take_a_file_in_the_place_of_a_run(saved, few, tmp_path):
    for number, (patch, label) in enumerate(zip(few.read(), few.labels, strict=True)):
        (tmp_path / "data" / "test" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(patch).save(tmp_path / "data" / "test" / str(label) / f"{number}.png")
    stated = ["--model", saved / "my.keras", "--input-scale", "1/255", "--model-output", "probability"]
    text = succeeded(sentinode("predict", tmp_path / "data", *stated, "--out", tmp_path / "it.csv"))
    assert "input scale 1/255 (stated)" in text
    assert len(pd.read_csv(tmp_path / "it.csv")) == len(few)
    assert "AUC" in succeeded(sentinode("evaluate", tmp_path / "data", *stated, "--out", tmp_path / "evaluation"))
    made = tmp_path / "out.keras"
    succeeded(sentinode("export", *stated, "--format", "keras", "--out", made))
    assert json.loads((tmp_path / "out.keras.json").read_text())["threshold"] == 0.5
    refused(
        sentinode("evaluate", tmp_path / "data", "--model", saved / "my.keras", "--input-scale", "x"), "--input-scale"
    )


# What must never be run or followed


def marked(tmp_path):
    return tmp_path / "was-here"


def test_a_lambda_layer_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((96, 96, 3)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten()])
    model.add(keras.layers.Dense(1, "sigmoid"))
    for name in ("it.keras", "it.h5"):
        model.save(tmp_path / name)
        with pytest.raises(ModelError, match="Lambda"):
            load_model_file(tmp_path / name)


@pytest.mark.parametrize(
    "injected",
    [
        {"module": "os", "class_name": "system", "config": {"command": "touch was-here"}, "registered_name": None},
        {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
        {"module": "keras.src.saving", "class_name": "load_model", "config": {}, "registered_name": None},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "x"}, "registered_name": None},
        {"module": None, "class_name": "Anything", "config": {}, "registered_name": "Custom>Anything"},
    ],
)
def test_a_configuration_that_names_anything_else_is_refused(injected, saved, tmp_path):
    with zipfile.ZipFile(saved / "my.keras") as archive:
        config = json.loads(archive.read("config.json"))
        others = {name: archive.read(name) for name in archive.namelist() if name != "config.json"}
    config["config"]["layers"][1]["config"]["activation"] = injected
    with zipfile.ZipFile(tmp_path / "it.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        for name, content in others.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match=r"it\.keras: refused, because it uses"):
        load_model_file(tmp_path / "it.keras")
    assert not (tmp_path / "was-here").exists()


def test_weights_in_another_file_are_refused(saved, tmp_path):
    content = (saved / "my.h5").read_bytes()
    (tmp_path / "it.h5").write_bytes(content)
    with h5py.File(tmp_path / "it.h5", "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ModelError, match="link to another file"):
        load_model_file(tmp_path / "it.h5")


@pytest.mark.parametrize("name", ["it.pkl", "it.pt", "it.joblib", "it.h5"])
def test_a_pickle_is_refused_with_the_way_out(name, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps({"weights": 1}, protocol=4))
    with pytest.raises(ModelError, match="pickle can run code when it is loaded; export the model to ONNX"):
        load_model_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("my.onnx", b"x", "my.onnx: cannot be loaded as onnx"),
        ("my.pt", b"PK\x03\x04", "my.pt: not a TorchScript archive"),
        ("my.keras", b"x", "my.keras: not a .keras file"),
        ("my.tflite", b"x", "my.tflite: .tflite is not supported"),
        ("gone.keras", None, "there is no such model file"),
    ],
)
def test_a_broken_file_is_refused_by_name(name, content, named, tmp_path, mini):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = sentinode("predict", "pcam-mini", "--model", tmp_path / name, "--out", tmp_path / "it.csv")
    assert named in refused(done)


def test_a_contradiction_between_file_and_option_is_refused(saved):
    with pytest.raises(ConfigError, match="--model-output"):
        load_model_file(saved / "my.keras", model_output="nonsense")


@pytest.mark.parametrize("threshold", [float("nan"), 1.5, -1, "half"])
def test_a_threshold_that_is_no_probability_is_refused(threshold, saved, tmp_path):
    shutil.copy(saved / "my.keras", tmp_path)
    (tmp_path / "my.keras.json").write_text(json.dumps({"threshold": threshold, "input_scale": "1/255"}))
    with pytest.raises(DataError, match=r"my\.keras\.json: threshold: expected a number from 0 to 1, got"):
        load_model_file(tmp_path / "my.keras").describe()


def test_exchanged_classes_and_a_wrong_scale_are_reported(fitted, tmp_path, caplog):
    dense = keras.layers.Dense(1, "sigmoid")
    model = random_features([dense])
    dense.set_weights([-fitted[0][:, None], -fitted[1][None]])
    model.save(tmp_path / "it.keras")
    load_model_file(tmp_path / "it.keras", input_scale="1/255")
    assert caplog.text.rstrip().endswith("the classes seem to be swapped; use --model-output normal-probability")
    turned = load_model_file(tmp_path / "it.keras", input_scale="1/255", model_output="normal-probability")
    assert not turned.interpretation.warnings
    dense.set_weights([0 * fitted[0][:, None], 0 * fitted[1][None]])
    model.save(tmp_path / "it.keras")
    load_model_file(tmp_path / "it.keras")
    assert "the output is the same" in caplog.text


@pytest.mark.parametrize("name", ["it.keras", "it.h5"])
def test_dropout_of_a_training_that_starts_from_a_file_follows_the_seed(name, few, tmp_path):
    dropout = [keras.layers.Dropout(0.5), keras.layers.Dense(1, "sigmoid")]
    keras.Sequential([keras.Input((96, 96, 3)), keras.layers.GlobalAveragePooling2D(), *dropout]).save(tmp_path / name)

    def outputs(seed: int) -> np.ndarray:
        network = starting_model(load_model_file(tmp_path / name, input_scale="1/255"), seed)
        return keras.ops.convert_to_numpy(network(few.read(), training=True))

    np.testing.assert_array_equal(outputs(3), outputs(3))
    assert (outputs(3) != outputs(4)).any()


def test_an_ensemble_may_have_a_file_and_a_run(saved, few):
    from sentinode import Ensemble

    members = (load_model_file(saved / "my.keras"), load_run("d4net-m"))
    both = predict(Ensemble(members), few).table["logit"]
    each = [predict(member, few).table["logit"] for member in members]
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-6)
