"""Conversion on one Keras backend, run in a process of its own: ``conversion.py FORMAT NETWORK OUT``."""

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from sentinode.data.types import PATCH_SHAPE, PATCH_SIZE_PX
from sentinode.inference.engines import openvino
from sentinode.inference.logits import logit_model
from sentinode.models.loading import CUSTOM_LAYERS


def convert(name: str, network: Path, out: Path) -> None:
    """Convert a ``.keras`` file to another format.

    Parameters
    ----------
    name : {"onnx", "openvino", "wsinfer"}
        ``"onnx"`` and ``"openvino"`` need TensorFlow: uint8 ``patches`` ``(n, 96, 96, 3)`` in; ``probability`` and
        ``logit`` of tumour out, float32 ``(n, 1)``. ``"wsinfer"`` needs PyTorch: float tiles ``(n, 3, 96, 96)`` from 0
        to 1 in; float32 ``(n, 2)`` out, whose softmax is P(normal) and P(tumour).
    network : Path
        A file of `exported_network`.
    out : Path
        The file to write.
    """
    for module in CUSTOM_LAYERS:
        import_module(module)
    logits = logit_model(keras.saving.load_model(network, compile=False))
    if name == "wsinfer":
        _write_torchscript(logits, out)
        return
    if name == "openvino":
        openvino()  # Before Keras imports it with its telemetry.
    patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    logit = logits(patches)
    whole = keras.Model(patches, {"probability": ops.sigmoid(logit), "logit": logit})
    whole(np.zeros((1, *PATCH_SHAPE), np.uint8))  # Keras exports to ONNX only what was called.
    whole.export(str(out), format=name, verbose=False)


def _write_torchscript(logits: keras.Model, out: Path) -> None:
    torch: Any = import_module("torch")
    tiles = keras.Input((3, PATCH_SIZE_PX, PATCH_SIZE_PX), dtype="float32", name="tiles")
    # ToTensor divided the gray levels by 255; rounding restores them exactly.
    pixels = ops.cast(ops.round(ops.transpose(tiles * 255.0, (0, 2, 3, 1))), "uint8")
    logit = logits(pixels)
    both = keras.Model(tiles, ops.concatenate([ops.zeros_like(logit), logit], axis=1)).eval()
    with torch.no_grad():
        traced = torch.jit.trace(both, torch.zeros(2, 3, PATCH_SIZE_PX, PATCH_SIZE_PX))
    _follow_the_tiles(torch, traced)
    traced.save(str(out))


def _follow_the_tiles(torch: Any, traced: Any) -> None:
    """Make a traced network compute on the device of its input.

    Keras names a device in every operation, and a trace would copy all tensors to it, also from a GPU.
    """
    graph = traced.graph
    torch._C._jit_pass_inline(graph)
    _, tiles = graph.inputs()
    device = graph.create("prim::device", [tiles], 1)
    device.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(device)
    for constant in list(graph.findAllNodes("prim::Constant")):
        if str(constant.output().type()) == "Device":
            constant.output().replaceAllUsesWith(device.output())
            constant.destroy()
    graph.lint()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
