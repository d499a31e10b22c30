"""Several runs that predict together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import logit

from sentinode.errors import ConfigError
from sentinode.inference.logits import probability
from sentinode.inference.ood import WARNINGS
from sentinode.metrics.calibration import Calibration
from sentinode.training.load import load_run
from sentinode.training.run import Run

if TYPE_CHECKING:
    import keras

# A threshold of exactly 0 or 1 has no finite log-odds; it counts as this near to it.
NEAREST = 1e-12


@dataclass(frozen=True)
class Ensemble:
    """Runs whose calibrated log-odds are averaged: those of each calibrated before.

    Wherever patches are predicted or evaluated it can stand in the place of a `Run`.

    Attributes
    ----------
    runs
        At least one, each with weights of its own.

    Raises
    ------
    ConfigError
        No run, or the same weights twice: they would only count double.

    Examples
    --------
    >>> from sentinode import load_run, open_patches, predict
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 40))
    >>> run = load_run("d4net-m")
    >>> len(predict(Ensemble((run, run)), few.split("test")))
    10
    """

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise ConfigError("an ensemble needs at least one run; got none")
        first: dict[str, Path] = {}
        for run in self.runs:
            other = first.setdefault(run.identity["weights_sha256"], run.path)
            if other is not run.path:
                raise ConfigError(f"{run.path} and {other} have the same weights; give each run of an ensemble once")

    results_folder = None
    name = "an ensemble"
    conformal = None  # Those of its runs are of other probabilities.
    validation_predictions = None

    @property
    def networks(self) -> "list[tuple[keras.Model, Calibration]]":
        """What predicts: the network of each run with its calibration."""
        return [network for run in self.runs for network in run.networks]

    def engine_files(self, engine: str) -> list[Path]:
        """Return the files that an engine of `predict` runs."""
        return [file for run in self.runs for file in run.engine_files(engine)]

    @property
    def threshold(self) -> float:
        """The mean of the runs' thresholds, taken of their log-odds.

        Each run chose its threshold on its validation patches by its own predictions; no patch was looked at to choose
        this one, so it is no better chosen for an ensemble than that.
        """
        thresholds = np.clip([run.threshold for run in self.runs], NEAREST, 1 - NEAREST)
        return float(probability(logit(thresholds).mean()))

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions remember: every run, and the threshold."""
        return {
            "ensemble": [run.identity for run in self.runs],
            "threshold": self.threshold,
            "threshold_rule": "mean of the runs' thresholds on the logit scale",
        }

    @property
    def validation_warning_rate(self) -> float:
        """The largest warning rate of the runs; the rate of the ensemble is at least as high."""
        return max(run.validation_warning_rate for run in self.runs)

    def describe(self) -> str:
        """Return what it is in a line."""
        runs = ", ".join(run.path.name if run.pretrained else str(run.path) for run in self.runs)
        return f"the mean of {len(self.runs)} runs, for the work of all together: {runs}; research use only"

    def warnings(self, pixels: np.ndarray) -> list[str]:
        """Name for each patch the statistics that are out of distribution for any of the runs."""
        of_runs = zip(*(run.warnings(pixels) for run in self.runs), strict=True)
        return [", ".join(name for name in WARNINGS if any(name in warning for warning in patch)) for patch in of_runs]

    def trained_on(self, sha1: pd.Series) -> np.ndarray:
        """Say for each of these patches, by SHA-1 of its pixels, whether any of the runs was trained on it."""
        return np.any([run.trained_on(sha1) for run in self.runs], axis=0)

    def validated_on(self, sha1: pd.Series) -> np.ndarray:
        """Say for each of these patches whether what any run's `chosen` names was chosen on it."""
        return np.any([run.validated_on(sha1) for run in self.runs], axis=0)

    @property
    def validation_choices(self) -> str:
        """What was chosen on validation patches, in words."""
        return max((run.validation_choices for run in self.runs), key=len)

    def held_out(self) -> set[str]:
        """Return the SHA-1s of the patches that all trainings held out, if all held out the same."""
        first, *others = (run.held_out() for run in self.runs)
        return first if all(other == first for other in others) else set()


def load_runs(paths: Sequence[str | Path]) -> Run | Ensemble:
    """Open one run directory, or several as an ensemble.

    Raises
    ------
    RunError
        One of them is not a run that has ended.
    ConfigError
        Two of them have the same weights.
    """
    runs = tuple(load_run(path) for path in paths)
    return runs[0] if len(runs) == 1 else Ensemble(runs)
