"""Exported files as the software that they are for sees them, to compare their answers with Keras'."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.errors import ModelError
from sentinode.inference.engines import open_engine
from sentinode.version import installed_version

# What WSInfer does with a tile, in a process that has neither Keras nor us.
_TORCHSCRIPT = """
import sys
import numpy as np
import torch

network = torch.jit.load(sys.argv[1], map_location="cpu").eval()
tiles = torch.from_numpy(np.load(sys.argv[2])).permute(0, 3, 1, 2).contiguous().float().div(255)
with torch.no_grad():
    logits = torch.cat([network(part) for part in (tiles[:1], tiles[1:])]).double()
np.save(sys.argv[3], (logits[:, 1] - logits[:, 0]).numpy())
"""


def logits_of(kind: str, file: Path, pixels: UInt8Array) -> np.ndarray:
    """Return the log-odds of tumour that an exported file gives: float64, shape ``(n,)``.

    The first patch goes in alone and the others together, since a batch must be of any size.

    Parameters
    ----------
    kind
        The name of the format.
    file
        The network itself, such as ``model.onnx``.
    pixels
        At least two patches.
    """
    if kind == "wsinfer":
        return _torchscript(file, pixels)
    engine = _keras(file) if kind == "keras" else open_engine(RUNTIMES[kind], file)
    return np.concatenate([engine(pixels[:1]), engine(pixels[1:])])


# What runs each format, by the name of its package.
RUNTIMES = {"keras": "keras", "onnx": "onnxruntime", "openvino": "openvino", "wsinfer": "torch"}


def runtime(kind: str) -> str:
    """Return name and version of what runs a format."""
    return f"{RUNTIMES[kind]} {installed_version(RUNTIMES[kind]) or 'of unknown version'}"


def _keras(file: Path) -> Any:
    import keras

    from sentinode.inference.logits import logit_model, tumour_logit
    from sentinode.models.backend import without_tensorflow

    with without_tensorflow():
        network = logit_model(keras.saving.load_model(file, compile=False))
    return lambda pixels: tumour_logit(network.predict_on_batch(pixels))


def _torchscript(file: Path, pixels: UInt8Array) -> np.ndarray:
    with tempfile.TemporaryDirectory() as work:
        asked, answered = Path(work) / "pixels.npy", Path(work) / "logits.npy"
        np.save(asked, pixels)
        call_python("-c", _TORCHSCRIPT, str(file), str(asked), str(answered), what=f"{file.name} in PyTorch")
        return np.load(answered)


def call_python(*arguments: str, what: str, environment: dict[str, str] | None = None) -> None:
    """Run Python in a process of its own.

    Raises
    ------
    ModelError
        It failed; the message has the last line that it said.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ModelError(f"{what} failed ({said[-1] if said else f'exit status {done.returncode}'})")
