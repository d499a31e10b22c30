"""Evaluate a model on labeled patches."""

import logging
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.data.quality.channel_order import warn_of_exchanged_channels
from sentinode.errors import ConfigError
from sentinode.evaluation.evaluation import Evaluation
from sentinode.evaluation.operating_points import PointChooser
from sentinode.evaluation.selection import select_patches
from sentinode.evaluation.stain_groups import stain_groups
from sentinode.inference.predict import as_predictor, predict
from sentinode.metrics import parse_rule
from sentinode.metrics.checks import check_share

if TYPE_CHECKING:
    import keras

    from sentinode.inference.predictor import Predictor

# Whole slides have a few tumour patches in a hundred; half of PatchCamelyon's patches are tumour.
PREVALENCE = 0.05
GROUP_COUNTS = range(2, 31)
STAIN = "stain"

log = logging.getLogger("sentinode")


def evaluate(
    run: "Predictor | keras.Model",
    patches: PatchSet,
    split: str | None = None,
    *,
    points: Sequence[str | float] = (),
    point_split: str | None = None,
    prevalences: Sequence[float] = (PREVALENCE,),
    by: Sequence[str] = (),
    out: str | Path | None = None,
    cache: str | Path | None = None,
    tta: str = "none",
    precision: str = "float32",
) -> Evaluation:
    """Evaluate a model on labeled patches.

    Parameters
    ----------
    run : Predictor
        The model: a `Run` from `train` or `load_run`, an `Ensemble`, or another `Predictor`.
    patches : PatchSet
        The labeled patches.
    split : str, optional
        The split to evaluate on. By default ``test`` if it is labeled, otherwise ``valid``, which may be the part that
        the training held out from these patches; see `select_patches`.
    points : sequence of str or float, default ()
        Operating points in addition to 0.5 and the threshold of the run: ``"youden"``, ``"sensitivity>=0.95"``,
        ``"specificity>=0.95"``, ``"cost=fn:fp"``, chosen on validation patches, or a number.
    point_split : str, optional
        The split of `patches` on which these rules are applied. By default the validation patches of the run, or the
        split ``valid`` for a model without them, such as a pretrained one.
    prevalences : sequence of float, default (0.05,)
        Shares of tumour at which to compute PPV and NPV.
    by : sequence of str, optional
        Columns whose groups are evaluated separately. By default those of ``patient``, ``slide`` and ``centre`` that
        are known and have 2 to 30 values. ``"stain"``, unless a column has this name, groups patches by the color of
        their stain; see `stain_groups`.
    out : str or Path, optional
        A folder to save the results to; see `Evaluation.save`. By default nothing is written.
    cache : str or Path, optional
        The folder for decoded patches; see `PatchSet.cached`.
    tta : {"none", "d4"}, default "none"
        Test-time augmentation; see `predict`. The threshold remains that of the run.
    precision : {"float32", "bfloat16"}, default "float32"
        The precision of the arithmetic; see `predict`. The threshold remains that of the run.

    Returns
    -------
    Evaluation
        The metrics and predictions.

    Raises
    ------
    ConfigError
        An operating point, a prevalence or a column is invalid.
    DataError
        The split does not exist, a patch has no label, a file was altered, or only one class is present.

    Examples
    --------
    >>> from sentinode import evaluate, load_run, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(0, 400, 10))
    >>> evaluation = evaluate(load_run("d4net-m"), patches)
    >>> evaluation.split, evaluation.normal, evaluation.tumour
    ('test', 20, 20)
    """
    run = as_predictor(run)
    points, by, prevalences = _several(points), _several(by), _several(prevalences)
    # Invalid options are found before the minutes of prediction.
    for prevalence in prevalences:
        check_share(prevalence, "prevalence")
    for rule in points:
        parse_rule(rule)
    selected = select_patches([run], patches, split, cache=cache)
    warn_of_exchanged_channels(selected.patches)
    chosen, chosen_on = PointChooser(patches, selected, point_split, cache).choose(run, points)
    thresholds = {**chosen, "0.5": 0.5, "validation": run.threshold}
    thresholds = {name: thresholds[name] for name in ("0.5", "validation", *chosen)}
    groups = {column: _groups(selected.patches, column) for column in by} if by else known_groups(selected.patches)
    evaluation = Evaluation.from_predictions(
        predict(run, selected.patches, {**selected.made_by, **chosen_on}, tta=tta, precision=precision),
        selected.data,
        selected.split,
        thresholds,
        prevalences=prevalences,
        groups=groups,
        conformal=run.conformal,
        warnings=selected.overlaps[0].warnings,
    )
    for warning in evaluation.warnings[len(selected.overlaps[0].warnings) :]:
        log.warning("%s: %s", evaluation.data, warning)
    if out is not None:
        evaluation.save(out)
    return evaluation


def _several(values: Any) -> tuple[Any, ...]:
    """Return values as a tuple; a string or a number is one value."""
    return (values,) if isinstance(values, str | numbers.Real) else tuple(values)


def known_groups(patches: PatchSet) -> "dict[str, pd.Series[str]]":
    """Return the columns whose groups are evaluated separately by default."""
    columns = [patches.table[name] for name in ("centre", "patient", "slide")]
    return {str(each.name): each for each in columns if each.notna().all() and each.nunique() in GROUP_COUNTS}


def _groups(patches: PatchSet, column: str) -> "pd.Series[str]":
    """Return the group of each patch; patches without a value are a group of their own."""
    table = patches.table
    if column == STAIN and column not in table:
        return stain_groups(patches)
    if column not in table or table[column].isna().all():
        known = [str(name) for name in table if name not in ("id", "sha1") and table[name].notna().any()]
        raise ConfigError(
            f"{patches.path}: the patches have no column {column!r}; use one of {', '.join(known)}, or {STAIN}, which "
            "is computed from the pixels"
        )
    return table[column].astype("str").where(table[column].notna(), "not known")
