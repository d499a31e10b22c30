"""What every trained classifier offers: logits for patches, a threshold, an identity, what is known of its training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.errors import ModelError
from sentinode.inference.inputs import Patches, as_patches, decode_in_memory
from sentinode.inference.logits import probability
from sentinode.inference.ood import OODDetector
from sentinode.inference.predictions import Predictions
from sentinode.metrics import Calibration, ConformalSets

# Other engines than Keras work without it.
if TYPE_CHECKING:
    import keras

    from sentinode.data.patchset import PatchSet
    from sentinode.data.types import UInt8Array

Floats = NDArray[np.float64]

# Another batch size may change the last bits of a logit.
BATCH_SIZE = 128
# Where a model or its predictions come without one.
DEFAULT_THRESHOLD = 0.5


class Predictor(Protocol):
    """A classifier of patches: a `Run`, an `Ensemble`, a Keras model, or an external model file.

    A class that implements it subclasses it and provides `name`, `threshold`, `identity`, `describe` and `session`.
    The other members describe the training; by default nothing is known of it.
    """

    @property
    def name(self) -> str:
        """A short name for messages and titles."""
        ...

    @property
    def threshold(self) -> float:
        """The probability from which a patch is predicted to be tumour."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions record of the model: name or path, hash of the weights, calibration, threshold."""
        ...

    def describe(self) -> str:
        """Describe the model in one line."""
        ...

    def session(self, engine: str = "keras", *, tta: str = "none", precision: str = "float32") -> "Session":
        """Load the network into an engine and keep it there.

        Parameters
        ----------
        engine, tta, precision : str
            See `predict`.

        Returns
        -------
        Session
            Predicts without loading anything again.
        """
        ...

    @property
    def model(self) -> "keras.Model":
        """The Keras network, uncalibrated."""
        raise ModelError(f"{self.name} is not a single Keras network, which is required; use a run or a Keras model")

    @property
    def calibration(self) -> Calibration:
        """What turns logits of `model` into calibrated ones."""
        return Calibration()

    @property
    def architecture(self) -> dict[str, Any]:
        """The name of the network's architecture, and what else is known of it."""
        return {"name": self.name}

    @property
    def results_folder(self) -> Path | None:
        """The folder that commands write results to by default; None if there is none."""
        return None

    @property
    def conformal(self) -> ConformalSets | None:
        """Prediction sets fitted on validation patches; None if there are none."""
        return None

    @property
    def validation_predictions(self) -> Predictions | None:
        """Predictions for the model's own validation patches; None if they were not kept."""
        return None

    @property
    def validation_choices(self) -> str:
        """What was chosen on the validation patches, such as ``"threshold and best epoch"``."""
        return "nothing"

    @property
    def ood(self) -> OODDetector | None:
        """The out-of-distribution detector fitted to the training patches; None if there is none."""
        return None

    @property
    def validation_warning_rate(self) -> float:
        """The fraction of the validation patches that get an out-of-distribution warning."""
        return self.ood.validation_warning_rate if self.ood else 0.0

    def network_file(self, engine: str, precision: str = "float32") -> Path:
        """Return the file that an engine other than Keras runs, exported into the cache if it does not exist."""
        raise ModelError(f"{self.name} is not a single network that can be exported for {engine}; use engine keras")

    def needs_keras(self, engine: str, precision: str = "float32") -> bool:
        """Tell whether `session` imports Keras for this engine."""
        return engine == "keras"

    def warnings(self, pixels: "UInt8Array") -> list[str] | None:
        """Describe how each patch differs from the training patches; None if nothing is known of these."""
        return self.ood.warnings(pixels) if self.ood else None

    def trained_on(self, sha1: pd.Series) -> NDArray[np.bool_] | None:
        """Tell for the SHA-1 of each patch whether the model was trained on it; None if unknown."""
        del sha1
        return None

    def validated_on(self, sha1: pd.Series) -> NDArray[np.bool_] | None:
        """Tell for the SHA-1 of each patch whether it is a validation patch of the model; None if unknown."""
        del sha1
        return None

    def held_out(self) -> set[str] | None:
        """Return the SHA-1 of the patches that the training itself set aside for validation; None if unknown."""
        return None


@dataclass(frozen=True)
class Session:
    """A network that stays loaded in its engine, so that one patch takes milliseconds.

    Attributes
    ----------
    source : Predictor
        What was loaded.
    compute : callable
        uint8 patches ``(n, 96, 96, 3)`` in, calibrated logits out: float64 of shape ``(n,)``.
    settings : mapping
        Engine, precision and test-time augmentation, where they are not the default; recorded with predictions.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> session = load_run("d4net-m").session()
    >>> patch = open_patches("pcam-mini", split="test").read([0])[0]
    >>> session.probabilities(patch).round(3).tolist() == session.probabilities([patch]).round(3).tolist()
    True
    """

    source: Predictor
    compute: "Callable[[UInt8Array], Floats]"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def logits(self, x: Patches) -> Floats:
        """Return the calibrated logit of tumour for each patch.

        Parameters
        ----------
        x : PatchSet, ndarray, image, bytes, path, or a list of these
            See `predict`.

        Returns
        -------
        ndarray of shape (n,)
        """
        pixels = decode_in_memory(x)
        if pixels is None or len(pixels) > BATCH_SIZE:
            return self._run(as_patches(x))[0]
        return self.compute(pixels)

    def probabilities(self, x: Patches) -> Floats:
        """Return the calibrated probability of tumour for each patch; see `logits`."""
        return probability(self.logits(x))

    def predict(self, x: Patches, made_by: Mapping[str, Any] | None = None) -> Predictions:
        """Predict every patch.

        Parameters
        ----------
        x : PatchSet, ndarray, image, bytes, path, or list of these
            See `sentinode.predict`.
        made_by : mapping, optional
            Further entries of the provenance of the predictions.

        Returns
        -------
        Predictions
        """
        patches = as_patches(x).readable()
        about: dict[str, Any] = {"data": patches.path, "patches": len(patches), **self.source.identity}
        about |= patches.skipped_json()
        logits, warnings = self._run(patches)
        predictions = Predictions.from_logits(patches.table, logits, {**about, **self.settings, **(made_by or {})})
        if warnings is not None:
            predictions.table["warning"] = warnings
        return predictions

    def _run(self, patches: "PatchSet") -> tuple[Floats, list[str] | None]:
        """Return logits and warnings, batch by batch, so that memory does not grow with the number of patches."""
        from sentinode.data.map_patches import map_patches

        if len(patches) <= BATCH_SIZE:  # Threads and a progress bar would take longer than the network.
            pixels = patches.read()
            return self.compute(pixels), self.source.warnings(pixels)
        logits: list[Floats] = []
        warnings: list[str] | None = []
        with_warnings = map_patches(
            patches, lambda pixels: (pixels, self.source.warnings(pixels)), "predicting", chunk_size=BATCH_SIZE
        )
        for pixels, warned in with_warnings:
            logits.append(self.compute(pixels))
            warnings = None if warned is None or warnings is None else [*warnings, *warned]
        return np.concatenate(logits), warnings


def parse_threshold(value: Any) -> float:
    """Read a threshold on the probability of tumour from a json.

    Raises
    ------
    ValueError
        It is not a number from 0 to 1.

    Examples
    --------
    >>> parse_threshold(0.5)
    0.5
    """
    if not isinstance(value, int | float) or not 0 <= value <= 1:  # NaN is not either.
        raise ValueError(f"expected a number from 0 to 1, got {value!r}")
    return float(value)
