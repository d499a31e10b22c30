"""Check an installation: packages, backend, devices, cache folder, and what is missing for which feature."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from sentinode.data.cache.store import cache_folder
from sentinode.errors import OutputError
from sentinode.machine import processor_count
from sentinode.output_paths import check_output_folder
from sentinode.version import BACKEND_PACKAGES, __version__, installed_version

# The features that each extra of the package is for; backends are listed on their own.
FEATURES = {
    "tune": "sentinode tune",
    "onnx": "export --format onnx, predict --engine onnxruntime",
    "openvino": "export --format openvino, predict --engine openvino",
    "parquet": "Parquet files as DATA",
    "imagenet": "ImageNet weights of the transfer network",
    "slides": "sentinode scan, sentinode extract",
    "dask": "scan --dask",
    "serve": "sentinode serve",
    "view": "sentinode view",
}
# How to install each backend for the CPU and for an NVIDIA GPU.
BACKENDS = {
    "tensorflow": (
        "pip install sentinode",
        "pip uninstall tensorflow-cpu, then pip install 'tensorflow[and-cuda]'",
    ),
    "jax": ("pip install 'sentinode[jax]'", "pip install 'jax[cuda12]'"),
    "torch": ("pip install 'sentinode[torch]'", "pip install torch, from the index for your CUDA version"),
}
# Runs in a process of its own, because a broken backend may crash it.
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
class Diagnosis:
    """What `diagnose` found.

    Attributes
    ----------
    system : dict
        Versions of Sentinode, Python and the platform, number of processors, cache folder and its free space.
    packages : dict of str to str or None
        Version of each required package, or None.
    extras : dict of str to str or None
        Version of each package that optional features need, or None.
    backends : dict of str to str or None
        Version of each backend that Keras supports, or None.
    backend : str
        The backend that Keras will use.
    chosen_by : str
        The environment variable or file that selects it.
    devices : list of str
        Devices that the backend finds, such as ``["CPU"]``; empty when it does not start.
    failure : str
        Why the backend does not start, or an empty string.
    advice : list of str
        What is wrong and how to correct it, one sentence each.
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
        """Whether the backend started and computed a sum correctly."""
        return not self.failure

    def to_text(self) -> str:
        """Format the diagnosis for a terminal."""
        lines = [f"{name:<12}{value}" for name, value in self.system.items()]
        width = max(map(len, (*self.packages, *self.extras))) + 2
        lines += ["", "required packages"]
        lines += [f"  {name:<{width}}{version or 'missing'}" for name, version in self.packages.items()]
        lines += ["", "optional packages"]
        hints: dict[str, list[str]] = {name: ["not installed"] for name in self.extras}
        for extra, feature in FEATURES.items():
            for name in _packages_of(extra):
                hints[name].append(f"for {feature}: pip install 'sentinode[{extra}]'")
        lines += [f"  {name:<{width}}{version or '; '.join(hints[name])}" for name, version in self.extras.items()]
        lines += ["", f"backend       {self.backend} (set by {self.chosen_by})"]
        for name, version in self.backends.items():
            hint = f"not installed: {BACKENDS[name][0]}"
            lines.append(
                f"  {name:<{width}}{version or hint}" + ("  <- used" if version and name == self.backend else "")
            )
        lines.append(f"devices       {', '.join(self.devices) or 'none'}")
        if self.failure:
            lines.append(f"failure       {self.failure}")
        lines += (
            ["", *(f"advice: {sentence}" for sentence in self.advice)] if self.advice else ["", "no problems found"]
        )
        return "\n".join(lines)


def diagnose() -> Diagnosis:
    """Check the packages, the cache folder and the backend, which is started in a process of its own.

    Returns
    -------
    Diagnosis

    Examples
    --------
    >>> diagnose().packages["numpy"] is not None
    True
    """
    backend, chosen_by = _chosen_backend()
    packages = {name: installed_version(name) for name in _packages_of()}
    extras = {name: installed_version(name) for extra in FEATURES for name in _packages_of(extra)}
    backends = {name: installed_version(*names) for name, names in BACKEND_PACKAGES.items()}
    probe = _probe()
    devices, failure = probe.get("devices", []), probe.get("failure", "")
    if not failure and not probe["works"]:
        failure = "it starts, but computes a wrong sum"
    folder = cache_folder()
    system = {
        "sentinode": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "processors": processor_count(),
        "cache": f"{folder} ({shutil.disk_usage(_nearest(folder)).free / 1e9:,.0f} GB free)",
    }
    advice = [*_cache_advice(folder), *_advice(packages, backends, backend, devices, failure)]
    return Diagnosis(system, packages, extras, backends, backend, chosen_by, devices, failure, advice)


def _packages_of(extra: str = "") -> list[str]:
    """Return the packages that an extra adds on this platform, or those that are always required, less the backends."""
    backends = {name for names in BACKEND_PACKAGES.values() for name in names}
    wanted = [Requirement(line) for line in requires("sentinode") or ()]
    # Only the packages of an extra have a marker that depends on it.
    return [
        each.name
        for each in wanted
        if each.name not in backends
        and bool(each.marker and not each.marker.evaluate({"extra": ""})) is bool(extra)
        and (each.marker is None or each.marker.evaluate({"extra": extra}))
    ]


def _chosen_backend() -> tuple[str, str]:
    # The order that Keras follows: the environment, its configuration file, TensorFlow.
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"], "KERAS_BACKEND"
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"]), str(file)
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow", "default"


def _probe() -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE],  # -P: no module is taken from the working folder.
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
        advice.append(
            f"{backend} is not installed; {BACKENDS[backend][0]}, or set KERAS_BACKEND to an installed backend"
        )
    elif failure:
        advice.append(f"{backend} does not start; reinstall it, or set KERAS_BACKEND to another backend")
    elif backend != "tensorflow" and backends["tensorflow"] and set(devices) == {"CPU"}:
        advice.append(
            f"on a CPU TensorFlow trains the classic network two to four times as fast as {backend}; "
            "set KERAS_BACKEND=tensorflow (docs/benchmarks.md)"
        )
    if shutil.which("nvidia-smi") and devices and not any("GPU" in name or "CUDA" in name for name in devices):
        advice.append(f"{backend} does not find the NVIDIA GPU of this machine; {BACKENDS[backend][1]} (docs/gpu.md)")
    return advice


def _cache_advice(folder: Path) -> list[str]:
    try:
        check_output_folder(folder)
    except OutputError as error:
        return [f"the cache folder cannot be written: {error}; set SENTINODE_CACHE to another folder"]
    return []


def _nearest(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
