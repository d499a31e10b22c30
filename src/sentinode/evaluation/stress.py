"""A run on patches as other laboratories, scanners and programs would make them."""

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
from sentinode.errors import ConfigError
from sentinode.evaluation.evaluate import choose_split, folder_of, warn_of_optimistic_bias
from sentinode.evaluation.evaluation import clusters_of
from sentinode.evaluation.robustness import RobustnessResult, Setting
from sentinode.inference.predict import predict
from sentinode.plots.robustness import plot_robustness
from sentinode.plots.style import save_figure
from sentinode.storage import atomic_file, write_json

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor

STRESS = "stress.json"
QUICK_PATCHES = 500


@dataclass(frozen=True)
class PerturbedPixels:
    """Patches that are shifted as they are read, so that memory does not grow with their number."""

    pixels: PixelReader
    shift: Perturbation
    level: float

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read `rows`, and shift them."""
        return self.shift(self.pixels.read(rows), self.level)

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return what changes when the pixels may have: the stamps below, the shift and its level."""
        return [f"{stamp} {self.shift.axis_label} {self.level:g}" for stamp in self.pixels.stamps(rows)]


def stress(
    run: "Predictor",
    patches: PatchSet,
    split: str | None = None,
    *,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    quick: bool = False,
    seed: int = 0,
) -> RobustnessResult:
    """Measure a run under graded shifts of its patches, and write the results.

    The perturbations are those of `sentinode.data.stain.perturbations`: stain, brightness, blur, JPEG, resolution,
    rotation, displacement. Written are ``stress.json``, ``stress.csv`` (one row a shift and level) and ``stress.png``.

    Parameters
    ----------
    run
        From `train` or `load_run`; or an `Ensemble` of runs.
    patches
        Any labelled set.
    split
        The split to measure on; when left out that of `evaluate`.
    out
        The folder to write to; when left out ``RUN/evaluations/stress-SPLIT`` (with ``-quick``), with a part of the
        fingerprint behind it when a stress test of other patches is there. An ensemble has none: name one.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.
    quick
        The extremes of each shift alone, on 500 patches at most, as many tumour as normal ones.
    seed
        By which these are drawn.

    Raises
    ------
    DataError
        No such split, no labels, or only one class.
    ConfigError
        An ensemble without `out`.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import load_run, open_patches
    >>> few = open_patches("pcam-mini", split="test").select(range(0, 400, 20))
    >>> found = stress(load_run("d4net-m"), few, out=tempfile.mkdtemp(), quick=True)
    >>> found.shifts["rotation"].mean.estimate == found.unshifted.auc.estimate
    True
    """
    home = Path(out) if out else run.results_folder
    if home is None:
        raise ConfigError("an ensemble has no folder of its own; name the one to write to with --out DIR (out=…)")
    name, chosen = choose_split(run, patches, split, cache)
    _ = chosen.labels  # A missing label is found before the minutes of prediction.
    if quick:
        chosen = _balanced(chosen, seed)
    chosen = chosen.cached(cache)
    where = f"{patches.path}, split {name}" if name != "all" else patches.path
    warn_of_optimistic_bias(run, chosen, where)
    settings = settings_of(quick)
    about = {"split": name, "fingerprint": chosen.fingerprint, "patches": len(chosen), "quick": quick, "seed": seed}
    skipped = {"skipped": [vars(each) for each in chosen.skipped]} if chosen.skipped else {}
    predictions = predict(run, perturbed(chosen, settings), {**about, **skipped})
    blocks = predictions.table[["logit", "probability", "warning"]]
    place = f"stress-{name}-quick" if quick else f"stress-{name}"
    folder = home if out else folder_of(home, place, chosen.fingerprint, STRESS)
    found = RobustnessResult.from_predictions(
        settings,
        [blocks.iloc[first : first + len(chosen)] for first in range(0, len(blocks), len(chosen))],
        chosen.labels,
        clusters_of(chosen.table),
        run.threshold,
        data=where,
        split=name,
        made_by=predictions.made_by,
        folder=folder,
    )
    write_stress(found, folder)
    return found


def settings_of(quick: bool = False) -> list[Setting]:
    """Return what is measured: patches as they are, then each level of each shift that changes them.

    Examples
    --------
    >>> len(settings_of()), len(settings_of(quick=True))
    (40, 13)
    """
    settings = [Setting(None, 0.0)]
    for name, shift in PERTURBATIONS.items():
        levels = (shift.levels[0], shift.levels[-1]) if quick else shift.levels
        settings += [Setting(name, level) for level in levels if level != shift.neutral]
    return settings


def perturbed(patches: PatchSet, settings: Sequence[Setting]) -> PatchSet:
    """Return the patches once for each setting, block after block, as one set that is shifted when it is read."""
    parts = tuple(
        patches
        if setting.shift is None
        else replace(patches, pixels=PerturbedPixels(patches.pixels, PERTURBATIONS[setting.shift], setting.level))
        for setting in settings
    )
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return replace(
        patches,
        table=table,
        pixels=ConcatPixels([(part.pixels, part.rows) for part in parts]),
        rows=np.arange(len(table)),
    )


def write_stress(found: RobustnessResult, folder: Path) -> None:
    """Write the numbers, the table and the picture of a stress test."""
    with atomic_file(folder / "stress.csv") as beside:
        found.table().to_csv(beside, index=False, lineterminator="\n")
    axes = plot_robustness(
        {
            name: (
                PERTURBATIONS[name].axis_label,
                PERTURBATIONS[name].neutral,
                [
                    (each.level, (each.auc, each.sensitivity, each.specificity))
                    for each in curve.ordered_map(found.unshifted)
                ],
            )
            for name, curve in found.shifts.items()
        },
        title=f"{found.data}, {found.normal + found.tumour:,} patches: AUC {found.unshifted.auc.estimate:.3f}, "
        f"{found.perturbed.estimate:.3f} over all shifts",
    )
    save_figure(axes, folder / "stress.png")
    # Last, since it says that the rest is there.
    write_json(folder / STRESS, found.to_json())


def _balanced(patches: PatchSet, seed: int) -> PatchSet:
    rng, labels = np.random.default_rng(seed), patches.labels
    rows = [np.flatnonzero(labels == label) for label in (0, 1)]
    drawn = [rng.permutation(each)[: QUICK_PATCHES // 2] for each in rows]
    return patches.select(np.sort(np.concatenate(drawn)))
