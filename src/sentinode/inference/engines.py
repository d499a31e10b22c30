"""The engines that compute predictions: Keras, and the runtimes that work without it."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.errors import ConfigError, ModelError, SentinodeError, first_line
from sentinode.extras import optional
from sentinode.machine import processor_count

# The command line prints the names of the engines without importing NumPy.
if TYPE_CHECKING:
    import numpy as np

    from sentinode.data.types import UInt8Array


ENGINES = ("keras", "onnxruntime", "openvino")
# Those that compute all patches of a region at once.
REGION_ENGINES = ("keras", "openvino")
PRECISIONS = ("float32", "bfloat16", "int8")
TTA = ("none", "d4")

Logits = Callable[["UInt8Array"], "np.ndarray"]


def check_options(engine: str, tta: str, precision: str) -> None:
    """Refuse an unknown engine, test-time augmentation or precision, and combinations that no engine computes.

    Raises
    ------
    ConfigError
        Names the option, its value and the allowed values.
    """
    for option, value, allowed in (
        ("engine", engine, ENGINES),
        ("tta", tta, TTA),
        ("precision", precision, PRECISIONS),
    ):
        if value not in allowed:
            raise ConfigError(f"{option} must be one of {', '.join(allowed)}; got {value!r}")
    if engine != "keras" and tta != "none":
        raise ConfigError(f"engine {engine} predicts each patch in one orientation; use engine keras with tta {tta}")
    if engine == "onnxruntime" and precision == "bfloat16":
        raise ConfigError("engine onnxruntime computes in float32 or int8; use keras or openvino for bfloat16")
    if engine == "keras" and precision == "int8":
        raise ConfigError("engine keras computes in float32 or bfloat16; use onnxruntime or openvino for int8")


def open_engine(name: str, file: Path, precision: str = "float32") -> Logits:
    """Load an exported network into an engine.

    Parameters
    ----------
    name : {"onnxruntime", "openvino"}
        Both compute on the CPU.
    file : Path
        Written by `export_run`: ``.onnx``, or ``.xml`` with its ``.bin`` beside it. For ``"int8"`` written by
        `quantize_to_int8`.
    precision : {"float32", "bfloat16", "int8"}
        ``"bfloat16"`` needs OpenVINO and a processor that supports it.

    Returns
    -------
    callable
        uint8 patches ``(n, 96, 96, 3)`` in, logits of tumour out: float64 of shape ``(n,)``.

    Raises
    ------
    ModelError
        The engine cannot read the file, or does not compute in `precision`.
    ConfigError
        The engine is not installed.
    """
    open_file = {"onnxruntime": _onnxruntime, "openvino": _openvino}[name]
    try:
        return open_file(file, precision)
    except SentinodeError:
        raise
    except Exception as error:  # Each engine raises errors of its own for a broken file.
        raise ModelError(
            f"{file}: {name} cannot load it ({first_line(error)}); delete the file and export the run again"
        ) from error


def openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports every import."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # None makes its import fail, which OpenVINO tolerates.
    return optional("openvino", "openvino")


def onnx_session(file: Path | bytes, threads: int | None = None) -> Any:
    """Open an ONNX file in ONNX Runtime without telemetry; by default it uses all CPUs that this process may use."""
    ort = optional("onnxruntime", "onnx")
    ort.disable_telemetry_events()  # Builds for Windows have them.
    options = ort.SessionOptions()
    # Its own count ignores the CPU affinity of the process.
    options.intra_op_num_threads = threads or processor_count()
    options.log_severity_level = 3
    return ort.InferenceSession(file if isinstance(file, bytes) else str(file), options, ["CPUExecutionProvider"])


def _onnxruntime(file: Path, precision: str) -> Logits:
    import numpy as np

    check_options("onnxruntime", "none", precision)
    count = processor_count()
    alone = onnx_session(file)
    (patches,) = alone.get_inputs()

    def run(session: Any, pixels: "UInt8Array") -> Any:
        return session.run(["logit"], {patches.name: pixels})[0][:, 0]

    if count == 1:
        return lambda pixels: run(alone, pixels).astype("float64")
    # On a busy machine a batch divided among threads is faster than one whose layers are: no thread waits for another
    # at each layer. A single patch cannot be divided.
    shared, pool = onnx_session(file, threads=1), ThreadPoolExecutor(count, "onnxruntime")

    def compute(pixels: "UInt8Array") -> "np.ndarray":
        if len(pixels) < count:
            return run(alone, pixels).astype("float64")
        parts = pool.map(partial(run, shared), np.array_split(pixels, count))
        return np.concatenate(list(parts)).astype("float64")

    return compute


def compile_openvino(network: Any, precision: str) -> Any:
    """Compile a network for OpenVINO on the CPU.

    Parameters
    ----------
    network : openvino.Model
        What `openvino.Core.read_model` returns.
    precision : {"float32", "bfloat16", "int8"}
        Of its arithmetic; for ``"int8"`` the network is quantized.

    Returns
    -------
    openvino.CompiledModel

    Raises
    ------
    ModelError
        The processor does not compute in `precision`.
    """
    vino = openvino()
    # What is not quantized is computed in float32.
    wanted = vino.Type.bf16 if precision == "bfloat16" else vino.Type.f32
    # Where the processor has bfloat16, OpenVINO computes in it unless told otherwise.
    settings = {"INFERENCE_PRECISION_HINT": wanted, "INFERENCE_NUM_THREADS": processor_count()}
    compiled = vino.Core().compile_model(network, "CPU", settings)
    used = compiled.get_property("INFERENCE_PRECISION_HINT")
    if used != wanted:
        raise ModelError(f"engine openvino computes in {used} on this processor, not in {precision}; use float32")
    return compiled


def _openvino(file: Path, precision: str) -> Logits:
    compiled = compile_openvino(openvino().Core().read_model(str(file)), precision)
    return lambda pixels: compiled(pixels)["logit"][:, 0].astype("float64")
