"""What a result depends on beside its settings: versions, backend, processor."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import keras

from sentinode.version import __version__

_BACKEND_PACKAGES = {"tensorflow": ("tensorflow-cpu", "tensorflow"), "jax": ("jax",), "torch": ("torch",)}


def environment() -> dict[str, str | int]:
    """Return versions, backend, platform and number of processors that this process may use.

    Examples
    --------
    >>> environment()["sentinode"] == __version__
    True
    """
    backend = keras.backend.backend()
    return {
        "sentinode": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": backend,
        "backend_version": next(filter(None, map(_version, _BACKEND_PACKAGES.get(backend, ()))), "unknown"),
        "numpy": version("numpy"),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "threads": processors(),
    }


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
