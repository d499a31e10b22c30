"""What a result depends on beside its settings: versions, backend, processor."""

import platform

import keras
import numpy as np

from sentinode.machine import processors
from sentinode.version import BACKEND_PACKAGES, __version__, installed


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
        "backend_version": installed(*BACKEND_PACKAGES.get(backend, ())) or "unknown",
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": platform.machine(),
        "threads": processors(),
    }
