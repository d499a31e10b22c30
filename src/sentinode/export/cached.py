"""Runs that were exported for an engine once, in the user's cache."""

import hashlib
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sentinode.errors import ModelError
from sentinode.export.formats import FORMATS
from sentinode.version import __version__

log = logging.getLogger("sentinode")

# Whatever has another name was not made here and is never deleted.
_NAME = re.compile(r"[0-9a-f]{32}")
# What each engine of `predict` runs.
FORMAT_OF = {"onnxruntime": "onnx", "openvino": "openvino"}


def engine_path(run: Any, engine: str) -> Path:
    """Return where the file is, or will be, that an engine runs.

    Its folder is named after all that goes into it: weights, architecture, calibration, our version and the format.
    """
    architecture = hashlib.sha256((run.path / "model.json").read_bytes()).hexdigest()
    made_of = (run.identity["weights_sha256"], architecture, run.calibration, __version__, FORMAT_OF[engine])
    key = hashlib.sha256(repr(made_of).encode("utf-8")).hexdigest()[:32]
    return exports_folder() / key / FORMATS[FORMAT_OF[engine]].files[0]


def is_exported(run: Any, engine: str) -> bool:
    """Say whether an engine's file is there."""
    path = engine_path(run, engine)
    return path.is_file() and Path(f"{path}.json").is_file()  # The json is written last.


def engine_file(run: Any, engine: str) -> Path:
    """Return the file that an engine runs; export the run when it is not there.

    Raises
    ------
    ModelError
        The run cannot be exported, or the cache cannot be written.
    """
    path = engine_path(run, engine)
    if is_exported(run, engine):
        return path
    from sentinode.export.export import export_run

    log.info("exporting for %s, once: %s", engine, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / "lock"):
            if not is_exported(run, engine):  # Another process may have made it while we waited.
                export_run(run, path, FORMAT_OF[engine])
    except OSError as error:
        raise ModelError(
            f"{path.parent}: the cache cannot be written ({error.strerror or error}); "
            "name another folder with $SENTINODE_CACHE"
        ) from error
    return path


def list_exports() -> list[tuple[Path, int]]:
    """Return the folder of each run that was exported for an engine, and its size in bytes."""
    folders = [folder for folder in sorted(exports_folder().glob("*")) if _NAME.fullmatch(folder.name)]
    return [(folder, sum(file.stat().st_size for file in folder.iterdir())) for folder in folders]


def clear_exports() -> int:
    """Delete all of them that nobody is making; return how many bytes were freed."""
    freed = 0
    for folder, size_bytes in list_exports():
        try:
            with FileLock(folder / "lock").acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)  # Windows keeps a lock that is held.
                freed += size_bytes
        except Timeout:
            log.info("left alone, another process is making it: %s", folder)
    return freed


def exports_folder() -> Path:
    """Return where they are: in ``$SENTINODE_CACHE``, or the user's cache folder."""
    if os.environ.get("SENTINODE_CACHE"):
        return Path(os.environ["SENTINODE_CACHE"]) / "exports"
    from platformdirs import user_cache_path

    return user_cache_path("sentinode", appauthor=False) / "exports"
