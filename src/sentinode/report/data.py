"""The data of a report: a run, its evaluation and its robustness test."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.evaluation.evaluate import evaluate, known_groups
from sentinode.evaluation.evaluation import METRICS, Evaluation, clusters_of
from sentinode.evaluation.files import default_folder
from sentinode.evaluation.robustness import STRESS, RobustnessResult
from sentinode.evaluation.selection import Overlap, select_patches
from sentinode.evaluation.stress import quick_patches
from sentinode.metrics import OperatingPoint
from sentinode.report.formatting import shareable
from sentinode.report.threshold_table import ThresholdTable

if TYPE_CHECKING:
    from sentinode.training.run import Run


@dataclass(frozen=True)
class ReportData:
    """A run and its results on some patches.

    Attributes
    ----------
    run : Run
        The run.
    patches : PatchSet
        The evaluated patches, cached, in the order of the predictions.
    evaluation : Evaluation
        The evaluation of the run on these patches.
    robustness : RobustnessResult, optional
        The robustness test of this run on these patches; None without one.
    overlap : Overlap
        Which of these patches the training of the run has used.
    """

    run: "Run"
    patches: PatchSet
    evaluation: Evaluation
    robustness: RobustnessResult | None
    overlap: Overlap

    @property
    def point(self) -> OperatingPoint:
        """The metrics at the run's own threshold."""
        return self.evaluation.operating_point

    @property
    def threshold(self) -> float:
        """The run's own threshold."""
        return self.point.threshold

    @property
    def predictions(self) -> pd.DataFrame:
        """One row a patch: ``id``, ``label``, ``probability``, ``logit``, ``prediction``, ``warning``."""
        return self.evaluation.predictions.table

    @property
    def source(self) -> str:
        """The evaluated source and split, without absolute folders."""
        split = self.evaluation.split
        return shareable(self.patches.path) + (f", split {split}" if split != "all" else "")

    @property
    def prevalence(self) -> float:
        """The share of tumour among the patches."""
        return self.evaluation.tumour / (self.evaluation.tumour + self.evaluation.normal)

    @cached_property
    def threshold_table(self) -> ThresholdTable:
        """The counts at every threshold that the page offers."""
        named = [each.threshold for each in self.evaluation.operating_points.values()]
        return ThresholdTable.of(self.predictions, named)


def load_report_data(
    run: "Run", patches: PatchSet, split: str | None = None, cache: str | Path | None = None
) -> ReportData:
    """Load the results of a run on a split; evaluate it first where that is missing.

    Parameters
    ----------
    run : Run
        From `train` or `load_run`.
    patches : PatchSet
        Any labeled set.
    split : str, optional
        The split; when left out that of `evaluate`.
    cache : str or Path, optional
        Where decoded patches are kept; see `PatchSet.cached`.

    Returns
    -------
    ReportData
        The run and its results.

    Raises
    ------
    DataError
        See `evaluate`; or a file of the evaluation is damaged.
    """
    selected = select_patches([run], patches, split, cache=cache, warn=False)
    chosen = selected.patches
    folder = default_folder(run.results_folder, selected.split, chosen.fingerprint, METRICS)
    evaluation = _existing(folder, run, chosen) or evaluate(run, patches, split, out=folder, cache=cache)
    return ReportData(run, chosen, evaluation, _robustness(run, selected.split, chosen), selected.overlaps[0])


def _existing(folder: Path, run: "Run", patches: PatchSet) -> Evaluation | None:
    """Return the evaluation in a folder if it is one of these patches by this run, with all groups known now."""
    if not (folder / METRICS).is_file():
        return None
    found = Evaluation.load(folder)
    same = _same(found.made_by, {**run.identity, **_fingerprints(patches)})
    known = set(known_groups(patches)) <= set(found.subgroups)
    return found if same and known and found.clusters == clusters_of(patches.table)[0] else None


def _robustness(run: "Run", split: str, patches: PatchSet) -> RobustnessResult | None:
    """Return a robustness test of this run on these patches; a full one rather than a quick one."""
    found = map(RobustnessResult.load, sorted(run.results_folder.glob(f"evaluations/stress-*/{STRESS}")))
    fitting = [each for each in found if _same(each.made_by, {**run.identity, "split": split})]
    for each in sorted(fitting, key=lambda each: bool(each.made_by["quick"])):
        tested = quick_patches(patches, each.made_by["seed"]) if each.made_by["quick"] else patches
        if _same(each.made_by, _fingerprints(tested)):
            return each
    return None


def _fingerprints(patches: PatchSet) -> dict[str, str]:
    return {"fingerprint": patches.fingerprint, "groups_fingerprint": patches.groups_fingerprint}


def _same(made_by: dict[str, Any], identity: dict[str, Any]) -> bool:
    names = set(identity) - {"model"}  # A run may have been moved.
    return all(made_by.get(name) == identity[name] for name in names)
