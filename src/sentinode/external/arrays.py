"""ONNX, OpenVINO and TorchScript files as functions from arrays to arrays."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.errors import ModelError, SentinodeError, first_line
from sentinode.external.interpretation import InputScale, resized
from sentinode.extras import optional
from sentinode.inference.engines import compile_openvino, onnx_session, openvino
from sentinode.machine import processor_count

# Operators that read or write files, operators and classes of compiled extensions, and other names for the modules that
# hold them, as in `t = torch` or `getattr(torch, "\\163ave")`. Before a colon, `ops` declares an attribute.
_TORCHSCRIPT_REFUSED = re.compile(
    r"\b(?:__torch__|torch)\b(?!\.\w)"
    r"|\btorch\.(?:autograd|classes|from_file|save)\b"
    r"|(?<!\.)\bops\b(?!\.(?:prim|quantized)\.|\s*:)"
)


@dataclass(frozen=True)
class ArrayNetwork:
    """A network that takes one array and returns one.

    Attributes
    ----------
    run : callable
        Computes outputs from a prepared batch.
    dtype : dtype
        Of the input.
    channels_first : bool
        Whether the input is ``(n, 3, rows, columns)``.
    size_px : tuple of int or None
        Rows and columns; None if any size will do.
    batch_size : int or None
        The size of a batch, if it is fixed.
    output : str or None
        The meaning of the output, if its name tells.
    engine : str
        What runs it.
    """

    run: Callable[[NDArray[Any]], NDArray[Any]]
    dtype: Any
    channels_first: bool
    size_px: tuple[int, int] | None
    batch_size: int | None
    output: str | None
    engine: str

    def outputs(self, pixels: UInt8Array, scale: InputScale) -> NDArray[Any]:
        """Compute the outputs for uint8 patches ``(n, 96, 96, 3)``."""
        pixels = resized(pixels, self.size_px)
        values: NDArray[Any] = pixels if scale.is_identity else scale(pixels)
        if self.channels_first:
            values = np.transpose(values, (0, 3, 1, 2))
        values = np.ascontiguousarray(values, dtype=self.dtype)
        if self.batch_size is None:
            return np.asarray(self.run(values))
        parts = list(_batches(values, self.batch_size, self.run))
        return np.concatenate(parts)[: len(values)]


def open_network(path: Path, kind: str) -> ArrayNetwork:
    """Open an ONNX, OpenVINO or TorchScript file.

    Raises
    ------
    ModelError
        The file cannot be loaded, or its input is not one batch of RGB patches.
    ConfigError
        The runtime is not installed.
    """
    try:
        return {"onnx": _open_onnx, "openvino": _open_openvino, "torchscript": _open_torchscript}[kind](path)
    except SentinodeError:
        raise
    except Exception as error:  # Each runtime raises errors of its own for a broken file.
        raise ModelError(f"{path}: cannot be loaded as {kind} ({first_line(error)}); export the model again") from error


def _open_onnx(path: Path) -> ArrayNetwork:
    _check_external_data(path)
    session = onnx_session(path)
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"{path}: {len(inputs)} inputs ({', '.join(each.name for each in inputs)}); expected one")
    types = {"uint8": np.uint8, "float": np.float32, "float16": np.float16, "double": np.float64}
    name = inputs[0].type.removeprefix("tensor(").removesuffix(")")
    if name not in types:
        raise ModelError(f"{path}: its input is {inputs[0].type}; expected uint8 or float")
    output, meaning = _choose_output([each.name for each in session.get_outputs()])
    return ArrayNetwork(
        lambda values: session.run([output], {inputs[0].name: values})[0],
        types[name],
        *_input_format(path, inputs[0].shape),
        meaning,
        "onnxruntime",
    )


def _check_external_data(path: Path) -> None:
    """Refuse weights outside the folder of the file: a path in it could name any file of the user."""
    onnx = optional("onnx", "onnx")
    helper = optional("onnx.external_data_helper", "onnx")
    model = onnx.load(str(path), load_external_data=False)
    folder = path.parent.resolve()
    for tensor in helper._get_all_tensors(model):
        if helper.uses_external_data(tensor):
            location = helper.ExternalDataInfo(tensor).location
            file = (folder / location).resolve()
            if folder not in file.parents:
                raise ModelError(f"{path}: refused, its weights are outside its folder ({location!r})")
            if not file.is_file():
                raise ModelError(
                    f"{path}: {location}, which contains its weights, is missing; copy it to the same folder"
                )


def _open_openvino(path: Path) -> ArrayNetwork:
    compiled = compile_openvino(openvino().Core().read_model(str(path)), "float32")
    if len(compiled.inputs) != 1:
        raise ModelError(f"{path}: {len(compiled.inputs)} inputs; expected one")
    names = [next(iter(each.names), str(number)) for number, each in enumerate(compiled.outputs)]
    name, meaning = _choose_output(names)
    number = names.index(name)
    shape = [size.get_length() if size.is_static else None for size in compiled.input().partial_shape]
    dtype = np.dtype(compiled.input().element_type.to_dtype())
    return ArrayNetwork(
        lambda values: compiled(values)[compiled.output(number)],
        dtype,
        *_input_format(path, shape),
        meaning,
        "openvino",
    )


def _open_torchscript(path: Path) -> ArrayNetwork:
    torch = optional("torch", "torch")
    _check_torchscript_code(path, torch)
    network = torch.jit.load(str(path), map_location="cpu").eval()
    torch.set_num_threads(processor_count())

    def run(values: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            outputs = network(torch.from_numpy(values))
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(f"{path}: it returns a {type(outputs).__name__}; expected one tensor")
        return np.asarray(outputs.float().numpy())

    side = PATCH_SIZE_PX
    for channels_first, shape in ((True, (2, 3, side, side)), (False, (2, side, side, 3))):
        try:
            run(np.zeros(shape, np.float32))
        except ModelError:
            raise
        except Exception as error:
            failure = error
            continue
        return ArrayNetwork(run, np.float32, channels_first, None, None, None, "torch")
    raise ModelError(
        f"{path}: it takes neither float patches (n, 3, {side}, {side}) nor (n, {side}, {side}, 3) "
        f"({first_line(failure)}); trace the model on such an input"
    )


def _check_torchscript_code(path: Path, torch: Any) -> None:
    """Refuse code that reads or writes files or needs extensions; some of it would run while the file is loaded.

    PyTorch's own reader reads the code: in an archive that was made to deceive, Python's `zipfile` finds other entries.
    """
    reader = torch._C.PyTorchFileReader(str(path))
    names = reader.get_all_records()
    if "model.json" in map(str.lower, names):  # It may name any entry of the archive as code.
        raise ModelError(f"{path}: refused, a file of PyTorch 1.2 or earlier; save the model again with a later one")
    if len({name.lower() for name in names}) < len(names):  # PyTorch ignores the case of names.
        raise ModelError(f"{path}: refused, it holds an entry twice; save the model again")
    for name in names:
        if name.lower().startswith("code/") and not name.endswith(".debug_pkl"):
            found = _TORCHSCRIPT_REFUSED.search(reader.get_record(name).decode("utf-8", "replace"))
            if found:
                raise ModelError(
                    f"{path}: refused, its code uses {found[0]}, which reaches beyond the model; trace the model, "
                    "or export it to ONNX"
                )


def _input_format(path: Path, shape: Any) -> tuple[bool, tuple[int, int] | None, int | None]:
    """Return whether channels come first, rows and columns if fixed, and the size of a batch if fixed."""
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    if len(sizes) != 4 or (sizes[1] != 3 and sizes[3] != 3):
        raise ModelError(f"{path}: input of shape {tuple(shape)}; expected (n, 3, 96, 96) or (n, 96, 96, 3)")
    channels_first = sizes[1] == 3
    rows, columns = sizes[2:] if channels_first else sizes[1:3]
    return channels_first, (rows, columns) if rows and columns else None, sizes[0]


def _choose_output(names: list[str]) -> tuple[str, str | None]:
    """Return the output to read and its meaning: that of Sentinode's own exports by name, else the first."""
    return ("logit", "logit") if "logit" in names else (names[0], None)


def _batches(values: NDArray[Any], size: int, run: Callable[[NDArray[Any]], NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(values), size):
        part = values[start : start + size]
        if len(part) < size:
            part = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        yield np.asarray(run(part))
