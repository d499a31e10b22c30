"""Attribution maps: how much each pixel contributes to the logit of tumour."""

from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from sentinode.data.types import PATCH_SHAPE
from sentinode.errors import ConfigError
from sentinode.explanation.gradients import gradient_of
from sentinode.explanation.model_split import (
    SplitModel,
    after_exposure_correction,
    split_after_first_layer,
    split_at_last_feature_map,
)
from sentinode.inference.inputs import as_patches
from sentinode.inference.logits import logit_model, tumour_logit

SIDE = PATCH_SHAPE[0]
# Of integrated gradients.
STEPS = 64
# Of occlusion.
SQUARE_PX, STRIDE_PX = 16, 8


def attributions(model: keras.Model, pixels: np.ndarray, method: str = "grad-cam") -> np.ndarray:
    """Compute an attribution map for each patch.

    Parameters
    ----------
    model : keras.Model or Run
        Ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    pixels : ndarray of shape (n, 96, 96, 3), or other patches that `predict` takes
        uint8 patches.
    method : {"grad-cam", "grad-cam++", "integrated-gradients", "occlusion"}
        ``"grad-cam"`` and ``"grad-cam++"`` use the last feature map; they are as coarse as it is, and never negative.
        ``"integrated-gradients"`` integrates the gradient along the line from the patch's mean color to the patch;
        negative where a pixel lowers the logit. ``"occlusion"`` is the drop of the logit when a square of 16 px is
        replaced by the mean color.

    Returns
    -------
    ndarray of shape (n, 96, 96)
        float32. Integrated gradients of a patch sum to the difference between its logit and that of its mean color at
        the same exposure.

    Raises
    ------
    ConfigError
        The method is unknown.
    DataError
        The pixels are not uint8 patches of 96 × 96 px.
    ModelError
        Grad-CAM needs a feature map, and the network has none.

    References
    ----------
    Grad-CAM: Selvaraju et al., ICCV 2017. Grad-CAM++: Chattopadhay et al., WACV 2018. Integrated gradients:
    Sundararajan et al., ICML 2017. Occlusion: Zeiler and Fergus, ECCV 2014.

    Examples
    --------
    >>> from sentinode import build_model
    >>> attributions(build_model("cnn"), np.zeros((2, 96, 96, 3), np.uint8), "occlusion").shape
    (2, 96, 96)
    """
    check_methods([method])
    network = getattr(model, "model", model)  # Of a run.
    return METHODS[method](*after_exposure_correction(network, as_patches(pixels).read())).astype(np.float32)


def check_methods(methods: Iterable[str]) -> None:
    """Raise a `ConfigError` if a method is unknown."""
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {', '.join(unknown)}")


def mean_color(pixels: np.ndarray) -> np.ndarray:
    """Return patches filled with the mean color of each patch: the baseline that stands for missing pixels.

    Examples
    --------
    >>> mean_color(np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3))[0, 0].tolist()
    [[2, 2, 4], [2, 2, 4]]
    """
    color = np.rint(pixels.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    return np.broadcast_to(color, pixels.shape)


def _last_map(model: keras.Model, pixels: np.ndarray) -> tuple[SplitModel, np.ndarray, np.ndarray]:
    """Return the model split at its last feature map, the values of that map, and the gradient of the logit."""
    split = split_at_last_feature_map(model)
    values = keras.ops.convert_to_numpy(split.before(pixels, training=False)).astype(np.float32)
    return split, values, gradient_of(split.after)(values)


def _grad_cam(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    split, values, gradient = _last_map(model, pixels)
    return _upsample(split, values, gradient.mean(axis=(1, 2)))


def _grad_cam_plus_plus(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    split, values, gradient = _last_map(model, pixels)
    denominator = 2 * gradient**2 + values.sum(axis=(1, 2), keepdims=True) * gradient**3
    alpha = np.divide(gradient**2, denominator, out=np.zeros_like(gradient), where=denominator != 0)
    return _upsample(split, values, (alpha * np.maximum(gradient, 0)).sum(axis=(1, 2)))


def _upsample(split: SplitModel, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight the channels, and interpolate the map linearly between the centers of its receptive fields.

    Beyond the outermost centers it falls to 0 at the border of the receptive field.
    """
    weighted = np.maximum(np.einsum("nrck,nk->nrc", values, weights), 0)
    centers, beyond = split.centers_px, split.field_px / 2
    knots = [centers[0] - beyond, *centers, centers[-1] + beyond]
    units = np.eye(len(knots))[1:-1]
    basis = np.column_stack([np.interp(np.arange(SIDE), knots, unit) for unit in units])
    return np.einsum("ir,nrc,jc->nij", basis, weighted, basis)


def _integrated_gradients(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    split = split_after_first_layer(model)
    end, start = (
        keras.ops.convert_to_numpy(split.before(part, training=False)).astype(np.float32)
        for part in (pixels, mean_color(pixels))
    )
    path, gradient = end - start, gradient_of(split.after)
    mean = sum(gradient(start + path * ((step + 0.5) / STEPS)) for step in range(STEPS)) / STEPS
    return (path * mean).sum(axis=-1)


def _occlusion(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    network, baseline = logit_model(model), mean_color(pixels)
    whole = tumour_logit(network.predict_on_batch(pixels))
    drop, covered = np.zeros(pixels.shape[:3]), np.zeros(pixels.shape[1:3])
    for top in range(0, SIDE - SQUARE_PX + 1, STRIDE_PX):
        for left in range(0, SIDE - SQUARE_PX + 1, STRIDE_PX):
            square = (slice(top, top + SQUARE_PX), slice(left, left + SQUARE_PX))
            occluded = pixels.copy()
            occluded[:, *square] = baseline[:, *square]
            drop[:, *square] += (whole - tumour_logit(network.predict_on_batch(occluded)))[:, None, None]
            covered[square] += 1
    return drop / covered


METHODS: Mapping[str, Callable[[keras.Model, np.ndarray], np.ndarray]] = {
    "grad-cam": _grad_cam,
    "grad-cam++": _grad_cam_plus_plus,
    "integrated-gradients": _integrated_gradients,
    "occlusion": _occlusion,
}
