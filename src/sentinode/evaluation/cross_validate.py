"""Cross-validation: train on all folds but one, predict that one, and evaluate the pooled predictions."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sentinode.data.duplicates.hashes import require_matching_hashes
from sentinode.data.patchset import PatchSet, check_patches
from sentinode.data.splitting.split import Split, split_folds
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.evaluate import PREVALENCE, known_groups
from sentinode.evaluation.evaluation import Evaluation
from sentinode.inference.ensemble import mean_threshold
from sentinode.inference.predict import predict
from sentinode.inference.predictions import Predictions
from sentinode.metrics import roc_curve
from sentinode.storage import write_csv
from sentinode.training.config import TrainConfig
from sentinode.training.run import Run
from sentinode.training.train import train
from sentinode.version import __version__

if TYPE_CHECKING:
    import keras

FOLDS = 5
FOLDS_CSV = "folds.csv"
THRESHOLD_RULE = "mean of the thresholds of the folds on the logit scale"

log = logging.getLogger("sentinode")


@dataclass(frozen=True)
class CrossValidation:
    """Result of `cross_validate`.

    Attributes
    ----------
    evaluation : Evaluation
        Evaluation of the pooled out-of-fold predictions, with confidence intervals.
    folds : DataFrame
        One row per fold: ``fold``, ``normal``, ``tumour``, ``auc``, ``threshold``, ``best_epoch``.
    runs : list of Run
        The run of each fold.
    split : Split
        The folds, and what was kept together in them.
    """

    evaluation: Evaluation
    folds: pd.DataFrame
    runs: list[Run]
    split: Split

    def __repr__(self) -> str:
        return f"<CrossValidation with {len(self.runs)} folds of {self.evaluation}>"


def cross_validate(
    build: "Callable[[], keras.Model]",
    patches: PatchSet,
    config: TrainConfig | None = None,
    *,
    out: str | Path,
    folds: int = FOLDS,
    cache: str | Path | None = None,
) -> CrossValidation:
    """Cross-validate a network on labeled patches and write the results.

    The patches are split into folds by patient, slide and duplicates; see `split_folds`. For each fold, a new network
    is trained on the other folds, of which a tenth selects the epoch, the calibration and the threshold, and predicts
    the fold. No patch takes part in the training that predicts it. After an interruption, the same call continues.

    Parameters
    ----------
    build : callable
        Returns a new network, such as ``lambda: build_model("cnn")``.
    patches : PatchSet
        Patches; splits are ignored, patches without a label are left out.
    config : TrainConfig, optional
        Settings of each training run; ``config.seed`` also draws the folds.
    out : str or Path
        Folder for the run directories ``fold-1``, ``fold-2``, …, the pooled evaluation, and ``folds.csv``.
    folds : int, default=5
        Number of folds, at least 2.
    cache : str or Path, optional
        Cache folder; see `PatchSet.cached`.

    Returns
    -------
    CrossValidation

    Raises
    ------
    ConfigError
        Fewer than two folds, or a training or validation split is named.
    DataError
        There are too few groups for the folds, or no labels.
    RunError
        `out` contains the runs of other data, folds or settings.
    TrainingStopped
        Ctrl-C or SIGTERM was received. The state is saved.
    """
    settings, folder = config or TrainConfig(), Path(out)
    if (settings.train_split, settings.valid_split) != ("train", "valid"):
        raise ConfigError(
            "cross-validation makes its own splits; leave out train_split and valid_split "
            "(--train-split, --valid-split)"
        )
    check_patches(patches)
    labeled = np.flatnonzero(patches.table["label"].notna())
    if not len(labeled):
        raise DataError(f"{patches.path}: no patch has a label; cross-validation needs labeled patches")
    chosen = require_matching_hashes(patches.select(labeled).cached(cache))
    split = split_folds(chosen, folds, settings.seed)
    fold_of = split.patches.table["split"].astype(int).to_numpy()
    runs, tables = [], []
    for fold in range(1, folds + 1):
        log.info("fold %d of %d", fold, folds)
        others = chosen.select(np.flatnonzero(fold_of != fold))
        training = replace(others, table=others.table.assign(split="train").astype({"split": "str"}))
        runs.append(train(build(), training, settings, out=folder / f"fold-{fold}", cache=cache))
        tables.append(predict(runs[-1], chosen.select(np.flatnonzero(fold_of == fold))).table)
    pooled = pd.concat(tables, ignore_index=True).iloc[np.argsort(np.argsort(fold_of, kind="stable"))]
    made_by: dict[str, Any] = {
        "sentinode": __version__,
        "model": str(folder),
        "data": chosen.path,
        "fingerprint": chosen.fingerprint,
    }
    made_by |= {"folds": folds, "grouped_by": list(split.grouped_by), "threshold_rule": THRESHOLD_RULE}
    made_by |= chosen.skipped_json()
    predictions = Predictions(pooled.reset_index(drop=True), made_by)
    evaluation = Evaluation.from_predictions(
        predictions,
        f"{chosen.path}, {folds} folds",
        "cross-validation",
        {"0.5": 0.5, "validation": mean_threshold([run.threshold for run in runs])},
        prevalences=(PREVALENCE,),
        groups=known_groups(chosen),
    )
    evaluation.save(folder)
    summary = pd.DataFrame([_fold_summary(*each) for each in enumerate(zip(runs, tables, strict=True), 1)])
    write_csv(summary, folder / FOLDS_CSV)
    return CrossValidation(evaluation, summary, runs, split)


def _fold_summary(fold: int, found: tuple[Run, pd.DataFrame]) -> dict[str, float]:
    run, table = found
    labels = table["label"].to_numpy(dtype=np.int64)
    return {
        "fold": fold,
        "normal": int((labels == 0).sum()),
        "tumour": int((labels == 1).sum()),
        "auc": roc_curve(labels, table["logit"].to_numpy()).auc,
        "threshold": run.threshold,
        "best_epoch": run.summary["best_epoch"],
    }
