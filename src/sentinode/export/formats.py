"""The export formats; the command line lists them without importing Keras."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinode.errors import ConfigError, DataError
from sentinode.extras import check_installed
from sentinode.output_paths import check_no_other_files, check_output_file, check_output_folder
from sentinode.storage import read_json

WSINFER_CONFIG = "config.json"


@dataclass(frozen=True)
class Format:
    """One export format.

    Attributes
    ----------
    ending : str
        The ending of the file to write; empty for a folder.
    files : tuple of str
        The names of all files if the first is called ``model`` with its ending.
    backend : str or None
        The Keras backend that converts the network, in a process of its own; None: any backend, in this process.
    needs : mapping
        Modules that convert or run the format, each with the extra that installs it.
    runtime : str
        The package that runs the format.
    """

    ending: str
    files: tuple[str, ...]
    backend: str | None
    needs: Mapping[str, str]
    runtime: str


# TensorFlow comes with the package, and its graphs convert to fewer nodes than PyTorch's.
FORMATS: Mapping[str, Format] = {
    "keras": Format(".keras", ("model.keras",), None, {}, "keras"),
    "onnx": Format(".onnx", ("model.onnx",), "tensorflow", {"tf2onnx": "onnx", "onnxruntime": "onnx"}, "onnxruntime"),
    "openvino": Format(".xml", ("model.xml", "model.bin"), "tensorflow", {"openvino": "openvino"}, "openvino"),
    "wsinfer": Format("", ("torchscript_model.pt", WSINFER_CONFIG), "torch", {"torch": "torch"}, "torch"),
}


def find_format(name: str) -> Format:
    """Return a format by name, if the packages that it needs are installed.

    Raises
    ------
    ConfigError
        The format is unknown, or a package is missing; the message names the extra that installs it.

    Examples
    --------
    >>> find_format("keras").ending
    '.keras'
    """
    if name not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}; got {name!r}")
    for module, extra in FORMATS[name].needs.items():
        check_installed(module, extra, f"format {name}")
    return FORMATS[name]


def check_export_path(out: str | Path, name: str) -> None:
    """Check that a network can be written to a path in a format.

    Raises
    ------
    ConfigError
        The path has another ending than the format, or something else is in its place.
    OutputError
        The path cannot be written.
    """
    out, ending = Path(out), FORMATS[name].ending
    if ending:
        if out.suffix != ending or out.is_dir():
            raise ConfigError(f"{out}: format {name} is a file that ends in {ending}; use such a name")
        for file in export_files(out, name):
            check_output_file(file)
            if file.exists() and not out.exists():
                raise ConfigError(f"{file} exists without {out.name}; delete it, or choose another output file")
        return
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not _is_wsinfer_export(out)):
        raise ConfigError(f"{out}: format {name} is a folder, but this is something else; choose another")
    check_output_folder(out)
    check_no_other_files(out, FORMATS[name].files)


def export_files(out: Path, name: str) -> list[Path]:
    """Return the files of the network in a format that is not a folder, `out` first.

    Examples
    --------
    >>> [file.name for file in export_files(Path("tumour.xml"), "openvino")]
    ['tumour.xml', 'tumour.bin']
    """
    return [out.with_suffix(Path(file).suffix) for file in FORMATS[name].files]


def _is_wsinfer_export(folder: Path) -> bool:
    try:
        return "sentinode" in read_json(folder / WSINFER_CONFIG)
    except (OSError, DataError, TypeError):
        return False
