"""Compare several models on the same labeled patches."""

import logging
from collections.abc import Sequence
from pathlib import Path

from sentinode.data.patchset import PatchSet
from sentinode.evaluation.candidates import Candidate, open_candidates
from sentinode.evaluation.comparison import Comparison
from sentinode.evaluation.evaluate import known_groups
from sentinode.evaluation.evaluation import Evaluation
from sentinode.evaluation.operating_points import PointChooser
from sentinode.evaluation.selection import select_patches
from sentinode.training.run import Run
from sentinode.version import __version__

log = logging.getLogger("sentinode")


def compare(
    models: Sequence[str | Path | Run | Candidate],
    patches: PatchSet,
    split: str | None = None,
    *,
    out: str | Path | None = None,
    point: str | float | None = None,
    point_split: str | None = None,
    cache: str | Path | None = None,
) -> Comparison:
    """Compare several models on the same labeled patches.

    Parameters
    ----------
    models : sequence of str, Path or Run
        At least two models; see `sentinode.evaluation.candidates.open_candidate`: runs, csv files of predictions from
        any software, and several seeds of one recipe as one model, ``"cnn=runs/1,runs/2"``.
    patches : PatchSet
        The labeled patches.
    split : str, optional
        The split to compare on; see `evaluate`. If it is the part that training held out, all runs must have held out
        the same patches.
    out : str or Path, optional
        A folder to save the results to; see `Comparison.save`. By default nothing is written.
    point : str or float, optional
        The operating point of all models: ``"youden"``, ``"sensitivity>=0.95"``, ``"specificity>=0.95"``,
        ``"cost=fn:fp"``, chosen for each model on validation patches, or a number. By default each run has its own
        threshold, a csv file that of the JSON file next to it, or 0.5.
    point_split : str, optional
        The split of `patches` on which this rule is applied; see `evaluate`.
    cache : str or Path, optional
        The folder for decoded patches; see `PatchSet.cached`.

    Returns
    -------
    Comparison
        The metrics and tests.

    Raises
    ------
    ConfigError
        There are fewer than two models, two have the same name, or the operating point is invalid.
    DataError
        The split does not exist, a patch has no label, a file was altered, only one class is present, or predictions do
        not match the patches.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import compare, load_run, open_patches, predict
    >>> patches = open_patches("pcam-mini", split="test").select(range(0, 400, 20))
    >>> file = f"{tempfile.mkdtemp()}/other.csv"
    >>> predict(load_run("d4net-m"), patches).write(file)
    >>> comparison = compare(["d4net-m", file], patches)
    >>> [model.name for model in comparison.models], comparison.pairs[0].auc.difference.estimate
    (['d4net-m', 'other'], 0.0)
    """
    candidates = open_candidates(models)
    selected = select_patches(candidates, patches, split, cache=cache)
    for candidate in candidates:
        candidate.check()
    # Files are matched first, because that is fast and may fail.
    order = sorted(range(len(candidates)), key=lambda index: len(candidates[index].runs))
    chooser = PointChooser(patches, selected, point_split, cache)
    predicted = {index: candidates[index].predict(selected.patches, chooser, point) for index in order}

    groups = known_groups(selected.patches)

    def evaluations(index: int) -> tuple[Evaluation, ...]:
        return tuple(
            Evaluation.from_predictions(
                predictions,
                selected.data,
                selected.split,
                {"validation": threshold},
                groups=groups,
                warnings=selected.overlaps[index].warnings,
            )
            for predictions, threshold in predicted[index][0]
        )

    comparison = Comparison.from_evaluations(
        {candidate.name: evaluations(index) for index, candidate in enumerate(candidates)},
        selected.patches.table,
        selected.overlaps,
        [predicted[index][1] for index in range(len(candidates))],
        {
            "sentinode": __version__,
            **selected.made_by,
            "arguments": patches.to_arguments(),
            "point": None if point is None else str(point),
        },
    )
    for model in comparison.models:
        for warning in {text: None for each in model.evaluations for text in each.warnings}:
            if warning not in model.overlap.warnings:
                log.warning("%s: %s: %s", comparison.data, model.name, warning)
    if out is not None:
        comparison.save(out)
    return comparison
