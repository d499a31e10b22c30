"""Load architectures from JSON without running code from the file."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import keras

from sentinode.errors import ModelError, first_line
from sentinode.models.backend import without_tensorflow
from sentinode.models.build import seeded_initializers

# Importing these registers the layers as "sentinode>…".
CUSTOM_LAYERS = ("sentinode.layers.preprocessing", "sentinode.layers.d4")
# Plain values in a configuration.
VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
MODEL_CLASSES = {"Sequential", "Functional", "Model"}
KERAS_MODULES = re.compile(
    r"keras(\.(layers|models|initializers|regularizers|constraints|activations|dtype_policies|ops|quantizers))?"
    r"|keras\.src\.(models|layers|ops)\.\w+(\.\w+)*"
)
# Modules whose functions compute on tensors only; others, such as keras.utils.get_file, reach beyond the model.
FUNCTION_MODULES = {"keras.activations", "keras.ops", "keras.ops.nn", "keras.ops.numpy"}
# Layers that hold code, and layers that read other files.
CODE_LAYERS = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
FUNCTION_OPERATIONS = {"Map", "Scan", "AssociativeScan", "Cond", "Switch", "WhileLoop", "ForiLoop", "VectorizedMap"}
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
    check_config(config, str(path))
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


def check_config(config: Any, where: str) -> None:
    """Refuse a model configuration that names anything but layers and operations of Keras and Sentinode.

    Parameters
    ----------
    config : object
        Parsed JSON of a Keras model, of Keras 2 or 3.
    where : str
        The file, for the message.

    Raises
    ------
    ModelError
        It names a class or function of another module, or one that holds code or reads files.
    """
    if isinstance(config, list):
        for item in config:
            check_config(item, where)
    if not isinstance(config, dict):
        return
    name, module = str(config.get("class_name")), str(config.get("module") or "")
    if "class_name" in config and name not in VALUES and not _is_allowed(name, module, config):
        named = f"{module or '?'}.{name}"
        raise ModelError(f"{where}: refused, because it uses {named}; only layers of Keras and Sentinode are loaded")
    for value in config.values():
        check_config(value, where)


def _is_allowed(name: str, module: str, config: dict[str, Any]) -> bool:
    if name in CODE_LAYERS | FILE_LAYERS | FUNCTION_OPERATIONS:
        return False
    if name == "function":
        return module in FUNCTION_MODULES
    if not module:  # Keras 2 names classes without their modules.
        places = (keras.layers, keras.initializers, keras.regularizers, keras.constraints)
        return name in MODEL_CLASSES or any(name in vars(place) for place in places)
    if str(config.get("registered_name") or "").startswith("sentinode>"):
        return module.startswith("sentinode.layers.")
    return KERAS_MODULES.fullmatch(module) is not None
