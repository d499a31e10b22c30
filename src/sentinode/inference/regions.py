"""Convert an exported network of patches to one that computes all patches of a region at once."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.data.stain.exposure import EXPOSURE_FACTORS
from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.errors import ModelError
from sentinode.inference.engines import compile_openvino, openvino

# Of networks whose outputs for a patch do not depend on where in a region it lies: all of them act on each position
# alike, and the mean over positions comes once, before the last layer.
_PREPARATION = ("Parameter", "Constant", "Convert", "Minimum", "Maximum", "Divide", "Log", "Transpose")
_LAYERS = ("Convolution", "Add", "Multiply", "Relu", "ReduceMean", "MatMul")
# Of quantized networks, of the shapes of constants, and of the last layer.
_OTHERS = ("FakeQuantize", "Subtract", "Reshape", "ShapeOf", "Range", "Concat", "Broadcast", "Squeeze")
_OUTPUT = ("Sigmoid", "Result")


class RegionEngine:
    """A network that OpenVINO runs for patches, as one for regions.

    Parameters
    ----------
    file : Path
        Written by `export_run` for OpenVINO, or quantized by `quantize_to_int8`.
    step_px : int
        Distance of neighboring patches, a multiple of the product of the network's strides.
    precision : {"float32", "bfloat16", "int8"}
        See `open_engine`.

    Attributes
    ----------
    corrects_exposure : bool
        Whether the network multiplies each patch by the factor of its exposure.

    Raises
    ------
    ModelError
        The network pads, or has operations other than exposure correction, convolutions without padding, ReLU and
        one mean over positions.
    """

    def __init__(self, file: Path, step_px: int, precision: str = "float32") -> None:
        self._step_px, network = step_px, _region_network(file, step_px)
        self.corrects_exposure = len(network.inputs) > 1
        self._compiled = compile_openvino(network, precision)

    def __call__(self, pixels: UInt8Array, exposure: float = 1.0) -> NDArray[np.float32]:
        """Compute the patches of a region.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
            Of any size that a patch fits in.
        exposure : float, default 1
            The factor of the patches that are asked for, if the network corrects the exposure.

        Returns
        -------
        ndarray of float32, shape (rows, columns)
            Calibrated logits of tumour.
        """
        rows, columns = ((side - PATCH_SIZE_PX) // self._step_px + 1 for side in pixels.shape[:2])
        inputs = [pixels[None], np.float32(exposure)] if self.corrects_exposure else [pixels[None]]
        logits: NDArray[np.float32] = self._compiled(inputs)[0]
        return logits.reshape(rows, columns)


def _region_network(file: Path, step_px: int) -> Any:
    """Return the network for regions; if that of patches corrects the exposure, the factor is its second input."""
    nodes: Any = import_module("openvino.opset13")
    model = openvino().Core().read_model(str(file))
    parameters = model.get_parameters()
    for table in filter(_looks_up_exposure, model.get_ordered_ops()):
        parameters.append(nodes.parameter([], np.float32, name="exposure"))
        table.output(0).replace(parameters[-1].output(0))
    operations = model.get_ordered_ops()
    convolutions = [each for each in operations if each.get_type_name() == "Convolution"]
    means = [each for each in operations if each.get_type_name() == "ReduceMean"]
    others = {each.get_type_name() for each in operations} - {*_PREPARATION, *_LAYERS, *_OTHERS, *_OUTPUT}
    padded = any(any(each.get_attributes()[name]) for each in convolutions for name in ("pads_begin", "pads_end"))
    if others or padded or len(means) != 1:
        raise ModelError(f"{file}: not a network of convolutions without padding; it computes patch by patch only")
    features = means[0].input_value(0)
    positions = int(features.get_partial_shape()[2].get_length())
    jump = int(np.prod([each.get_attributes()["strides"][0] for each in convolutions]))
    if step_px < jump or step_px % jump:
        raise ModelError(f"step_px must be a multiple of {jump}, the product of the strides; got {step_px}")
    kernel, bias = _last_layer(model.output("logit").get_node().input_value(0), means[0])
    sides, nothing = [positions, positions], [0, 0]
    mean = nodes.avg_pool(features, [step_px // jump] * 2, nothing, nothing, sides, True)
    logit = nodes.convolution(mean, kernel[None, :, None, None], [1, 1], nothing, nothing, [1, 1])
    region = openvino().Model([nodes.add(logit, bias)], parameters, "region")
    region.reshape({parameters[0].output(0): [1, -1, -1, 3]})
    return region


def _looks_up_exposure(operation: Any) -> bool:
    """Check whether an operation looks up the factor of a patch by its brightest spot."""
    if operation.get_type_name() != "Gather":
        return False
    table = operation.input_value(0).get_node()
    return table.get_type_name() == "Constant" and np.array_equal(table.get_data(), EXPOSURE_FACTORS)


def _last_layer(logit: Any, mean: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return kernel (channels,) and bias (1,) of what makes the logit from the mean over positions.

    However many operations that are: it is linear, so the logits of zero and of each unit vector determine it.
    """
    shape = [side.get_length() for side in mean.output(0).get_partial_shape()[1:]]
    point = import_module("openvino.opset13").parameter([-1, *shape], np.float32)
    mean.output(0).replace(point.output(0))
    layer = compile_openvino(openvino().Model([logit], [point], "last_layer"), "float32")
    unit_vectors = np.eye(shape[0], dtype=np.float32)
    values = layer(np.concatenate([unit_vectors * 0, unit_vectors]).reshape(-1, *shape))[0].ravel()
    bias = values[:1]
    return values[shape[0] :] - bias, bias
