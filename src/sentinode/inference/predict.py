"""Run a model over patches."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, ModelError
from sentinode.inference.engines import ENGINES, PRECISIONS, Logits, open_engine
from sentinode.inference.logits import check_last_layer, logit_model, tumour_logit
from sentinode.inference.predictions import Predictions
from sentinode.metrics.calibration import Calibration

# Engines other than Keras start without it.
if TYPE_CHECKING:
    import keras

# Fixed: another size of batch may change the last bits of a logit.
BATCH_SIZE = 128
TTA = ("none", "d4")

log = logging.getLogger("sentinode")


def predict(
    model: Any,
    patches: PatchSet,
    made_by: Mapping[str, Any] | None = None,
    *,
    tta: str = "none",
    engine: str = "keras",
    precision: str = "float32",
) -> Predictions:
    """Predict every patch of a set.

    Pixels are read batch by batch, so memory does not grow with their number.

    Parameters
    ----------
    model
        A `keras.Model` that ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``; a `Run`, whose log-odds are
        calibrated and whose patches get a call, and a warning where they look unlike those of its
        training; or an `Ensemble` of runs, which gives the mean of what its runs give.
    patches
        Cached or not. Where `open_patches` was told to skip what is bad, ``made_by`` lists what was left out.
    made_by
        What else the predictions should remember of their making.
    tta
        Test-time augmentation. ``"d4"``: the mean of a patch's log-odds over its eight orientations, for eight times
        the work. A network that is symmetric by construction gives the same for all of them, and is run once.
    engine
        What computes: ``"keras"``, or, for a `Run`, ``"onnxruntime"`` or ``"openvino"``, on the CPU. The run is then
        exported once, into the user's cache, and neither Keras nor its backend is imported when that file is there.
    precision
        Of the arithmetic: ``"float32"``, or ``"bfloat16"`` with the engines ``"keras"`` and ``"openvino"``: faster on
        processors that have it, for a small loss of AUC (``benchmarks/engines.py``).

    Returns
    -------
    Predictions
        In the order of `patches`.

    Raises
    ------
    DataError
        A patch cannot be read.
    ConfigError
        No such `tta`, engine or `precision`, or an engine that needs a `Run` and no `tta`.
    ModelError
        The engine is not installed, or does not compute in `precision`.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> len(predict(build_model("cnn"), patches))
    4
    >>> predict(build_model("cnn"), patches, tta="d4").made_by["tta"]
    {'asked': 'd4', 'used': 'd4'}
    """
    is_run = hasattr(model, "identity")
    patches = patches.readable()
    about = {"data": patches.path, "patches": len(patches), **(model.identity if is_run else {})}
    if patches.skipped:
        about["skipped"] = [vars(each) for each in patches.skipped]
    if tta not in TTA:
        raise ConfigError(f"tta must be one of {', '.join(TTA)}; got {tta!r}")
    if engine not in ENGINES:
        raise ConfigError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    about |= {"precision": precision} if precision != "float32" else {}
    if engine == "keras":
        networks, used = _on_keras(model.networks if is_run else [(model, None)], tta, precision)
        about |= {"tta": {"asked": tta, "used": used}} if tta != "none" else {}
    elif not is_run or tta != "none":
        raise ConfigError(
            f"engine {engine} runs what was exported of a run, each patch once; take engine keras, or leave tta out: "
            "networks of the d4net family give the same for all orientations without it"
        )
    else:
        networks = [open_engine(engine, file, precision) for file in model.engine_files(engine)]
        about["engine"] = engine
    logits, warnings = _in_batches(networks, patches, model.warnings if is_run else _no_word)
    predictions = Predictions.from_logits(patches.table, logits, {**about, **(made_by or {})})
    if is_run:
        predictions.table["warning"] = warnings
    return predictions


def predict_logits(model: "keras.Model", patches: PatchSet) -> np.ndarray:
    """Return the log-odds of tumour for every patch: float64, shape ``(n,)``.

    Examples
    --------
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(4))
    >>> predict_logits(build_model("cnn"), patches).shape
    (4,)
    """
    networks, _ = _on_keras([(model, None)], "none", "float32")
    logits, _ = _in_batches(networks, patches, _no_word)
    return logits


def _in_batches(
    networks: Sequence[Logits], patches: PatchSet, look: Callable[[np.ndarray], list[str]]
) -> tuple[np.ndarray, list[str]]:
    """Return the mean log-odds over networks, and what `look` says of each patch."""
    parts, words = [], []
    shown = map_patches(patches, lambda pixels: (pixels, look(pixels)), "predicting", chunk_size=BATCH_SIZE)
    for pixels, said in shown:
        parts.append(np.mean([logits(pixels) for logits in networks], axis=0))
        words += said
    return np.concatenate(parts), words


def _no_word(pixels: np.ndarray) -> list[str]:
    return []


def _on_keras(
    networks: Sequence[tuple["keras.Model", Calibration | None]], tta: str, precision: str
) -> tuple[list[Logits], str]:
    """Return functions that give each network's calibrated log-odds, and the test-time augmentation that they do."""
    from sentinode.models.symmetry import is_symmetric

    turned = [tta == "d4" and not is_symmetric(network) for network, _ in networks]
    if tta != "none":
        log.info(_what_tta_does(turned))
    ready = [
        _logits_of(as_predicted(network), calibration or Calibration(), often, precision)
        for (network, calibration), often in zip(networks, turned, strict=True)
    ]
    return ready, tta if any(turned) else "none"


def as_predicted(model: "keras.Model") -> "keras.Model":
    """Return the network that `predict` runs for a model: its `logit_model`, with turned kernels written out if any."""
    from sentinode.models.plain import plain_network

    check_last_layer(model)
    try:
        return plain_network(model)
    except ModelError:  # Not of the d4net family.
        return logit_model(model)


def _logits_of(network: "keras.Model", calibration: Calibration, often: bool, precision: str) -> Logits:
    """Return a function of pixels: the network's calibrated log-odds, over all eight orientations or as they are."""
    from sentinode.layers.d4 import ORDER, apply_symmetry
    from sentinode.models.backend import silence_retracing_warning
    from sentinode.models.precision import mixed_precision

    def logits(pixels: np.ndarray) -> np.ndarray:
        orientations = (
            apply_symmetry(pixels, symmetry) if symmetry else pixels for symmetry in range(ORDER if often else 1)
        )
        with silence_retracing_warning(), mixed_precision(network, precision):  # Layers are traced as they are then.
            said = [tumour_logit(network.predict_on_batch(turned)) for turned in orientations]
        return calibration(np.mean(said, axis=0))

    return logits


def _what_tta_does(turned: Sequence[bool]) -> str:
    """Say in a line what test-time augmentation costs, or why it is left out."""
    if not any(turned):
        return "tta d4 left out: by construction the network gives the same for all eight orientations of a patch"
    some = "" if all(turned) else f" by {sum(turned)} of {len(turned)} networks (the others give the same for all)"
    return f"tta d4: each patch is predicted in its eight orientations{some}, for eight times the work"
