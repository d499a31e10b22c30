"""From several models and labelled patches to a comparison, in memory and as files."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError
from sentinode.evaluation.comparison import Comparison, Seen
from sentinode.evaluation.evaluate import choose_split
from sentinode.evaluation.evaluation import clusters_of
from sentinode.evaluation.scores import Entry, open_entries, score
from sentinode.plots.comparison import plot_comparison
from sentinode.plots.style import save_figure
from sentinode.storage import atomic_file, write_json
from sentinode.training.run import Run
from sentinode.version import __version__

COMPARISON = "compare.json"

log = logging.getLogger("sentinode")


def compare(
    models: "Sequence[str | Path | Run]",
    patches: PatchSet,
    split: str | None = None,
    *,
    out: str | Path,
    point: str | float | None = None,
    cache: str | Path | None = None,
) -> Comparison:
    """Compare several models on the same labelled patches, and write the results.

    Written are ``compare.json`` (all numbers), ``compare.csv`` (one row a model) and ``compare.png``.

    Parameters
    ----------
    models
        At least two of what `sentinode.evaluation.scores.open_entry` takes: runs, csvs of predictions from any
        software, and several seeds of one recipe as one, ``"cnn=runs/1,runs/2"``.
    patches
        Any labelled set.
    split
        The split to compare on; when left out that of `evaluate`, where the held-out part must be that of all runs.
    out
        The folder to write to.
    point
        The operating point of all: ``"youden"``, ``"sensitivity>=0.95"``, ``"specificity>=0.95"``, ``"cost=fn:fp"``,
        chosen for each run on its own validation patches; or a number. When left out each has its own threshold, a csv
        that of the json beside it, else 0.5.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.

    Raises
    ------
    ConfigError
        Fewer than two models, or two of one name; no such operating point; see `open_entry`.
    DataError
        No such split, no labels, only one class, or predictions that do not fit the patches.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> found = compare(["first=d4net-m", "second=d4net-m"], few, out=tempfile.mkdtemp())
    >>> [model.name for model in found.models], len(found.pairs)
    (['first', 'second'], 1)
    """
    if len(models) < 2:
        raise ConfigError(f"a comparison needs at least two models, each after a --model; got {len(models)}")
    entries = open_entries(models)
    # What is asked of the run there is only what was held out.
    held_out = cast(Any, _HeldOut([run for entry in entries for run in entry.runs]))
    name, chosen = choose_split(held_out, patches, split, cache)
    _ = chosen.labels  # A missing label is found before the minutes of prediction.
    chosen = chosen.cached(cache)
    where = f"{patches.path}, split {name}" if name != "all" else patches.path
    seen = [_seen(entry, chosen, where) for entry in entries]
    scores = score(entries, chosen, point)
    about = {"split": name, "fingerprint": chosen.fingerprint, "point": "its own" if point is None else str(point)}
    skipped = {"skipped": [vars(each) for each in chosen.skipped]} if chosen.skipped else {}
    made_by = {"sentinode": __version__, **about, **skipped}
    folder = Path(out)
    found = Comparison.from_scores(scores, where, name, clusters_of(chosen.table), seen, made_by, folder)
    write_comparison(found, folder)
    return found


def write_comparison(found: Comparison, folder: Path) -> None:
    """Write the numbers, the table and the picture of a comparison."""
    with atomic_file(folder / "compare.csv") as beside:
        found.table().to_csv(beside, index=False, lineterminator="\n")
    axes = plot_comparison(
        {model.name: model.curves for model in found.models},
        {model.name: model.auc for model in found.models},
        {model.name: (1 - model.specificity.estimate, model.sensitivity.estimate) for model in found.models},
        {(pair.auc.first, pair.auc.second): (pair.auc.difference, pair.auc.p_holm) for pair in found.pairs},
        title=f"{found.data}, {found.normal + found.tumour:,} patches",
    )
    save_figure(axes, folder / "compare.png")
    # Last, since it says that the rest is there.
    write_json(folder / COMPARISON, found.to_json())


@dataclass(frozen=True)
class _HeldOut:
    """What all runs together held out."""

    runs: Sequence[Run]

    def held_out(self) -> set[str]:
        """Return the SHA-1s of the patches that all trainings held out, if all held out the same."""
        parts = [run.held_out() for run in self.runs]
        return parts[0] if parts and all(part == parts[0] for part in parts) else set()


def _seen(entry: Entry, patches: PatchSet, where: str) -> Seen:
    """Return what any run of an entry has seen of the patches; warn of what flatters it."""
    if not entry.runs:
        return Seen(None, "")
    seen = np.any([run.trained_on(patches.table["sha1"]) for run in entry.runs], axis=0)
    count = int(seen.sum())
    if count:
        log.warning(
            "%s: %s was trained on %s of these patches; figures on them flatter", where, entry.name, f"{count:,}"
        )
    chosen = max(
        (run.validation_choices for run in entry.runs if run.validated_on(patches.table["sha1"]).any()),
        key=len,
        default="",
    )
    if chosen:
        log.warning("%s: %s of %s chosen on patches among these", where, chosen, entry.name)
    return Seen(count, chosen)
