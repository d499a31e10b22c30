"""The formats that a run can be exported to; the command line prints this table without importing Keras."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from sentinode.errors import ConfigError, ModelError


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    ending
        Of the file to write; empty for a folder.
    files
        The names of all files when the first is called ``model`` with its ending.
    backend
        The backend of Keras that it is made on, in a process of its own; None: made in this process, on any.
    needs
        The module that makes it or runs it, and the extra that brings it.
    """

    ending: str
    files: tuple[str, ...]
    backend: str | None
    needs: Mapping[str, str]


# TensorFlow comes with the package, and its graphs convert to fewer nodes than PyTorch's.
FORMATS: Mapping[str, Format] = {
    "keras": Format(".keras", ("model.keras",), None, {}),
    "onnx": Format(".onnx", ("model.onnx",), "tensorflow", {"tf2onnx": "onnx", "onnxruntime": "onnx"}),
    "openvino": Format(".xml", ("model.xml", "model.bin"), "tensorflow", {"openvino": "openvino"}),
    "wsinfer": Format("", ("torchscript_model.pt", "config.json"), "torch", {"torch": "torch"}),
}


def find_format(name: str) -> Format:
    """Return a format by name, when all that it needs is installed.

    Raises
    ------
    ConfigError
        There is no such format.
    ModelError
        A package is missing; the message names the extra that brings it.

    Examples
    --------
    >>> find_format("keras").ending
    '.keras'
    """
    if name not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}; got {name!r}")
    for module, extra in FORMATS[name].needs.items():
        if find_spec(module) is None:
            raise ModelError(f"format {name} needs {module}, which is not installed; pip install 'sentinode[{extra}]'")
    return FORMATS[name]
