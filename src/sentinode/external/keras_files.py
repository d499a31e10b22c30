"""External Keras files, loaded without running code and brought into the form of Sentinode's networks."""

import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers, ops

from sentinode.data.types import PATCH_SHAPE, PATCH_SIZE_PX
from sentinode.errors import ModelError, SentinodeError, first_line
from sentinode.external.files import find_weights
from sentinode.external.interpretation import Interpretation
from sentinode.inference.logits import check_last_layer
from sentinode.models.backend import without_tensorflow
from sentinode.models.loading import check_config, model_from_file

# A configuration is text of some kB; a larger one is no model.
MAX_CONFIG_BYTES = 64_000_000
# Layers at the start of a network that scale the pixels themselves.
SCALING_LAYERS = (layers.Rescaling, layers.Normalization)
FIRST_LAYERS = 4
# A probability of exactly 0 or 1 has no finite logit in float32.
EPSILON = 1e-7


def load_keras_file(path: Path, kind: str) -> keras.Model:
    """Load a Keras model without running code from its file.

    Parameters
    ----------
    path : Path
        A ``.keras`` file, an HDF5 file with architecture, or a json with weights beside it.
    kind : {"keras", "hdf5", "json"}
        What it is.

    Returns
    -------
    keras.Model

    Raises
    ------
    ModelError
        It cannot be loaded, or it names layers of neither Keras nor Sentinode, such as Lambda layers.
    """
    try:
        with without_tensorflow(), warnings.catch_warnings(action="ignore"):
            return {"keras": _load_zip, "hdf5": _load_hdf5, "json": _load_json}[kind](path)
    except SentinodeError:
        raise
    except Exception as error:  # h5py, zipfile and Keras raise a dozen types for a broken file.
        raise ModelError(f"{path}: Keras {keras.__version__} cannot load it ({first_line(error)})") from error


def _load_zip(path: Path) -> keras.Model:
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as work:
        if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
            raise ModelError(
                f"{path}: refused: its config.json has more than {MAX_CONFIG_BYTES:,} bytes, as in a decompression "
                "bomb; save the model again"
            )
        config = json.loads(archive.read("config.json"))
        config.pop("compile_config", None)
        architecture, weights = Path(work) / "model.json", Path(work) / "model.weights.h5"
        check_config(config, str(path))
        architecture.write_text(json.dumps(config), encoding="utf-8")
        model = model_from_file(architecture)
        info = archive.getinfo("model.weights.h5")
        if info.file_size > 1000 * max(info.compress_size, 1):
            raise ModelError(
                f"{path}: refused: its weights expand from {info.compress_size:,} to {info.file_size:,} bytes, as in a "
                "decompression bomb; save the model again without compression"
            )
        weights.write_bytes(archive.read(info))
        _load_weights(model, weights, path)
        return model


def _load_hdf5(path: Path) -> keras.Model:
    _check_links(path)
    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
    if config is None:
        raise ModelError(
            f"{path}: it contains weights only; specify the json of the architecture, with the weights in its folder"
        )
    check_config(json.loads(config), str(path))
    return keras.saving.load_model(path, compile=False)


def _load_json(path: Path) -> keras.Model:
    architecture, weights = find_weights(path)
    model = model_from_file(architecture)
    _load_weights(model, weights, weights)
    return model


def _load_weights(model: keras.Model, weights: Path, named: Path) -> None:
    _check_links(weights, named)
    try:
        model.load_weights(weights)
    except Exception as error:
        raise ModelError(f"{named}: its weights do not fit the architecture ({first_line(error)})") from error


def _check_links(path: Path, named: Path | None = None) -> None:
    """Refuse HDF5 files that refer to other files."""

    def check(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise ModelError(f"{named or path}: refused, {name!r} keeps its data in another file")
        if isinstance(item, h5py.Group):
            for key in item:
                if isinstance(item.get(key, getlink=True), h5py.ExternalLink):
                    raise ModelError(f"{named or path}: refused, {name}/{key} is a link to another file")

    with h5py.File(path, "r") as file:
        check("", file)
        file.visititems(check)


def describe_input(model: keras.Model, path: Path) -> tuple[int, int]:
    """Return rows and columns of the patches that a model takes.

    Raises
    ------
    ModelError
        It takes anything but one batch of RGB patches.
    """
    shape = model.input_shape
    if isinstance(shape, list) or len(shape) != 4 or shape[-1] != 3 or len(model.outputs) != 1:
        raise ModelError(f"{path}: input of shape {shape}; expected one batch (n, 96, 96, 3)")
    return shape[1] or PATCH_SIZE_PX, shape[2] or PATCH_SIZE_PX


def known_scale(model: keras.Model) -> str | None:
    """Return ``"1"`` if a model scales the pixels itself, or takes uint8; else None."""
    if keras.backend.standardize_dtype(model.inputs[0].dtype) == "uint8":
        return "1"
    return "1" if any(isinstance(layer, SCALING_LAYERS) for layer in model.layers[: FIRST_LAYERS + 1]) else None


def known_output(model: keras.Model) -> str | None:
    """Return the meaning of the outputs by the last layer; None if it does not tell."""
    last = model.layers[-1]
    activation = last.activation if isinstance(last, layers.Dense | layers.Activation) else None
    width = model.output_shape[-1]
    if activation is keras.activations.sigmoid and width == 1:
        return "probability"
    if (activation is keras.activations.softmax or isinstance(last, layers.Softmax)) and width == 2:
        return "softmax"
    if isinstance(last, layers.Dense) and activation is keras.activations.linear:
        return "logit" if width == 1 else "softmax"
    return None


def conforming_model(model: keras.Model, interpretation: Interpretation) -> keras.Model:
    """Build a model that takes uint8 patches and ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.

    The layers of the model stand in it one by one, so that it can be explained, exported and trained.

    Parameters
    ----------
    model : keras.Model
        From `load_keras_file`.
    interpretation : Interpretation
        From `interpret`.

    Returns
    -------
    keras.Model
        With copies of the weights.
    """
    front: list[keras.layers.Layer] = []
    rows, columns = model.input_shape[1:3]
    if rows and columns and (rows, columns) != PATCH_SHAPE[:2]:
        front.append(layers.Resizing(rows, columns, name=_unused("resize_patches", model)))
    scale = interpretation.scale
    if not scale.is_identity:
        factor, offset = _scalar(scale.factor), _scalar(scale.offset)
        front.append(layers.Rescaling(factor, offset, name=_unused("scale_pixels", model)))
    if not front and _ends_as_expected(model) and interpretation.output in ("probability", "softmax"):
        return model
    copy = _flat_sequential(model, front) if isinstance(model, keras.Sequential) else _flat_functional(model, front)
    copy.set_weights(model.get_weights())
    return _with_standard_end(copy, interpretation, model.name)


def _flat_sequential(model: keras.Model, front: list[Any]) -> keras.Model:
    patches = x = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    kept = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    for layer in [*front, *(each.__class__.from_config(each.get_config()) for each in kept)]:
        x = layer(x)
    return keras.Model(patches, x)


def _flat_functional(model: keras.Model, front: list[Any]) -> keras.Model:
    """Put layers between the input of a functional model and all that takes it, in its configuration."""
    config = model.get_config()
    first = config["layers"][0]["name"]
    before = _unused("patches", model)
    patches = layers.InputLayer(shape=PATCH_SHAPE, dtype="uint8", name=before)
    inserted = [{**keras.saving.serialize_keras_object(patches), "name": before, "inbound_nodes": []}]
    for layer in front:
        tensor = {"shape": [None, *PATCH_SHAPE], "dtype": "float32", "keras_history": [before, 0, 0]}
        node = {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
        serialized = keras.saving.serialize_keras_object(layer)
        inserted.append({**serialized, "name": layer.name, "inbound_nodes": [node]})
        before = layer.name
    rest = _renamed(config["layers"][1:], first, before)
    outputs = config["output_layers"]
    return keras.Model.from_config(
        {**config, "layers": [*inserted, *rest], "input_layers": [patches.name, 0, 0], "output_layers": outputs}
    )


def _renamed(config: Any, old: str, new: str) -> Any:
    """Return a configuration in which tensors of one layer come from another."""
    if isinstance(config, list | tuple):
        return [_renamed(item, old, new) for item in config]
    if not isinstance(config, dict):
        return config
    renamed = {key: _renamed(value, old, new) for key, value in config.items()}
    if "keras_history" in renamed and renamed["keras_history"][0] == old:
        renamed["keras_history"] = [new, *renamed["keras_history"][1:]]
    return renamed


def _with_standard_end(model: keras.Model, interpretation: Interpretation, name: str) -> keras.Model:
    """Replace the end of a model by one layer, ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``, normal first."""
    units, output = model.output_shape[-1], interpretation.output
    activation = "sigmoid" if units == 1 else "softmax"
    dense = _final_dense(model, output)
    if dense is not None:
        weights = dense.get_weights() if dense.use_bias else [*dense.get_weights(), np.zeros(units, np.float32)]
        features = dense.input
    else:
        weights, features = [np.eye(units, dtype=np.float32), np.zeros(units, np.float32)], model.outputs[0]
        if output in ("probability", "normal-probability"):
            clipped = ops.clip(features, EPSILON, 1 - EPSILON)
            features = ops.log(clipped / (1 - clipped))
        elif interpretation.are_probabilities:
            features = ops.log(ops.maximum(features, EPSILON))
    if output == "normal-probability":
        weights = [-weight for weight in weights]
    if output == "tumour-first":
        weights = [weight[..., ::-1] for weight in weights]
    last = layers.Dense(units, activation, dtype="float32", name="probability_of_tumour")
    whole = keras.Model(model.inputs[0], last(features), name=name)
    last.set_weights(weights)
    return whole


def _final_dense(model: keras.Model, output: str) -> Any:
    """Return the dense layer that computes the logits, with or without its activation; None if none does."""
    last, before = model.layers[-1], model.layers[-2]
    own = {1: keras.activations.sigmoid, 2: keras.activations.softmax}[model.output_shape[-1]]
    linear = keras.activations.linear
    if isinstance(last, layers.Dense) and last.activation is linear and output in ("probability", "normal-probability"):
        return None  # It computes the probability itself.
    if isinstance(last, layers.Dense) and last.activation in (own, linear):
        return last
    ends = isinstance(last, layers.Activation) and last.activation is own
    ends = ends or (isinstance(last, layers.Softmax) and own is keras.activations.softmax)
    if ends and isinstance(before, layers.Dense) and before.activation is linear and last.input is before.output:
        return before
    return None


def _ends_as_expected(model: keras.Model) -> bool:
    try:
        check_last_layer(model)
    except ModelError:
        return False
    return True


def _unused(name: str, model: keras.Model) -> str:
    names = {layer.name for layer in model.layers}
    return next(each for each in (name, *(f"{name}_{number}" for number in range(1000))) if each not in names)


def _scalar(values: tuple[float, float, float]) -> float | list[float]:
    return values[0] if len(set(values)) == 1 else list(values)
