"""The results that a training run ends with: calibration, threshold, prediction sets, files for other tools."""

import logging
import time
from pathlib import Path

import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.inference.ood import OODDetector
from sentinode.inference.predict import predict_logits
from sentinode.inference.predictions import Predictions
from sentinode.metrics import fit_calibration, fit_conformal, roc_curve, youden_threshold
from sentinode.models.backend import without_tensorflow
from sentinode.plots import plot_learning_curves, save_figure
from sentinode.serialize import to_json
from sentinode.storage import atomic_file, write_json
from sentinode.training.logging.history import Row
from sentinode.training.run import CHECKPOINT, CURVES, OOD, SUMMARY, VALIDATION, Run
from sentinode.training.state.best_weights import best_epoch

log = logging.getLogger("sentinode")


def write_results(folder: Path, training: PatchSet, validation: PatchSet, history: list[Row], duration_s: float) -> Run:
    """Write everything that follows from the best weights.

    ``summary.json`` is written last: a run with this file is finished.

    Parameters
    ----------
    folder : Path
        The run directory, with the best weights.
    training, validation : PatchSet
    history : list of dict
        One row per epoch.
    duration_s : float
        Duration of the training.

    Returns
    -------
    Run
    """
    run = Run(folder)
    model = run.model
    with atomic_file(folder / "model.keras") as temporary, without_tensorflow():
        model.save(temporary)
    detector = OODDetector.fit(training, validation)
    if detector is None:
        log.warning(
            "%s: fewer than two of the training patches have tissue, so the run will not detect out-of-distribution "
            "patches; check the data with sentinode data info",
            training.path,
        )
    write_json(folder / OOD, detector)
    if len(history) > 1:
        save_figure(plot_learning_curves(pd.DataFrame(history), best_epoch(history)), folder / CURVES)
    logits = predict_logits(model, validation)
    calibration = fit_calibration(validation.labels, logits)
    made_by = {
        "data": validation.path,
        "patches": len(validation),
        "fingerprint": validation.fingerprint,
        "model": str(folder),
        "calibration": to_json(calibration),
    }
    predictions = Predictions.from_logits(validation.table, calibration(logits), made_by)
    predictions.write(folder / VALIDATION)
    probabilities = predictions.table["probability"]
    summary = {
        "best_epoch": best_epoch(history),
        "epochs": len(history),
        "duration_s": round(duration_s, 2),
        "calibration": calibration,
        "valid_auc": roc_curve(predictions.labels, probabilities).auc,
        "threshold": youden_threshold(predictions.labels, probabilities),
        "conformal": fit_conformal(predictions.labels, probabilities),
        "threshold_rule": "maximum of sensitivity + specificity on the validation patches (Youden)",
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(folder / SUMMARY, summary)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return run
