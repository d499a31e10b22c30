"""What a result depends on beside its settings: versions, backend, processor."""

import platform

import keras
import numpy as np

from sentinode.machine import processors
from sentinode.training.devices import Crew
from sentinode.version import BACKEND_PACKAGES, __version__, installed


def environment() -> dict[str, str | int]:
    """Return versions, backend, platform, and what this process may use of the machine.

    Examples
    --------
    >>> environment()["sentinode"] == __version__
    True
    """
    backend, crew = keras.backend.backend(), Crew.now()
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
        "devices": crew.devices,
        "processes": crew.processes,
    }
