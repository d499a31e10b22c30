"""A run: the self-contained directory that training writes."""

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from sentinode.data.duplicates.hashes import sha1_bytes
from sentinode.data.io.csv import read_csv
from sentinode.errors import DAMAGED_RUN, DataError, RunError, SentinodeError, first_line
from sentinode.inference.kept_sessions import KeptSessions
from sentinode.inference.ood import OODDetector
from sentinode.inference.predictions import Predictions
from sentinode.inference.predictor import parse_threshold
from sentinode.metrics import Calibration, ConformalSets
from sentinode.notebook import summary_html
from sentinode.samples import pretrained_path
from sentinode.serialize import from_json, to_json
from sentinode.storage import read_json, sha256_of
from sentinode.training.config import TrainConfig
from sentinode.training.provenance import Method, Provenance

T = TypeVar("T")

# A run can be read, and predict with another engine, without Keras.
if TYPE_CHECKING:
    import keras

CONFIG, SUMMARY, ARCHITECTURE = "config.json", "summary.json", "model.json"
SPLITS, CHECKPOINT = "splits.csv", "checkpoint.npz"
TRAIN_SHA1, VALID_SHA1 = "train_sha1.npy", "valid_sha1.npy"
OOD, VALIDATION, CURVES = "ood.json", "valid_predictions.csv", "curves.png"
WEIGHTS = {"best": "best.weights.h5", "final": "final.weights.h5"}


@dataclass(frozen=True)
class Run(KeptSessions):
    """A finished training run.

    Attributes
    ----------
    path : Path
        The run directory.
    """

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of ``config.json``: method, settings, model, data, starting weights, teachers, environment."""
        return self._read(CONFIG, "settings", "model", "data", "environment")

    @cached_property
    def settings(self) -> TrainConfig:
        """Settings of the training. A linear probe has only splits, deduplication and seed; others are defaults."""
        return TrainConfig.from_json(self.config["settings"])

    @property
    def method(self) -> Method:
        """``"training"``, or ``"linear probe"`` if only the last layer was fitted."""
        return "linear probe" if self.config.get("method") == "linear probe" else "training"

    @property
    def provenance(self) -> Provenance:
        """How the weights were made, through starting weights, teachers and model soups."""
        config = self.config
        try:
            return Provenance(
                model=self.path.name if self.pretrained else str(self.path),
                weights_sha256=self.identity["weights_sha256"],
                method=self.method,
                data=config["data"]["path"],
                **config["data"]["train"],
                starting_weights=from_json(Provenance, start) if (start := config.get("starting_weights")) else None,
                teachers=tuple(from_json(Provenance, teacher) for teacher in config.get("teachers") or []),
                soup=tuple(config.get("soup") or []),
            )
        except (DataError, KeyError, TypeError) as error:
            raise RunError(f"{self.path / CONFIG}: provenance cannot be read ({error}); {DAMAGED_RUN}") from error

    @property
    def precision(self) -> str:
        """Precision of the training: ``"float32"`` or ``"bfloat16"``."""
        used = self._read(CONFIG, "precision")["precision"]
        if not isinstance(used, dict) or used.get("used") not in ("float32", "bfloat16"):
            raise RunError(f"{self.path / CONFIG}: precision is {used!r}; expected used: float32 or used: bfloat16")
        return str(used["used"])

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Content of ``summary.json``: best epoch, calibration, threshold, duration."""
        return self._read(SUMMARY, "best_epoch", "calibration", "threshold")

    @property
    def threshold(self) -> float:
        """Decision threshold on the probability of tumour, chosen on the validation patches."""
        try:
            return parse_threshold(self.summary["threshold"])
        except ValueError as error:
            raise RunError(f"{self.path / SUMMARY}: threshold: {error}; {DAMAGED_RUN}") from error

    @property
    def calibration(self) -> Calibration:
        """Calibration of the log-odds, fitted on the validation patches."""
        calibration = self._parse(Calibration, "calibration")
        if not (0 < calibration.temperature < math.inf and abs(calibration.offset) < math.inf):
            raise RunError(f"{self.path / SUMMARY}: {calibration} is not valid; temperature must be above 0")
        return calibration

    @property
    def conformal(self) -> ConformalSets | None:
        """Conformal prediction sets, fitted on the validation patches; None for a run of an earlier version."""
        return self._parse(ConformalSets, "conformal") if "conformal" in self.summary else None

    @property
    def validation_predictions(self) -> Predictions | None:
        """Predictions of the validation patches; None for pretrained weights."""
        file = self.path / VALIDATION
        return Predictions.read(file) if file.is_file() else None

    def _parse(self, kind: type[T], name: str) -> T:
        try:
            return from_json(kind, self.summary[name])
        except DataError as error:
            raise RunError(f"{self.path / SUMMARY}: {name}: {error}; {DAMAGED_RUN}") from error

    @property
    def architecture(self) -> dict[str, Any]:
        """Name, parameters and build options of the network, as in ``config.json``."""
        return dict(self.config["model"])

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.path.name

    @property
    def pretrained(self) -> bool:
        """Whether the weights are part of the package."""
        return self.path == pretrained_path(self.path.name)

    @property
    def results_folder(self) -> Path:
        """Where results are written by default: the run directory; for pretrained weights, ``./NAME``."""
        return Path(self.path.name) if self.pretrained else self.path

    def describe(self) -> str:
        """Describe the run in one line."""
        parameters = self.config["model"].get("parameters", 0)
        parts = {part: self.config["data"].get(part, {}) for part in ("train", "valid")}
        counts = {name: part.get("normal", 0) + part.get("tumour", 0) for name, part in parts.items()}
        where = f"{self.path.name} (pretrained)" if self.pretrained else str(self.path)
        good_for = (
            f"; for lymph nodes in H&E, about 0.97 µm/px: see {self.path / 'README.md'}" if self.pretrained else ""
        )
        return (
            f"{where}: {parameters:,} parameters, {counts['train']:,} training patches, "
            f"threshold and calibration from {counts['valid']:,} validation patches; research use only{good_for}"
        )

    def _repr_html_(self) -> str:
        model, data, summary = self.config["model"], self.config["data"], self.summary
        rows = {
            "folder": self.path,
            "network": f"{model['name']}, {model['parameters']:,} parameters",
            "best epoch": f"{summary['best_epoch']} of {summary.get('epochs', len(self.history))}",
            "threshold": f"{self.threshold:.4f}",
        }
        counts = pd.DataFrame({part: data[part] for part in ("train", "valid")}).T[["normal", "tumour"]]
        return summary_html(f"Run {self.name} (research use only)", rows, counts)

    @cached_property
    def ood(self) -> OODDetector | None:
        """The out-of-distribution detector fitted to the training patches; None if too few of them have tissue."""
        try:
            fitted = read_json(self.path / OOD) is not None
            return read_json(self.path / OOD, OODDetector) if fitted else None
        except (OSError, DataError) as error:
            raise RunError(f"{error}; {DAMAGED_RUN}") from error

    def fingerprint(self, part: str) -> str:
        """Return the fingerprint of the ``"train"`` or ``"valid"`` patches."""
        try:
            return str(self.config["data"][part]["fingerprint"])
        except (KeyError, TypeError) as error:
            raise RunError(f"{self.path / CONFIG}: the fingerprint of the {part} patches is missing") from error

    @cached_property
    def history(self) -> pd.DataFrame:
        """Learning curves, one row per epoch."""
        try:
            return pd.read_csv(self.path / "history.csv")
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / 'history.csv'}: cannot be read ({error}); {DAMAGED_RUN}") from error

    @cached_property
    def model(self) -> "keras.Model":
        """The network with the best weights."""
        return self.load_model("best")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What predictions record of the run: weights, calibration, threshold."""
        weights = sha256_of(self.path / WEIGHTS["best"])
        numbers = {"calibration": to_json(self.calibration), "threshold": self.threshold}
        model = self.path.name if self.pretrained else str(self.path)
        return {"model": model, "weights_sha256": weights, **numbers}

    def starting_model(self, seed: int = 0) -> "keras.Model":
        """Return the network with the best weights as the start of another training run (fine-tuning).

        The other training run records where its starting weights come from.

        Parameters
        ----------
        seed : int, default 0
            Seed of dropout.

        Returns
        -------
        keras.Model

        Examples
        --------
        >>> from sentinode import load_run
        >>> load_run("d4net-m").starting_model().input_shape
        (None, 96, 96, 3)
        """
        from sentinode.models.build import Origin, set_origin

        model = self.load_model("best", seed)
        set_origin(model, Origin(self.config["model"].get("built"), to_json(self.provenance), self.train_sha1))
        return model

    def load_model(self, weights: str = "best", seed: int = 0) -> "keras.Model":
        """Build the network from ``model.json`` and load weights.

        Parameters
        ----------
        weights : {"best", "final"}
            Weights of the epoch with the lowest validation loss, or of the last epoch.
        seed : int, default 0
            Seed of dropout.

        Returns
        -------
        keras.Model

        Raises
        ------
        RunError
            The weights are missing, damaged or do not fit the architecture.
        """
        if weights not in WEIGHTS:
            raise RunError(f"weights must be one of {', '.join(WEIGHTS)}; got {weights!r}")
        from sentinode.models.loading import model_from_file

        model = model_from_file(self.path / ARCHITECTURE, seed)
        file = self.path / WEIGHTS[weights]
        try:
            with warnings.catch_warnings(action="ignore"):  # Keras warns of every layer before it raises.
                model.load_weights(file)
        except Exception as error:  # h5py and Keras raise a dozen types for a damaged file.
            reason = first_line(error)
            raise RunError(f"{file}: cannot be loaded into {ARCHITECTURE} ({reason}); {DAMAGED_RUN}") from error
        return model

    def network_file(self, engine: str, precision: str = "float32") -> Path:
        """Return the file that an engine other than Keras runs, exported into the cache if it does not exist."""
        from sentinode.export.cached import engine_file

        return engine_file(self, self.path / ARCHITECTURE, engine, precision)

    def needs_keras(self, engine: str, precision: str = "float32") -> bool:
        """Tell whether `session` imports Keras: for its own engine, or to export the run for another."""
        from sentinode.export.cached import engine_path, is_exported

        return engine == "keras" or not is_exported(engine_path(self, self.path / ARCHITECTURE, engine, precision))

    def held_out(self) -> set[str]:
        """Return the SHA-1s of the training patches that were held out for validation; empty if there are none."""
        file = self.path / SPLITS
        if not file.is_file():
            return set()
        try:
            table = read_csv(file, ["sha1", "split"])
            return set(table["sha1"][table["split"] == "valid"])
        except DataError as error:
            raise RunError(f"{error}; {DAMAGED_RUN}") from error

    def trained_on(self, sha1: pd.Series) -> np.ndarray:
        """Check which patches the weights were trained on, including those of starting weights and teachers.

        Parameters
        ----------
        sha1 : Series of shape (n,)
            SHA-1 of the pixels of each patch.

        Returns
        -------
        ndarray of bool of shape (n,)
        """
        return np.isin(sha1_bytes(sha1), self.train_sha1)

    def validated_on(self, sha1: pd.Series) -> np.ndarray:
        """Check which patches are validation patches of the run; see `trained_on`."""
        return np.isin(sha1_bytes(sha1), self._sha1(VALID_SHA1))

    @property
    def train_sha1(self) -> np.ndarray:
        """Sorted SHA-1s (20 bytes) of all patches that the weights were trained on."""
        return self._sha1(TRAIN_SHA1)

    def _sha1(self, name: str) -> np.ndarray:
        try:
            return np.load(self.path / name, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RunError(f"{self.path / name}: cannot be read ({error}); {DAMAGED_RUN}") from error

    @property
    def validation_choices(self) -> str:
        """What was chosen on the validation patches."""
        return "threshold" if self.pretrained or self.method == "linear probe" else "threshold and best epoch"

    def _read(self, name: str, *needed: str) -> dict[str, Any]:
        try:
            content = read_json(self.path / name)
        except (OSError, SentinodeError) as error:
            raise RunError(f"{self.path / name}: cannot be read ({error}); {DAMAGED_RUN}") from error
        missing = [key for key in needed if not isinstance(content, dict) or key not in content]
        if missing:
            raise RunError(f"{self.path / name}: {', '.join(missing)} missing; {DAMAGED_RUN}")
        return dict(content)
