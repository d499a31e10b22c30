"""Versions, backend and processor: what a result depends on besides its settings."""

import os
import platform

import keras
import numpy as np

from sentinode.machine import processor_count, processor_name
from sentinode.training.distributed import ProcessGroup
from sentinode.version import BACKEND_PACKAGES, __version__, installed_version

# Variables that change the order of floating-point operations.
ARITHMETIC = (
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "XLA_FLAGS",
)


def environment() -> dict[str, str | int]:
    """Describe versions, backend, platform and the resources of this process.

    Returns
    -------
    dict

    Examples
    --------
    >>> environment()["sentinode"] == __version__
    True
    """
    backend, group = keras.backend.backend(), ProcessGroup.current()
    return {
        "sentinode": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": backend,
        "backend_version": installed_version(*BACKEND_PACKAGES.get(backend, ())) or "unknown",
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor_name(),
        "arithmetic": " ".join(f"{name}={os.environ[name]}" for name in ARITHMETIC if os.environ.get(name)),
        "threads": processor_count(),
        "devices": group.devices,
        "processes": group.processes,
    }
