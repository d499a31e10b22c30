"""What goes into an external network and what comes out: scaling of the pixels, meaning of the outputs."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import logit

from sentinode.data.open import sample_patches
from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.errors import ConfigError, ModelError, plural
from sentinode.external.files import OUTPUTS
from sentinode.metrics.ranking.roc_curve import roc_curve

Floats = NDArray[np.float64]

# Per meaning of the outputs: how many there are per patch, and the remedy if the classes are swapped.
_WIDTHS = {"logit": 1, "probability": 1, "softmax": 2, "normal-probability": 1, "tumour-first": 2}
_SWAPPED = {
    "logit": "negate its output and save the model again",
    "probability": "use --model-output normal-probability",
    "softmax": "use --model-output tumour-first",
    "normal-probability": "use --model-output probability",
    "tumour-first": "use --model-output softmax",
}
# In the order of preference if a probe does not tell them apart.
SCALES = ("1/255", "1", "1/127.5-1", "imagenet")
PROBE_PATCHES = 80
# An AUC nearer to 0.5 is chance with so few patches.
UNDECIDED = 0.1
# AUC values this close are equal for the choice of a scale.
CLOSE = 0.02

_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# Probabilities of exactly 0 and 1 get finite logits, in the right order.
_LOWEST, _HIGHEST = np.nextafter(0, 1), np.nextafter(1, 0)


@dataclass(frozen=True)
class InputScale:
    """A linear function of gray levels from 0 to 255, per color channel.

    Attributes
    ----------
    text : str
        As the user states it: ``"1"``, ``"1/255"``, ``"1/127.5-1"``, or ``"imagenet"``.
    factor, offset : tuple of float
        The network's input is ``factor * level + offset``.
    """

    text: str
    factor: tuple[float, float, float]
    offset: tuple[float, float, float]

    @classmethod
    def parse(cls, text: str) -> "InputScale":
        """Parse a scale.

        Raises
        ------
        ConfigError
            It is none.

        Examples
        --------
        >>> InputScale.parse("1/127.5-1").offset
        (-1.0, -1.0, -1.0)
        """
        if text == "imagenet":  # The mean and standard deviation of torchvision.
            return cls(text, _triple(1 / (255 * _STD)), _triple(-_MEAN / _STD))
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?([+-]\d+(?:\.\d+)?)?", text.replace(" ", ""))
        if not match or not float(match[1]) or (match[2] and not float(match[2])):
            raise ConfigError(
                f"--input-scale (input_scale): expected {', '.join(SCALES)} or another A/B+C; got {text!r}"
            )
        factor, offset = float(match[1]) / float(match[2] or 1), float(match[3] or 0)
        return cls(text, (factor,) * 3, (offset,) * 3)

    @property
    def is_identity(self) -> bool:
        """Whether gray levels go in as they are."""
        return self.factor == (1, 1, 1) and self.offset == (0, 0, 0)

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Scale pixels whose last axis is the color."""
        factor, offset = np.array(self.factor, np.float32), np.array(self.offset, np.float32)
        return np.asarray(pixels, np.float32) * factor + offset


@dataclass(frozen=True)
class Interpretation:
    """How an external network is used.

    Attributes
    ----------
    scale : InputScale
        What is done to the pixels.
    output : str
        One of `OUTPUTS`.
    are_probabilities : bool
        Whether two outputs per patch are probabilities, and not logits.
    sentences : tuple of str
        How the two were found, for people.
    warnings : tuple of str
        What is doubtful.
    """

    scale: InputScale
    output: str
    are_probabilities: bool
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]


def interpret(
    run: Callable[[UInt8Array, InputScale], NDArray[Any]],
    *,
    where: str = "the model",
    scale: str | None = None,
    output: str | None = None,
    known_scale: str | None = None,
    known_output: str | None = None,
) -> Interpretation:
    """Find the scaling and the meaning of the outputs of a network, and check them on patches of pcam-mini.

    What is stated counts, then what the file tells. Otherwise the scalings of `SCALES` are tried on patches of the
    validation split of pcam-mini, and the one whose AUC is farthest from 0.5 is taken.

    Parameters
    ----------
    run : callable
        Computes outputs ``(n, k)`` from uint8 patches and a scale.
    where : str
        Name of the file in messages.
    scale, output : str, optional
        As the user states them.
    known_scale, known_output : str, optional
        As the file tells them.

    Raises
    ------
    ModelError
        The network has more than two outputs, or outputs that do not fit `output`.
    """
    if output is not None and output not in OUTPUTS:
        raise ConfigError(f"--model-output (model_output) must be one of {', '.join(OUTPUTS)}; got {output!r}")
    sample = sample_patches("valid", PROBE_PATCHES)
    pixels, labels = sample.read(), sample.labels
    given = scale or known_scale
    candidates = [given] if given else list(SCALES)
    outputs: dict[str, NDArray[Any]] = {}
    auc: dict[str, float] = {}
    for text in candidates:
        outputs[text] = _two_dimensional(run(pixels, InputScale.parse(text)), where)
        with np.errstate(over="ignore", invalid="ignore"):
            meaning = _meaning(outputs[text], output, known_output, where)
            logits = to_logits(outputs[text], meaning, where)
        auc[text] = roc_curve(labels, logits).auc if np.isfinite(logits).all() else 0.5
    best = max(abs(value - 0.5) for value in auc.values())
    chosen = next(text for text in candidates if abs(auc[text] - 0.5) >= best - CLOSE)
    meaning = _meaning(outputs[chosen], output, known_output, where)
    how = "stated" if scale else "from the file" if known_scale else _probed(auc)
    sentences = [
        f"input scale {chosen} ({how})",
        f"output {meaning} ({'stated' if output else 'from the file' if known_output else 'by its values'})",
    ]
    return Interpretation(
        InputScale.parse(chosen),
        meaning,
        outputs[chosen].shape[1] == 2 and _are_probabilities(outputs[chosen]),
        tuple(sentences),
        tuple(_doubts(outputs[chosen], auc[chosen], meaning, probed=len(candidates) > 1)),
    )


def to_logits(outputs: NDArray[Any], meaning: str, where: str = "the model") -> Floats:
    """Convert outputs ``(n, 1)`` or ``(n, 2)`` to logits of tumour; `where` is the file in messages.

    Examples
    --------
    >>> to_logits(np.array([[0.5], [1.0]]), "probability").round(1).tolist()
    [0.0, 36.7]
    """
    values = np.asarray(outputs, dtype=np.float64)
    if values.shape[1] == 2:
        if _are_probabilities(values):
            values = np.log(np.clip(values, np.finfo(np.float64).tiny, None))
        difference = values[:, 1] - values[:, 0]
        return -difference if meaning == "tumour-first" else difference
    if meaning == "logit":
        return values[:, 0]
    if not ((values >= 0) & (values <= 1)).all():
        raise ModelError(
            f"{where}: outputs range from {values.min():.3g} to {values.max():.3g}, so they are not probabilities; use "
            "--model-output logit"
        )
    logits = logit(np.clip(values[:, 0], _LOWEST, _HIGHEST))
    return -logits if meaning == "normal-probability" else logits


def resized(pixels: UInt8Array, size_px: Sequence[int] | None) -> UInt8Array:
    """Return patches in the size that a network expects, resampled bilinearly if it is another."""
    if size_px is None or tuple(size_px) == (PATCH_SIZE_PX, PATCH_SIZE_PX):
        return pixels
    height, width = size_px
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(patch).resize((width, height), bilinear)) for patch in pixels])


def _two_dimensional(outputs: NDArray[Any], where: str) -> NDArray[Any]:
    outputs = np.asarray(outputs).reshape(len(outputs), -1)
    if outputs.shape[1] > 2:
        raise ModelError(f"{where}: {outputs.shape[1]} outputs per patch; expected one, or two (normal, tumour)")
    return outputs


def _are_probabilities(outputs: NDArray[Any]) -> bool:
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3))


def _meaning(outputs: NDArray[Any], stated: str | None, known: str | None, where: str) -> str:
    width = outputs.shape[1]
    fitting = [each for each in OUTPUTS if _WIDTHS[each] == width]
    if stated is not None and stated not in fitting:
        raise ModelError(
            f"{where}: {plural(width, 'output')} per patch, so --model-output must be {' or '.join(fitting)}; "
            f"got {stated}"
        )
    if stated is not None:
        return stated
    if known is not None and known in fitting:
        return known
    if width == 2:
        return "softmax"
    return "probability" if ((outputs >= 0) & (outputs <= 1)).all() else "logit"


def _probed(auc: dict[str, float]) -> str:
    found = ", ".join(f"{value:.2f} with {text}" for text, value in auc.items())
    return f"probed on {PROBE_PATCHES} patches of pcam-mini: AUC {found}"


def _doubts(outputs: NDArray[Any], auc: float, meaning: str, probed: bool) -> list[str]:
    sample = f"{PROBE_PATCHES} patches of pcam-mini"
    if np.ptp(outputs, axis=0).max() < 1e-6:
        return [f"the output is the same for {sample}: the input scale or the weights are wrong; specify --input-scale"]
    if auc < 0.5 - UNDECIDED:
        return [f"AUC {auc:.2f} on {sample}: the classes seem to be swapped; {_SWAPPED[meaning]}"]
    if auc < 0.5 + UNDECIDED:
        stated = "the scale is a guess; specify --input-scale" if probed else "check --input-scale and --model-output"
        return [f"AUC {auc:.2f} on {sample} is near chance: {stated}"]
    return []


def _triple(values: NDArray[Any]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
