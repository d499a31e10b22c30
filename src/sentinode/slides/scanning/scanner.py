"""A model that is loaded for scanning."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.errors import ConfigError, ModelError
from sentinode.inference.engines import REGION_ENGINES, check_options
from sentinode.inference.logits import tumour_logit
from sentinode.inference.predictor import BATCH_SIZE
from sentinode.inference.regions import RegionEngine
from sentinode.slides.grid import STEP_PX, check_step
from sentinode.slides.scanning.exposure import DenseNetwork, compute_at_exposure

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor, Session

log = logging.getLogger("sentinode")

# Step of models that are computed patch by patch, at the least.
_PATCH_STEP_PX = 32
# JAX compiles anew for each shape, which takes seconds; sides of blocks are padded to a multiple of this.
_JAX_MULTIPLE_PX = 256
# TensorFlow uses the processors better with two images of half the height than with one; below this height the margin
# that both need outweighs it.
_TENSORFLOW_STRIP_PX = 256

# Calibrated log-odds of one block: its pixels (rows, columns, 3) and which places are wanted in, float32 of the shape
# of the places out. Other places hold anything.
BlockNetwork = Callable[[UInt8Array, NDArray[np.bool_]], NDArray[np.float32]]


@dataclass(frozen=True)
class Scanner:
    """A model that is loaded for scanning, so that the slides of a folder share it.

    Attributes
    ----------
    model : Predictor
        The model.
    step_px : int
        Distance of neighboring patches in pixels of 0.972 µm.
    network : str
        ``"dense"`` where overlapping patches share their computation, ``"patches"`` where each is computed by itself.
    compute : callable
        Pixels of a block, uint8 ``(rows, columns, 3)``, and which of its places are wanted, a bool array, in; float32
        calibrated log-odds of its places out.
    engine : str
        What computes.
    precision : str
        Of its arithmetic.
    """

    model: "Predictor"
    step_px: int
    network: str
    compute: BlockNetwork
    engine: str = "keras"
    precision: str = "float32"


def load_scanner(
    model: "Predictor", step_px: int = STEP_PX, *, engine: str = "keras", precision: str = "float32"
) -> Scanner:
    """Load a model for scanning.

    A d4net computes all patches of a block at once. Any other model computes patch by patch, at a step of at least
    32 px.

    Parameters
    ----------
    model : Predictor
        The model, such as a `Run`.
    step_px : int
        Distance of neighboring patches in pixels of 0.972 µm, a multiple of 8.
    engine : {"keras", "openvino"}
        What computes. OpenVINO starts faster and needs less memory; the network is exported once, into the user's
        cache, and Keras is not imported after that.
    precision : {"float32", "bfloat16", "int8"}
        See `predict`.

    Returns
    -------
    Scanner

    Raises
    ------
    ModelError
        `step_px` is no multiple of 8, or the engine does not compute in `precision`.
    ConfigError
        The engine or precision is unknown, or the engine is not installed.
    """
    check_step(step_px)
    check_options(engine, "none", precision)
    if engine not in REGION_ENGINES:
        raise ConfigError(f"engine {engine} does not scan; use one of {', '.join(REGION_ENGINES)}")
    load = _dense_openvino if engine == "openvino" else _dense_keras
    try:
        return Scanner(model, step_px, "dense", load(model, step_px, precision), engine, precision)
    except ModelError as error:
        log.info("%s is computed patch by patch: %s", model.name, error)
    step_px = max(step_px, _PATCH_STEP_PX)
    compute = _patch_by_patch(model.session(engine, precision=precision), step_px)
    return Scanner(model, step_px, "patches", compute, engine, precision)


def _dense_keras(model: "Predictor", step_px: int, precision: str) -> BlockNetwork:
    import keras

    from sentinode.models.backend import silence_retracing_warning
    from sentinode.models.plain import plain_network
    from sentinode.models.precision import mixed_precision

    calibration, backend = model.calibration, keras.backend.backend()
    multiple_px = _JAX_MULTIPLE_PX if backend == "jax" else 1
    network = plain_network(model.model, step_px=step_px)
    corrects_exposure = len(network.inputs) > 1

    def predict(pixels: UInt8Array, exposure: float) -> NDArray[np.float32]:
        inputs = [pixels, np.full((len(pixels), 1, 1, 1), exposure, np.float32)] if corrects_exposure else pixels
        with silence_retracing_warning(), mixed_precision(network, precision):
            outputs = network.predict_on_batch(inputs)
        logits = calibration(tumour_logit(outputs.reshape(-1, outputs.shape[-1])))
        return logits.astype(np.float32).reshape(outputs.shape[:3])

    def dense(pixels: UInt8Array, shape: tuple[int, int], exposure: float) -> NDArray[np.float32]:
        rows, columns = shape  # All places share their computation.
        if backend == "tensorflow" and rows * step_px >= _TENSORFLOW_STRIP_PX:
            half = -(-rows // 2)
            height, second = (half - 1) * step_px + PATCH_SIZE_PX, (rows - half) * step_px
            upper, lower = predict(np.stack([pixels[:height], pixels[second : second + height]]), exposure)
            return np.concatenate([upper[: rows - half], lower])
        pixels = np.pad(pixels, [*((0, -side % multiple_px) for side in pixels.shape[:2]), (0, 0)])
        return predict(pixels[None], exposure)[0, :rows, :columns]

    return _of_blocks(dense, step_px, corrects_exposure=corrects_exposure)


def _dense_openvino(model: "Predictor", step_px: int, precision: str) -> BlockNetwork:
    engine = RegionEngine(model.network_file("openvino", precision), step_px, precision)

    def dense(pixels: UInt8Array, shape: tuple[int, int], exposure: float) -> NDArray[np.float32]:
        return engine(pixels, exposure).astype(np.float32, copy=False)

    return _of_blocks(dense, step_px, corrects_exposure=engine.corrects_exposure)


def _of_blocks(dense: DenseNetwork, step_px: int, *, corrects_exposure: bool) -> BlockNetwork:
    if corrects_exposure:
        return lambda pixels, wanted: compute_at_exposure(dense, pixels, wanted, step_px)
    return lambda pixels, wanted: dense(pixels, wanted.shape, 1.0)


def _patch_by_patch(session: "Session", step_px: int) -> BlockNetwork:
    def compute(pixels: UInt8Array, wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (PATCH_SIZE_PX, PATCH_SIZE_PX), axis=(0, 1))
        grid, places = windows[::step_px, ::step_px].transpose(0, 1, 3, 4, 2), np.argwhere(wanted)
        out = np.full(wanted.shape, np.nan, np.float32)
        for start in range(0, len(places), BATCH_SIZE):
            rows, columns = places[start : start + BATCH_SIZE].T
            out[rows, columns] = session.compute(grid[rows, columns])
        return out

    return compute
