"""Load architectures from JSON without running code from the file."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import keras

from sentinode.errors import ModelError, first_line
from sentinode.models.backend import without_tensorflow
from sentinode.models.build import seeded_initializers

# Importing these registers the layers as "sentinode>…".
CUSTOM_LAYERS = ("sentinode.layers.preprocessing", "sentinode.layers.d4")
SYMBOLIC_TENSOR = "__keras_tensor__"
# Layers that hold code, and layers that read other files.
CODE_LAYERS = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
FILE_LAYERS = {"StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"}


def model_from_file(path: str | Path, seed: int = 0) -> keras.Model:
    """Build the model that a ``model.json`` describes, with new initial weights.

    Only classes of Keras and Sentinode are instantiated. A file that names any other class is refused, so that loading
    never executes code from the file.

    Parameters
    ----------
    path : str or Path
        File with the result of ``model.to_json()``.
    seed : int, default 0
        Seed of the initial weights and of dropout.

    Returns
    -------
    keras.Model

    Raises
    ------
    ModelError
        The file is missing, is not JSON, or names a class that is not allowed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        config = json.loads(text)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not the JSON of a Keras model ({error})") from error
    _check(config, str(path))
    for module in CUSTOM_LAYERS:
        import_module(module)
    try:
        with without_tensorflow(), seeded_initializers(seed):
            model = keras.models.model_from_json(text)
    except Exception as error:  # Keras raises a dozen kinds for a config that it cannot read.
        reason = first_line(error)
        raise ModelError(f"{path}: Keras {keras.__version__} cannot build this architecture ({reason})") from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path}: describes a {type(model).__name__}; expected a Keras model")
    return model


def _check(config: Any, path: str) -> None:
    if isinstance(config, list):
        for item in config:
            _check(item, path)
    if not isinstance(config, dict):
        return
    if "class_name" in config and config["class_name"] != SYMBOLIC_TENSOR:
        name, module = str(config["class_name"]), str(config.get("module") or "")
        ours = str(config.get("registered_name") or "").startswith("sentinode>") and module.startswith("sentinode.")
        from_keras = module == "keras" or module.startswith("keras.") or (not module and name in vars(keras.layers))
        if name in CODE_LAYERS | FILE_LAYERS or name.startswith("__lambda") or not (from_keras or ours):
            raise ModelError(
                f"{path}: refused, since it names {module or '?'}.{name}; only layers of Keras and Sentinode are loaded"
            )
    for value in config.values():
        _check(value, path)
