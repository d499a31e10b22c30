"""Cache models that were exported for an inference engine."""

import hashlib
import logging
from pathlib import Path

from sentinode.data.cache.store import build_entry, entry_path, mark_used
from sentinode.export.formats import FORMATS
from sentinode.inference.predictor import Predictor
from sentinode.version import __version__

log = logging.getLogger("sentinode")

# Export format that each inference engine runs.
FORMAT_OF = {"onnxruntime": "onnx", "openvino": "openvino"}


def engine_path(run: Predictor, architecture: Path, engine: str) -> Path:
    """Return the path of the file that an inference engine runs, whether it exists or not.

    Parameters
    ----------
    run : Predictor
        The trained model.
    architecture : Path
        The file that describes its architecture.
    engine : {"onnxruntime", "openvino"}
        The engine.

    Returns
    -------
    Path
        A file in the cache. Its folder is named by a hash of weights, architecture, calibration, package version and
        format.
    """
    hashed = hashlib.sha256(architecture.read_bytes()).hexdigest()
    network = {key: value for key, value in run.identity.items() if key not in ("model", "threshold")}
    content = (network, hashed, __version__, FORMAT_OF[engine])
    key = hashlib.sha256(repr(content).encode("utf-8")).hexdigest()[:32]
    return entry_path("exports", key) / FORMATS[FORMAT_OF[engine]].files[0]


def is_exported(path: Path) -> bool:
    """Tell whether an exported file exists and is complete."""
    return path.is_file() and Path(f"{path}.json").is_file()  # The json is written last.


def engine_file(run: Predictor, architecture: Path, engine: str) -> Path:
    """Return the file that an inference engine runs; export the run first if it does not exist.

    Parameters
    ----------
    run : Predictor
        See `engine_path`.
    architecture : Path
        See `engine_path`.
    engine : str
        See `engine_path`.

    Returns
    -------
    Path
        The exported model.

    Raises
    ------
    ModelError
        The run cannot be exported.
    DataError
        The cache cannot be written.
    """
    path = engine_path(run, architecture, engine)
    if not is_exported(path):
        from sentinode.export.export import export_run

        def fill(folder: Path) -> dict[str, str]:
            log.info("exporting %s for %s (once): %s", run.name, engine, path)
            export_run(run, folder / path.name, FORMAT_OF[engine])
            return {"source": str(run.identity["model"]), "format": FORMAT_OF[engine]}

        build_entry(path.parent, fill, lambda: is_exported(path))
    mark_used(path.parent)
    return path
