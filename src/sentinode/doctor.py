"""What this installation has, what it will use, and what is missing for which feature."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sentinode.data.cache.store import cache_folder
from sentinode.version import BACKEND_PACKAGES, __version__, installed

REQUIRED = (
    "keras",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "pillow",
    "h5py",
    "matplotlib",
    "tensorboard",
    "rich",
)
# What each extra of the package brings, and the commands that need it.
EXTRAS = {
    "tune": (("optuna",), "sentinode tune"),
    "onnx": (("onnxruntime", "tf2onnx"), "export --format onnx, predict --engine onnxruntime"),
    "openvino": (("openvino",), "export --format openvino, predict --engine openvino"),
}
# How to get each backend on the CPU and on an NVIDIA GPU.
BACKENDS = {
    "tensorflow": (
        "pip install sentinode",
        "pip uninstall tensorflow-cpu, then pip install 'tensorflow[and-cuda]'",
    ),
    "jax": ("pip install 'sentinode[jax]'", "pip install 'jax[cuda12]'"),
    "torch": ("pip install 'sentinode[torch]'", "pip install torch, from the index for your CUDA version"),
}
# Runs in a process of its own, so that a broken backend cannot take this one along.
_PROBE = """
import json, os
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
name = keras.backend.backend()
if name == "tensorflow":
    import tensorflow
    devices = [d.device_type for d in tensorflow.config.list_physical_devices()]
elif name == "jax":
    import jax
    devices = [d.platform.upper() for d in jax.devices()]
else:
    import torch
    devices = ["GPU"] * torch.cuda.device_count() + ["MPS"] * torch.backends.mps.is_available() + ["CPU"]
total = float(keras.ops.sum(keras.ops.ones((2, 2))))
print(json.dumps({"backend": name, "devices": devices, "works": total == 4.0}))
"""
_PROBE_LIMIT_S = 120


@dataclass(frozen=True)
class Report:
    """What `examine` found.

    Attributes
    ----------
    system
        Versions of Sentinode, Python and the platform, processors, memory of the cache.
    packages
        Version of each required package, or None.
    extras
        The same of the packages that optional commands need.
    backends
        Version of each backend that Keras can use, or None.
    backend
        The one that will be used.
    chosen_by
        Why this one.
    devices
        What the backend sees, such as ``["CPU"]``; empty when it does not start.
    failure
        Why the backend does not start, or an empty text.
    advice
        What is missing and how to get it, one sentence each.
    """

    system: dict[str, Any]
    packages: dict[str, str | None]
    extras: dict[str, str | None]
    backends: dict[str, str | None]
    backend: str
    chosen_by: str
    devices: list[str]
    failure: str
    advice: list[str]

    @property
    def backend_works(self) -> bool:
        """Whether the backend started and computed a sum."""
        return not self.failure

    def to_json(self) -> dict[str, Any]:
        """Return the findings as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the findings for a terminal."""
        lines = [f"{name:<12}{value}" for name, value in self.system.items()]
        lines += ["", "packages"]
        lines += [f"  {name:<14}{found or 'missing'}" for name, found in self.packages.items()]
        lines += ["", "optional"]
        for extra, (names, commands) in EXTRAS.items():
            for name in names:
                how = f"not installed: pip install 'sentinode[{extra}]', for {commands}"
                lines.append(f"  {name:<14}{self.extras[name] or how}")
        lines += ["", f"backend       {self.backend} ({self.chosen_by})"]
        for name, found in self.backends.items():
            how = f"not installed: {BACKENDS[name][0]}"
            lines.append(f"  {name:<14}{found or how}" + ("  <- used" if found and name == self.backend else ""))
        lines.append(f"devices       {', '.join(self.devices) or '-'}")
        if self.failure:
            lines.append(f"failure       {self.failure}")
        lines += ["", *(f"advice: {sentence}" for sentence in self.advice)] if self.advice else ["", "all is well"]
        return "\n".join(lines)


def examine() -> Report:
    """Look at packages and at the backend; the backend is started in a process of its own.

    Examples
    --------
    >>> examine().packages["numpy"] is not None
    True
    """
    backend, chosen_by = _chosen_backend()
    packages = {name: installed(name) for name in REQUIRED}
    extras = {name: installed(name) for names, _ in EXTRAS.values() for name in names}
    backends = {name: installed(*names) for name, names in BACKEND_PACKAGES.items()}
    found = _probe()
    devices, failure = found.get("devices", []), found.get("failure", "")
    if not failure and not found["works"]:
        failure = "it starts, but does not add up"
    folder = cache_folder()
    system = {
        "sentinode": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "cache": f"{folder} ({shutil.disk_usage(_existing(folder)).free / 1e9:,.0f} GB free)",
    }
    advice = _advice(packages, backends, backend, devices, failure)
    return Report(system, packages, extras, backends, backend, chosen_by, devices, failure, advice)


def _chosen_backend() -> tuple[str, str]:
    """Follow Keras' own order: the environment, its configuration file, TensorFlow."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"], "KERAS_BACKEND"
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"]), str(file)
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow", "Keras' default"


def _probe() -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"no answer within {_PROBE_LIMIT_S} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"failure": last}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _advice(
    packages: dict[str, str | None],
    backends: dict[str, str | None],
    backend: str,
    devices: list[str],
    failure: str,
) -> list[str]:
    advice = [
        f"{name} is missing; pip install --force-reinstall sentinode" for name, found in packages.items() if not found
    ]
    if backend not in BACKENDS:
        return [*advice, f"Keras has no backend {backend!r}; set KERAS_BACKEND to {', '.join(BACKENDS)}"]
    if backends[backend] is None:
        advice.append(f"{backend} is not installed; {BACKENDS[backend][0]}, or set KERAS_BACKEND to one that is")
    elif failure:
        advice.append(f"{backend} does not start; reinstall it, or set KERAS_BACKEND to another backend")
    elif backend != "tensorflow" and backends["tensorflow"] and set(devices) == {"CPU"}:
        advice.append(
            f"on a CPU TensorFlow trains the classic network two to four times as fast as {backend}; "
            "set KERAS_BACKEND=tensorflow (docs/benchmarks.md)"
        )
    if shutil.which("nvidia-smi") and devices and not any("GPU" in name or "CUDA" in name for name in devices):
        advice.append(f"there is an NVIDIA GPU that {backend} does not see; {BACKENDS[backend][1]} (docs/gpu.md)")
    return advice


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())
