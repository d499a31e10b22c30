"""Architectures are read from JSON without running code from the file."""

import json

import keras
import numpy as np
import pytest

from sentinode import build_model
from sentinode.errors import ModelError
from sentinode.models.loading import model_from_file

FOREIGN = "layers_of_a_stranger"


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that appears when a stranger's module is imported or its code is called."""
    file = tmp_path / "it-ran"
    (tmp_path / f"{FOREIGN}.py").write_text(
        f"from pathlib import Path\nPath({str(file)!r}).touch()\n"
        "class Evil:\n    @classmethod\n    def from_config(cls, config): return cls()\n"
        "def payload(x): return x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return file


def architecture() -> dict:
    return json.loads(build_model("cnn").to_json())


def with_layer(layer: dict) -> str:
    """The cnn with its flattening replaced."""
    content = architecture()
    content["config"]["layers"][6] = layer
    return json.dumps(content)


def refusal(folder, text: str | bytes) -> str:
    path = folder / "model.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError) as refused:
        model_from_file(path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_good_architecture_is_built(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(architecture()))
    assert model_from_file(tmp_path / "model.json").count_params() == 166_977


def test_the_replaced_layer_is_the_flattening(tmp_path):
    """The battery below would show nothing if its place in the file were wrong."""
    layer = {"class_name": "Flatten", "module": "keras.layers", "config": {"name": "other"}, "registered_name": None}
    (tmp_path / "model.json").write_text(with_layer(layer))
    assert model_from_file(tmp_path / "model.json").get_layer("other")


def test_a_lambda_is_refused(tmp_path, marker):
    path = str(marker)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1])])  # noqa: PTH123
    text = model.to_json()
    marker.unlink()
    assert "Lambda" in refusal(tmp_path, text)
    assert not marker.exists()


@pytest.mark.parametrize(
    "names",
    [
        {"module": FOREIGN, "registered_name": f"{FOREIGN}>Evil"},
        {"module": FOREIGN, "registered_name": "sentinode>Evil"},
        {"module": FOREIGN, "registered_name": None},
        {"module": FOREIGN},
        {"module": f"keras.{FOREIGN}", "registered_name": None},
        {"module": None, "registered_name": "Evil"},
        {},
    ],
)
def test_a_class_of_another_module_is_refused(tmp_path, marker, names):
    refusal(tmp_path, with_layer({"class_name": "Evil", "config": {"name": "flatten"}, **names}))
    assert not marker.exists()


@pytest.mark.parametrize("module", [FOREIGN, "builtins", "os"])
def test_a_function_of_another_module_is_refused(tmp_path, marker, module):
    name = {FOREIGN: "payload", "builtins": "exec", "os": "system"}[module]
    function = {"class_name": "function", "module": module, "config": name, "registered_name": name}
    config = {"units": 1, "activation": function, "name": "flatten"}
    layer = {"class_name": "Dense", "module": "keras.layers", "config": config, "registered_name": None}
    assert "refused" in refusal(tmp_path, with_layer(layer))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"])
def test_a_layer_that_holds_code_is_refused(tmp_path, name):
    layer = {"class_name": name, "module": "keras.layers", "config": {"filepath": "x"}, "registered_name": None}
    assert name in refusal(tmp_path, with_layer(layer))


def test_a_python_lambda_in_a_config_is_refused(tmp_path):
    activation = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
    config = {"units": 1, "activation": activation, "name": "flatten"}
    layer = {"class_name": "Dense", "module": "keras.layers", "config": config, "registered_name": None}
    assert "__lambda__" in refusal(tmp_path, with_layer(layer))


def test_a_layer_that_reads_another_file_is_refused(tmp_path):
    (tmp_path / "words.txt").write_text("private\n")
    config = {"vocabulary": str(tmp_path / "words.txt"), "name": "flatten"}
    layer = {"class_name": "StringLookup", "module": "keras.layers", "config": config, "registered_name": None}
    assert "private" not in refusal(tmp_path, with_layer(layer))


def test_a_function_of_keras_is_not_a_layer(tmp_path):
    config = {"fname": "x", "origin": "http://127.0.0.1:9/x"}
    refusal(tmp_path, with_layer({"class_name": "get_file", "module": "keras.utils", "config": config}))


def test_a_preprocessing_that_keras_does_not_have_is_refused(tmp_path):
    content = {
        "class_name": "BackbonePreprocessing",
        "module": "sentinode.layers.preprocessing",
        "registered_name": "sentinode>BackbonePreprocessing",
        "config": {"name": "flatten", "module": "no_such_net"},
    }
    refusal(tmp_path, with_layer(content))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        json.dumps(architecture())[:400],
        b"\x89HDF\r\n\x1a\n\xff\xfe",
        "[]",
        "null",
        "3",
        '"cnn"',
        "{}",
        '{"class_name": "Sequential"}',
        '{"class_name": 5, "config": {}}',
        '{"class_name": ["Sequential"], "config": {}}',
        '{"class_name": "Sequential", "module": "keras", "config": {"layers": 7}}',
        '{"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}',
    ],
)
def test_other_json_is_refused(tmp_path, text):
    refusal(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"none\.json"):
        model_from_file(tmp_path / "none.json")


def test_loading_gives_fresh_weights_by_their_seed(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(architecture()))
    one, same, other = (model_from_file(tmp_path / "model.json", seed).get_weights()[0] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
