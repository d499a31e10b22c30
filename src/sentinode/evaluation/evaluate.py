"""From a run and labelled patches to an evaluation, in memory and as files."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.evaluation import Evaluation
from sentinode.plots.roc import draw_confusion, draw_roc
from sentinode.prediction.predict import predict
from sentinode.prediction.predictions import Predictions
from sentinode.storage import read_json, whole_file, write_json

if TYPE_CHECKING:
    from sentinode.training.ensemble import Ensemble
    from sentinode.training.run import Run

METRICS = "metrics.json"

log = logging.getLogger("sentinode")


def evaluate(
    run: "Run | Ensemble",
    patches: PatchSet,
    split: str | None = None,
    *,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    tta: str = "none",
    precision: str = "float32",
) -> Evaluation:
    """Evaluate a run's model on labelled patches, and write the results.

    Written are ``metrics.json``, ``roc.png``, ``roc.csv``, ``confusion.png`` and ``predictions.csv``.

    Parameters
    ----------
    run
        From `train` or `load_run`; or an `Ensemble` of runs.
    patches
        Any labelled set.
    split
        The split to measure on; when left out ``test`` if it has labels, else ``valid``, which may be the one that
        the training held out from these patches.
    out
        The folder to write to; when left out ``RUN/evaluations/SPLIT`` (``SPLIT-tta-d4``, ``SPLIT-bfloat16``; of a run
        that ships: in the working folder), with a part of the fingerprint behind it when an evaluation of other
        patches is there. An ensemble has no folder of its own: name one.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.
    tta
        Test-time augmentation, see `predict`; the threshold stays the one chosen without it.
    precision
        Of the arithmetic, see `predict`; the threshold stays the one chosen in float32.

    Raises
    ------
    DataError
        No such split, no labels, or only one class.
    ConfigError
        An ensemble without `out`.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import TrainConfig, build_model, open_patches, train
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> run = train(build_model("cnn"), few, TrainConfig(epochs=1), out=tempfile.mkdtemp())
    >>> evaluate(run, few).split
    'test'
    """
    home = Path(out) if out else run.home
    if home is None:
        raise ConfigError("an ensemble has no folder of its own; name the one to write to with --out DIR (out=…)")
    name, chosen = choose_split(run, patches, split, cache)
    _ = chosen.labels  # A missing label is found before the minutes of prediction.
    chosen = chosen.cached(cache)
    where = f"{patches.path}, split {name}" if name != "all" else patches.path
    trained_on = int(run.trained_on(chosen.table["sha1"]).sum())
    if trained_on:
        log.warning("%s: %s of these patches were trained on; figures on them flatter", where, f"{trained_on:,}")
    if run.chosen_on(chosen.fingerprint):
        log.warning("%s: threshold and best epoch were chosen on these very patches; figures flatter a little", where)
    predictions = predict(run, chosen, {"split": name, "fingerprint": chosen.fingerprint}, tta=tta, precision=precision)
    place = name if tta == "none" else f"{name}-tta-{tta}"
    place += "" if precision == "float32" else f"-{precision}"
    folder = home if out else _folder(home, place, chosen.fingerprint)
    evaluation = Evaluation.from_predictions(predictions, where, name, run.threshold, folder)
    write_evaluation(evaluation, predictions, folder)
    return evaluation


def _folder(run: Path, name: str, fingerprint: str) -> Path:
    """Return where an evaluation goes: a name of its own when other patches have taken this one."""
    folder = run / "evaluations" / name
    if not (folder / METRICS).is_file():
        return folder
    try:
        there = read_json(folder / METRICS)["made_by"]["fingerprint"]
    except (DataError, KeyError, TypeError):
        there = None  # Damaged: nobody can say whose it is, so it stays.
    return folder if there == fingerprint else folder.with_name(f"{name}-{fingerprint[:8]}")


def choose_split(
    run: "Run | Ensemble", patches: PatchSet, split: str | None, cache: str | Path | None = None
) -> tuple[str, PatchSet]:
    """Return the patches to evaluate on and the name of their split.

    The order without a wish is: ``test`` when it has labels; ``valid``; the part that the training held out; all
    patches of a source that has no splits.

    Raises
    ------
    DataError
        None of these is there.
    """
    names = patches.split_names
    if split in names:
        return str(split), patches.split(str(split))
    if split is None:
        for name in ("test", "valid"):
            if name in names and patches.split(name).table["label"].notna().all():
                return name, patches.split(name)
    if split in (None, "valid"):
        held_out = run.held_out()
        if held_out:
            source = (patches.split("train") if "train" in names else patches).cached(cache)
            rows = np.flatnonzero(source.table["sha1"].isin(held_out))
            if set(source.table["sha1"].iloc[rows]) == held_out:
                return "valid", source.select(rows)
    if split is None and not names:
        return "all", patches
    if split is None:
        raise DataError(
            f"{patches.path}: neither test nor valid has labels here; "
            f"name a split with --split (there are: {', '.join(names)})"
        )
    return split, patches.split(split)


def write_evaluation(evaluation: Evaluation, predictions: Predictions, folder: Path) -> None:
    """Write the numbers, the curve, the pictures and the predictions of an evaluation."""
    roc = evaluation.roc
    predictions.write(folder / "predictions.csv")
    with whole_file(folder / "roc.csv") as beside:
        pd.DataFrame(
            {
                "false_positive_rate": roc.false_positive_rate,
                "true_positive_rate": roc.true_positive_rate,
                "logit_at_least": roc.thresholds,
            }
        ).to_csv(beside, index=False, lineterminator="\n")
    points = [
        (
            "threshold 0.5" if name == "0.5" else f"threshold {point.threshold:.3f}, from {name}",
            1 - (point.specificity or 0),
            point.sensitivity or 0,
        )
        for name, point in evaluation.points.items()
    ]
    n = evaluation.normal + evaluation.tumour
    curves = {"model": (roc.false_positive_rate, roc.true_positive_rate, roc.auc)}
    draw_roc(curves, folder / "roc.png", points, title=f"{evaluation.data}, {n:,} patches")
    chosen = evaluation.points["validation"]
    matrix = [
        [chosen.true_negatives, chosen.false_positives],
        [chosen.false_negatives, chosen.true_positives],
    ]
    draw_confusion(matrix, folder / "confusion.png", title=f"{evaluation.data}\nthreshold {chosen.threshold:.3f}")
    # Last, since it says that the rest is there.
    write_json(folder / METRICS, evaluation.to_json())
