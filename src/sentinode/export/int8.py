"""Quantize an exported network to 8-bit integers."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.open import sample_patches
from sentinode.data.types import UInt8Array
from sentinode.errors import ModelError
from sentinode.extras import optional
from sentinode.inference.engines import open_engine
from sentinode.inference.logits import probability

CALIBRATION_PATCHES, CHECKED_PATCHES, BATCH_PATCHES = 256, 200, 16
# Of the values of an activation: what lies beyond is clipped.
PERCENTILE = 99.999
# Of the probability; overflowing sums of products, as of 8-bit weights without VNNI, change it far more.
MOST_MEAN_DIFFERENCE = 0.03


def quantize_to_int8(network: Path, out: Path) -> dict[str, Any]:
    """Quantize the convolutions of an ONNX file, and compare its probabilities with those of the original.

    Static quantization: the ranges of activations are those of training patches of the sample that ships with the
    package, without the one value in 100,000 that lies farthest out: it would make the steps of all others coarser.
    Weights have 7 bits and a scale for each output channel: sums of products of 8-bit weights overflow on processors
    without VNNI.

    Parameters
    ----------
    network : Path
        From `export_run` with ``"onnx"``.
    out : Path
        The file to write, ``.onnx``. ONNX Runtime and OpenVINO read it.

    Returns
    -------
    dict
        ``calibration_patches``, ``compared_patches``, and ``mean_difference`` of the probability.

    Raises
    ------
    ModelError
        The probabilities differ by more than 0.03 on average. The file is not to be used then.
    """
    optional("onnx", "onnx")
    quantization = optional("onnxruntime.quantization", "onnx")
    preparation = optional("onnxruntime.quantization.shape_inference", "onnx")
    calibration = sample_patches("train", CALIBRATION_PATCHES).read()

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self, name: str) -> None:
            self.batches: Iterator[dict[str, UInt8Array]] = (
                {name: calibration[at : at + BATCH_PATCHES]} for at in range(0, len(calibration), BATCH_PATCHES)
            )

        def get_next(self) -> dict[str, UInt8Array] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory(prefix="sentinode-") as work:
        prepared = Path(work) / "prepared.onnx"
        preparation.quant_pre_process(str(network), str(prepared), skip_symbolic_shape=True)
        with redirect_stdout(io.StringIO()):  # It prints what it does.
            quantization.quantize_static(
                str(prepared),
                str(out),
                Calibration("patches"),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.Percentile,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                reduce_range=True,
                extra_options={"CalibPercentile": PERCENTILE},
            )
    sample = sample_patches("test", CHECKED_PATCHES).read()
    before, after = (probability(open_engine("onnxruntime", file)(sample)) for file in (network, out))
    difference = float(np.mean(np.abs(after - before)))
    if not difference <= MOST_MEAN_DIFFERENCE:
        raise ModelError(
            f"{network.name} in int8: probabilities differ from those in float32 by {difference:.2g} on average "
            f"(tolerance {MOST_MEAN_DIFFERENCE}); use float32"
        )
    return {
        "calibration_patches": len(calibration),
        "compared_patches": len(sample),
        "mean_difference": round(difference, 5),
    }
