"""How much each pixel speaks for tumour, by four methods."""

from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from sentinode.data.types import PATCH_SHAPE
from sentinode.errors import ConfigError
from sentinode.explanation.gradients import gradient_of
from sentinode.explanation.model_split import Halves, at_last_map, at_pixels
from sentinode.inference.logits import logit_model, tumour_logit

SIDE = PATCH_SHAPE[0]
# Of the way from the patch's mean colour to the patch.
STEPS = 64
# Of the square that is hidden, in px.
HIDDEN_PX, HIDDEN_STEP_PX = 16, 8


def attributions(model: keras.Model, pixels: np.ndarray, method: str = "grad-cam") -> np.ndarray:
    """Say of each pixel how much it speaks for tumour.

    Parameters
    ----------
    model
        Any of ours, trained: it ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    pixels
        uint8, ``(n, 96, 96, 3)``.
    method
        ``"grad-cam"`` (Selvaraju et al. 2017) and ``"grad-cam++"`` (Chattopadhay et al. 2018): at the last map of
        features, as coarse as that, never negative. ``"integrated-gradients"`` (Sundararajan et al. 2017): summed over
        the way from the patch's mean colour; negative where a pixel speaks for normal. ``"occlusion"`` (Zeiler & Fergus
        2014): what the log-odds lose where a square of 16 px is hidden by the mean colour.

    Returns
    -------
    numpy.ndarray
        float32, ``(n, 96, 96)``. Integrated gradients sum up to the difference of the log-odds of the patch and of its
        mean colour.

    Raises
    ------
    ConfigError
        No such method.
    ModelError
        Grad-CAM asks for maps of features, and the network has none.

    Examples
    --------
    >>> from sentinode import build_model
    >>> attributions(build_model("cnn"), np.zeros((2, 96, 96, 3), np.uint8), "occlusion").shape
    (2, 96, 96)
    """
    check_methods([method])
    return METHODS[method](model, pixels).astype(np.float32)


def check_methods(methods: Iterable[str]) -> None:
    """Raise a ConfigError where one of these methods is not there."""
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {', '.join(unknown)}")


def mean_colour(pixels: np.ndarray) -> np.ndarray:
    """Return patches of one colour each, the mean of theirs: what a network is shown where nothing shall be seen.

    Examples
    --------
    >>> mean_colour(np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3))[0, 0].tolist()
    [[2, 2, 4], [2, 2, 4]]
    """
    colour = np.rint(pixels.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    return np.broadcast_to(colour, pixels.shape)


def _maps(model: keras.Model, pixels: np.ndarray) -> tuple[Halves, np.ndarray, np.ndarray]:
    halves = at_last_map(model)
    maps = keras.ops.convert_to_numpy(halves.before(pixels, training=False)).astype(np.float32)
    return halves, maps, gradient_of(halves.after)(maps)


def _grad_cam(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    halves, maps, slopes = _maps(model, pixels)
    return _spread(halves, maps, slopes.mean(axis=(1, 2)))


def _grad_cam_plus_plus(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    halves, maps, slopes = _maps(model, pixels)
    below = 2 * slopes**2 + maps.sum(axis=(1, 2), keepdims=True) * slopes**3
    share = np.divide(slopes**2, below, out=np.zeros_like(slopes), where=below != 0)
    return _spread(halves, maps, (share * np.maximum(slopes, 0)).sum(axis=(1, 2)))


def _spread(halves: Halves, maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weigh the channels, and draw the map over the patch: each value where it looks, evenly in between.

    Beyond the outermost centres it fades to nothing where they see nothing more.
    """
    weighed = np.maximum(np.einsum("nrck,nk->nrc", maps, weights), 0)
    centres, beyond = halves.centres_px, halves.field_px / 2
    knots = [centres[0] - beyond, *centres, centres[-1] + beyond]
    ones = np.eye(len(knots))[1:-1]
    spread = np.column_stack([np.interp(np.arange(SIDE), knots, one) for one in ones])
    return np.einsum("ir,nrc,jc->nij", spread, weighed, spread)


def _integrated_gradients(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    halves = at_pixels(model)
    there, start = (
        keras.ops.convert_to_numpy(halves.before(part, training=False)).astype(np.float32)
        for part in (pixels, mean_colour(pixels))
    )
    way, gradient = there - start, gradient_of(halves.after)
    slopes = sum(gradient(start + way * ((step + 0.5) / STEPS)) for step in range(STEPS)) / STEPS
    return (way * slopes).sum(axis=-1)


def _occlusion(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    network, hidden = logit_model(model), mean_colour(pixels)
    whole = tumour_logit(network.predict_on_batch(pixels))
    lost, looked = np.zeros(pixels.shape[:3]), np.zeros(pixels.shape[1:3])
    for top in range(0, SIDE - HIDDEN_PX + 1, HIDDEN_STEP_PX):
        for left in range(0, SIDE - HIDDEN_PX + 1, HIDDEN_STEP_PX):
            square = (slice(top, top + HIDDEN_PX), slice(left, left + HIDDEN_PX))
            covered = pixels.copy()
            covered[:, *square] = hidden[:, *square]
            lost[:, *square] += (whole - tumour_logit(network.predict_on_batch(covered)))[:, None, None]
            looked[square] += 1
    return lost / looked


METHODS: Mapping[str, Callable[[keras.Model, np.ndarray], np.ndarray]] = {
    "grad-cam": _grad_cam,
    "grad-cam++": _grad_cam_plus_plus,
    "integrated-gradients": _integrated_gradients,
    "occlusion": _occlusion,
}
