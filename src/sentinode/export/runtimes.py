"""Runs exported files in the software that they are made for, to compare their logits with those of Keras."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.errors import ModelError
from sentinode.export.formats import FORMATS
from sentinode.inference.engines import open_engine
from sentinode.version import installed_version

# What WSInfer does with a tile, in a process without Keras and Sentinode.
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
    """Compute the logits of tumour with an exported file.

    The first patch is a batch of its own, since the file must accept any batch size.

    Parameters
    ----------
    kind : str
        The name of the format.
    file : Path
        The network, such as ``model.onnx``.
    pixels : ndarray of shape (n, 96, 96, 3)
        uint8, at least two patches.

    Returns
    -------
    ndarray of shape (n,)
        float64.
    """
    if kind == "wsinfer":
        return _torchscript(file, pixels)
    engine = _keras(file) if kind == "keras" else open_engine(FORMATS[kind].runtime, file)
    return np.concatenate([engine(pixels[:1]), engine(pixels[1:])])


def runtime(kind: str) -> str:
    """Return name and version of the package that runs a format."""
    package = FORMATS[kind].runtime
    return f"{package} {installed_version(package) or 'of unknown version'}"


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
    """Run Python in a process of its own, without modules of the working folder.

    Raises
    ------
    ModelError
        It failed; the message ends with the last line of its error stream.
    """
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ModelError(f"{what} failed ({lines[-1] if lines else f'exit status {done.returncode}'})")
