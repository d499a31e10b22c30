"""Engines that run exported networks: a file and pixels in, log-odds out, without Keras."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.errors import ModelError, SentinodeError, first_line
from sentinode.machine import processor_count

# The command line prints the names of the engines without importing NumPy.
if TYPE_CHECKING:
    import numpy as np

    from sentinode.data.types import UInt8Array


ENGINES = ("keras", "onnxruntime", "openvino")
PRECISIONS = ("float32", "bfloat16")

Logits = Callable[["UInt8Array"], "np.ndarray"]


def open_engine(name: str, file: Path, precision: str = "float32") -> Logits:
    """Load an exported network into an engine.

    Parameters
    ----------
    name
        ``"onnxruntime"`` or ``"openvino"``; both compute on the CPU.
    file
        What `export_run` wrote: ``.onnx``, or ``.xml`` with its ``.bin`` beside.
    precision
        ``"float32"``, or, for OpenVINO on a processor that has it, ``"bfloat16"``.

    Returns
    -------
    Callable
        uint8 ``(n, 96, 96, 3)`` in, the log-odds of tumour out: float64, shape ``(n,)``.

    Raises
    ------
    ModelError
        The engine is not installed, cannot read the file, or does not compute in `precision`.
    """
    open_file = {"onnxruntime": _onnxruntime, "openvino": _openvino}[name]
    try:
        return open_file(file, precision)
    except SentinodeError:
        raise
    except Exception as error:  # Each engine raises kinds of its own for a broken file.
        raise ModelError(
            f"{file}: {name} cannot load it ({first_line(error)}); delete it and export the run again"
        ) from error


def optional(module: str, extra: str) -> Any:
    """Import a package that comes with one of the extras.

    Raises
    ------
    ModelError
        It is not there; the message names the extra.

    Examples
    --------
    >>> optional("no_such_engine", "onnx")
    Traceback (most recent call last):
    sentinode.errors.ModelError: no_such_engine is not installed; pip install 'sentinode[onnx]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(f"{module} is not installed; pip install 'sentinode[{extra}]'") from error
    except ImportError as error:
        raise ModelError(f"{module} cannot be imported ({first_line(error)}); reinstall it") from error


def openvino() -> Any:
    """Import OpenVINO without its telemetry, which tells its makers of every import unless it cannot be found."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # Python's own way to make an import fail.
    return optional("openvino", "openvino")


def _onnxruntime(file: Path, precision: str) -> Logits:
    if precision != "float32":
        raise ModelError(f"engine onnxruntime computes in float32 alone, not in {precision}; take openvino or keras")
    ort = optional("onnxruntime", "onnx")
    ort.disable_telemetry_events()  # Builds for Windows have them.
    options = ort.SessionOptions()
    options.intra_op_num_threads = processor_count()  # Its own count overlooks what this process may use.
    options.log_severity_level = 3
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (patches,) = session.get_inputs()
    return lambda pixels: session.run(["logit"], {patches.name: pixels})[0][:, 0].astype("float64")


def _openvino(file: Path, precision: str) -> Logits:
    vino = openvino()
    core, wanted = vino.Core(), {"float32": vino.Type.f32, "bfloat16": vino.Type.bf16}[precision]
    # Where the processor has bfloat16, OpenVINO would compute in it unless told otherwise.
    settings = {"INFERENCE_PRECISION_HINT": wanted, "INFERENCE_NUM_THREADS": processor_count()}
    compiled = core.compile_model(core.read_model(str(file)), "CPU", settings)
    used = compiled.get_property("INFERENCE_PRECISION_HINT")
    if used != wanted:
        raise ModelError(f"engine openvino computes in {used} on this processor, not in {precision}; take float32")
    return lambda pixels: compiled(pixels)["logit"][:, 0].astype("float64")
