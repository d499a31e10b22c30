"""Cache models that were exported for an inference engine."""

import hashlib
import logging
from pathlib import Path

from sentinode.data.cache.store import build_entry, entry_path, mark_used
from sentinode.export.formats import FORMATS
from sentinode.inference.predictor import Predictor
from sentinode.storage import sha256_of, write_json
from sentinode.version import __version__

log = logging.getLogger("sentinode")

# Export format that each inference engine runs.
FORMAT_OF = {"onnxruntime": "onnx", "openvino": "openvino"}


def engine_path(run: Predictor, architecture: Path, engine: str, precision: str = "float32") -> Path:
    """Return the path of the file that an inference engine runs, whether it exists or not.

    Parameters
    ----------
    run : Predictor
        The trained model.
    architecture : Path
        The file that describes its architecture.
    engine : {"onnxruntime", "openvino"}
        The engine.
    precision : str
        ``"int8"`` has a file of its own, which both engines run.

    Returns
    -------
    Path
        A file in the cache. Its folder is named by a hash of weights, architecture, calibration, package version and
        format.
    """
    kind = "onnx" if precision == "int8" else FORMAT_OF[engine]
    network = {key: value for key, value in run.identity.items() if key not in ("model", "threshold")}
    content = (network, sha256_of(architecture), __version__, "int8, percentiles" if precision == "int8" else kind)
    key = hashlib.sha256(repr(content).encode("utf-8")).hexdigest()[:32]
    return entry_path("exports", key) / FORMATS[kind].files[0]


def is_exported(path: Path) -> bool:
    """Tell whether an exported file exists and is complete."""
    return path.is_file() and Path(f"{path}.json").is_file()  # The json is written last.


def engine_file(run: Predictor, architecture: Path, engine: str, precision: str = "float32") -> Path:
    """Return the file that an inference engine runs; export the run first if it does not exist.

    Parameters
    ----------
    run : Predictor
        See `engine_path`.
    architecture : Path
        See `engine_path`.
    engine, precision : str
        See `engine_path`.

    Returns
    -------
    Path
        The exported model.

    Raises
    ------
    ModelError
        The run cannot be exported, or its probabilities differ too much in int8.
    DataError
        The cache cannot be written.
    """
    path = engine_path(run, architecture, engine, precision)
    if not is_exported(path):

        def fill(folder: Path) -> dict[str, str]:
            if precision == "int8":
                _quantize(engine_file(run, architecture, "onnxruntime"), folder / path.name)
            else:
                _export(run, folder / path.name, FORMAT_OF[engine])
            return {"source": str(run.identity["model"]), "format": FORMAT_OF[engine], "precision": precision}

        log.info("exporting %s for %s (once): %s", run.name, engine, path)
        build_entry(path.parent, fill, lambda: is_exported(path))
    mark_used(path.parent)
    return path


def _export(run: Predictor, out: Path, kind: str) -> None:
    from sentinode.export.export import export_run

    export_run(run, out, kind)


def _quantize(network: Path, out: Path) -> None:
    from sentinode.export.int8 import quantize_to_int8

    write_json(Path(f"{out}.json"), quantize_to_int8(network, out))
