"""`stress`, the robustness test: evaluate a model on perturbed patches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.data.pixels import ConcatPixels
from sentinode.data.stain.perturbations import PERTURBATIONS, Perturbation
from sentinode.data.types import IndexArray, PixelReader, UInt8Array
from sentinode.evaluation.robustness import RobustnessResult, Setting
from sentinode.evaluation.selection import draw_per_class, select_patches
from sentinode.inference.predict import as_predictor, predict

if TYPE_CHECKING:
    import keras

    from sentinode.inference.predictor import Predictor

QUICK_PER_CLASS = 250


@dataclass(frozen=True)
class PerturbedPixels:
    """Pixels that are perturbed when they are read, so that memory does not grow with the number of levels."""

    pixels: PixelReader
    perturbation: Perturbation
    level: float

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read and perturb the pixels of `rows`."""
        return self.perturbation(self.pixels.read(rows), self.level)

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return a text for each row that changes if its pixels may have changed."""
        return [f"{stamp} {self.perturbation.axis_label} {self.level:g}" for stamp in self.pixels.stamps(rows)]


def stress(
    run: "Predictor | keras.Model",
    patches: PatchSet,
    split: str | None = None,
    *,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    quick: bool = False,
    seed: int = 0,
) -> RobustnessResult:
    """Evaluate a model on patches with graded perturbations of stain, brightness, focus, compression and position.

    Parameters
    ----------
    run : Predictor
        The model: a `Run` from `train` or `load_run`, an `Ensemble`, or another `Predictor`.
    patches : PatchSet
        The labeled patches.
    split : str, optional
        The split to evaluate on; see `evaluate`.
    out : str or Path, optional
        A folder to save the results to; see `RobustnessResult.save`. By default nothing is written.
    cache : str or Path, optional
        The folder for decoded patches; see `PatchSet.cached`.
    quick : bool, default False
        Whether to test only the extreme levels of each perturbation, on at most 250 patches of each class.
    seed : int, default 0
        The seed of the random draw of these patches.

    Returns
    -------
    RobustnessResult
        The metrics.

    Raises
    ------
    DataError
        The split does not exist, a patch has no label, a file was altered, or only one class is present.

    Examples
    --------
    >>> from sentinode import load_run, open_patches, stress
    >>> patches = open_patches("pcam-mini", split="test").select(range(0, 400, 20))
    >>> found = stress(load_run("d4net-m"), patches, quick=True)
    >>> found.perturbations["rotation"].mean_auc.estimate == found.unperturbed.auc.estimate
    True
    """
    run = as_predictor(run)
    selected = select_patches(
        [run], patches, split, cache=cache, per_class=QUICK_PER_CLASS if quick else None, seed=seed
    )
    chosen, settings = selected.patches, settings_of(quick)
    about = {**selected.made_by, "patches": len(chosen), "quick": quick, "seed": seed}
    found = RobustnessResult.from_predictions(
        settings,
        predict(run, perturbed(chosen, settings), about),
        chosen.table,
        run.threshold,
        data=selected.data,
        split=selected.split,
        warnings=selected.overlaps[0].warnings,
    )
    if out is not None:
        found.save(out)
    return found


def quick_patches(patches: PatchSet, seed: int = 0) -> PatchSet:
    """Draw the patches that a quick robustness test of these patches uses."""
    return draw_per_class(patches, QUICK_PER_CLASS, seed)


def settings_of(quick: bool = False) -> list[Setting]:
    """List the settings of a robustness test: unperturbed patches, then each level of each perturbation.

    Examples
    --------
    >>> len(settings_of()), len(settings_of(quick=True))
    (40, 13)
    """
    settings = [Setting(None, 0.0)]
    for name, perturbation in PERTURBATIONS.items():
        levels = (perturbation.levels[0], perturbation.levels[-1]) if quick else perturbation.levels
        settings += [Setting(name, level) for level in levels if level != perturbation.neutral]
    return settings


def perturbed(patches: PatchSet, settings: Sequence[Setting]) -> PatchSet:
    """Return the patches once for each setting as one set that is perturbed when it is read."""
    parts = tuple(
        patches
        if setting.perturbation is None
        else replace(
            patches, pixels=PerturbedPixels(patches.pixels, PERTURBATIONS[setting.perturbation], setting.level)
        )
        for setting in settings
    )
    table = pd.concat([part.table for part in parts], ignore_index=True)
    pixels = ConcatPixels([(part.pixels, part.rows) for part in parts])
    return replace(patches, table=table, pixels=pixels, rows=np.arange(len(table)))
