"""What a report and a model card are made from: what a run, its evaluation and its stress test have left as files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError
from sentinode.evaluation.evaluate import evaluate, group_columns
from sentinode.evaluation.evaluation import METRICS, clusters_of
from sentinode.evaluation.files import default_folder
from sentinode.evaluation.robustness import STRESS, RobustnessResult
from sentinode.evaluation.selection import select_patches
from sentinode.inference.predictions import Predictions
from sentinode.storage import read_json

if TYPE_CHECKING:
    from sentinode.training.run import Run

CURVES = ("roc", "precision_recall", "risk_coverage")


@dataclass(frozen=True)
class Facts:
    """A run, the patches that it was evaluated on, and what came out.

    Attributes
    ----------
    run
        The run.
    patches
        The evaluated patches, cached, in the order of the predictions.
    folder
        Of the evaluation.
    metrics
        What its ``metrics.json`` holds.
    stress
        What the ``stress.json`` of a stress test of this run on this split holds; None without one.
    trained_on
        How many of the patches the run was trained on.
    chosen_on
        How many of them its threshold was chosen on, and what else `Run.validation_choices` names.
    """

    run: "Run"
    patches: PatchSet
    folder: Path
    metrics: dict[str, Any]
    stress: RobustnessResult | None
    trained_on: int
    chosen_on: int

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a patch: ``id``, ``label``, ``probability``, ``logit``, ``prediction``, ``warning``."""
        return Predictions.read(self.folder / "predictions.csv").table

    @cached_property
    def curves(self) -> dict[str, pd.DataFrame]:
        """By name the columns of the curves that the evaluation has left as csv."""
        return {name: _read_csv(self.folder / f"{name}.csv") for name in CURVES}

    @property
    def threshold(self) -> float:
        """The run's own."""
        return float(self.metrics["operating_points"]["validation"]["threshold"])

    @property
    def point(self) -> dict[str, Any]:
        """The figures there."""
        return dict(self.metrics["operating_points"]["validation"])

    @property
    def independent(self) -> bool:
        """Whether the intervals take patches for independent, because their slides are not known."""
        return self.metrics["clusters"] is None


def gather(run: "Run", patches: PatchSet, split: str | None = None, cache: str | Path | None = None) -> Facts:
    """Return what is known of a run on a split; it is evaluated there first if it was not.

    Parameters
    ----------
    run
        From `train` or `load_run`.
    patches
        Any labelled set.
    split
        The split; when left out that of `evaluate`.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.

    Raises
    ------
    DataError
        See `evaluate`; or a file of the evaluation is damaged.
    """
    selected = select_patches([run], patches, split, cache=cache, warn=False)
    name, chosen, overlap = selected.split, selected.patches, selected.overlaps[0]
    folder = default_folder(run.results_folder, name, chosen.fingerprint, METRICS)
    if not _is_of(folder, run, chosen):
        evaluate(run, patches, split, out=folder, cache=cache)
    return Facts(
        run=run,
        patches=chosen,
        folder=folder,
        metrics=read_json(folder / METRICS),
        stress=_stress(run, name, chosen),
        trained_on=overlap.trained_on or 0,
        chosen_on=overlap.validated_on or 0,
    )


def _is_of(folder: Path, run: "Run", patches: PatchSet) -> bool:
    """Say whether a whole evaluation is there, of these patches by this very run."""
    needed = [folder / METRICS, folder / "predictions.csv", *(folder / f"{name}.csv" for name in CURVES)]
    if not all(file.is_file() for file in needed):
        return False
    metrics = read_json(folder / METRICS)
    # Slides and centres may have become known since.
    known = metrics["clusters"] == clusters_of(patches.table)[0] and set(group_columns(patches)) <= set(
        metrics["subgroups"]
    )
    return known and _same(metrics["made_by"], {**run.identity, "fingerprint": patches.fingerprint})


def _same(made_by: dict[str, Any], identity: dict[str, Any]) -> bool:
    names = set(identity) - {"model"}  # A run may have been moved.
    return all(made_by.get(name) == identity[name] for name in names)


def _stress(run: "Run", split: str, patches: PatchSet) -> RobustnessResult | None:
    """Return a stress test of this run on this split; a whole one rather than a quick one."""
    found = []
    for file in sorted(run.results_folder.glob(f"evaluations/stress-*/{STRESS}")):
        result = RobustnessResult.load(file)
        if _same(result.made_by, {**run.identity, "split": split, "data": patches.path}):
            found.append(result)
    return min(found, key=lambda each: bool(each.made_by["quick"]), default=None)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); evaluate again") from error
