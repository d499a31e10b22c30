"""Recognize a model file by its content, and refuse what could run code when it is loaded."""

import zipfile
from pathlib import Path
from typing import Any

from sentinode.errors import ConfigError, DataError, ModelError
from sentinode.storage import read_json

# Of one number per patch: logit or probability. Of two, normal first: softmax probabilities or logits.
OUTPUTS = ("logit", "probability", "softmax", "normal-probability", "tumour-first")
ENDINGS = {
    ".keras": "keras",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".json": "json",
    ".onnx": "onnx",
    ".xml": "openvino",
    ".pt": "torchscript",
    ".pth": "torchscript",
    ".torchscript": "torchscript",
    ".ts": "torchscript",
}
PICKLES = (".pkl", ".pickle", ".joblib", ".ckpt", ".bin", ".sav")
WAYS_OUT = {
    ".pb": "load the SavedModel in TensorFlow and save the Keras model as .keras",
    ".tflite": "export the original model as .keras or .onnx",
    ".safetensors": "it contains weights only; export the whole model with torch.onnx.export or torch.jit.trace",
    ".mlmodel": "export the original model as .onnx",
}


def is_model_file(path: str | Path) -> bool:
    """Tell whether a path looks like a model file, or a folder with an architecture and its weights.

    Examples
    --------
    >>> is_model_file("my.onnx"), is_model_file("predictions.csv"), is_model_file("runs/first")
    (True, False, False)
    """
    path = Path(path)
    if path.is_dir():
        return not (path / "config.json").exists() and (_saved_model(path) or bool(_architectures(path)))
    return path.suffix.lower() in (*ENDINGS, *PICKLES, *WAYS_OUT)


def check_no_interpretation(model: str, input_scale: str | None, model_output: str | None) -> None:
    """Refuse to interpret inputs and outputs of a model that is no external model file.

    Raises
    ------
    ConfigError
        `input_scale` or `model_output` is given.
    """
    options = {"--input-scale (input_scale)": input_scale, "--model-output (model_output)": model_output}
    if given := [name for name, value in options.items() if value is not None]:
        raise ConfigError(
            f"{' and '.join(given)}: only for external model files, and {model} is not one; leave this out"
        )


def is_keras_file(path: str | Path) -> bool:
    """Tell whether loading a model file needs Keras.

    Examples
    --------
    >>> is_keras_file("my.h5"), is_keras_file("my.onnx"), is_keras_file("d4net-m")
    (True, False, False)
    """
    return is_model_file(path) and (
        Path(path).is_dir() or Path(path).suffix.lower() in (".keras", ".h5", ".hdf5", ".json")
    )


def recognize(path: Path) -> str:
    """Return the kind of a model file.

    Parameters
    ----------
    path : Path
        A file, or a folder with one architecture (json) and its weights.

    Returns
    -------
    str
        A value of `ENDINGS`.

    Raises
    ------
    ModelError
        There is no such file, it is a pickle or another format that is not supported, or its content is not that of
        its ending.
    """
    if path.is_dir():
        if _saved_model(path):
            raise ModelError(f"{path}: a TensorFlow SavedModel is not supported; {WAYS_OUT['.pb']}")
        return "json"
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model file")
    ending = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(64)
    if ending in PICKLES or start[:1] == b"\x80":
        raise ModelError(f"{path}: refused, a pickle can run code when it is loaded; {_INSTEAD}")
    if ending in WAYS_OUT:
        raise ModelError(f"{path}: {ending} is not supported; {WAYS_OUT[ending]}")
    kind = ENDINGS[ending]
    magic = {"keras": b"PK\x03\x04", "hdf5": b"\x89HDF\r\n\x1a\n", "torchscript": b"PK\x03\x04"}.get(kind, b"")
    if not start.startswith(magic):
        raise ModelError(f"{path}: not a {ending} file, its content is something else; save the model again")
    if kind == "torchscript":
        _check_torchscript(path)
    return kind


_INSTEAD = "export the model to ONNX (torch.onnx.export) or TorchScript (torch.jit.trace(model, example).save(file))"


def _check_torchscript(path: Path) -> None:
    """Refuse archives that are not TorchScript; `open_network` checks the code of those that are."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ModelError(f"{path}: not a TorchScript archive ({error}); {_INSTEAD}") from error
    root = names[0].split("/")[0] if names else ""
    if f"{root}/constants.pkl" not in names or not any(name.startswith(f"{root}/code/") for name in names):
        raise ModelError(f"{path}: refused, a pickle of torch.save, which can run code; {_INSTEAD}")


def find_weights(path: Path) -> tuple[Path, Path]:
    """Return an architecture and the weights beside it.

    Parameters
    ----------
    path : Path
        The json, or its folder.

    Raises
    ------
    ModelError
        There is none, or more than one could be meant.
    """
    if path.is_dir():
        architectures = _architectures(path)
        if len(architectures) != 1:
            names = ", ".join(file.name for file in architectures)
            raise ModelError(f"{path}: several architectures ({names}); specify one of the files")
        path = architectures[0]
    same_stem = [path.with_name(f"{path.stem}{ending}") for ending in (".weights.h5", ".h5", ".hdf5", "_weights.h5")]
    usual = [path.with_name(name) for name in ("weights.hdf5", "weights.h5", "model.weights.h5")]
    found = [file for file in (*same_stem, *usual) if file.is_file()]
    others = sorted({*path.parent.glob("*.h5"), *path.parent.glob("*.hdf5")})
    if not found and len(others) == 1:
        found = others
    if not found:
        raise ModelError(
            f"{path}: no weights in the folder of this architecture; put them there as "
            f"{path.stem}.weights.h5 or weights.hdf5"
        )
    return path, found[0]


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return the json beside a model file, such as the one that `export_run` writes; empty if there is none."""
    file = Path(f"{path}.json")
    if not file.is_file():
        return {}
    content = read_json(file)
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected a JSON object; correct or delete the file")
    return content


def _architectures(folder: Path) -> list[Path]:
    found = []
    for file in sorted(folder.glob("*.json")):
        with file.open("rb") as content:
            if b'"class_name"' in content.read(4096):
                found.append(file)
    return found


def _saved_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file()
