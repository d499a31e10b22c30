"""Detect breast-cancer metastases in 96 × 96 px lymph-node patches.

Train a network on the sample data and evaluate it::

    from sentinode import TrainConfig, build_model, evaluate, open_patches, train

    patches = open_patches("pcam-mini")
    run = train(build_model("cnn"), patches, TrainConfig(), out="runs/first")
    print(evaluate(run, patches))

The names in ``__all__`` are public, and those on the pages of the API reference (metrics, plots, slides, service,
viewer). Each is imported when it is first used, so that code without a network starts without Keras.
"""

from typing import TYPE_CHECKING

from sentinode.lazy import import_when_used
from sentinode.machine import enable_onednn as _enable_onednn
from sentinode.version import __version__ as __version__

if TYPE_CHECKING:
    from sentinode.auditing.audit import Audit as Audit
    from sentinode.auditing.audit import audit as audit
    from sentinode.data.open import open_patches as open_patches
    from sentinode.data.patchset import PatchSet as PatchSet
    from sentinode.data.quality.inspection import inspect_patches as inspect_patches
    from sentinode.data.splitting.split import split_patches as split_patches
    from sentinode.data.tables import write_patch_table as write_patch_table
    from sentinode.errors import SentinodeError as SentinodeError
    from sentinode.evaluation.compare import compare as compare
    from sentinode.evaluation.comparison import Comparison as Comparison
    from sentinode.evaluation.cross_validate import CrossValidation as CrossValidation
    from sentinode.evaluation.cross_validate import cross_validate as cross_validate
    from sentinode.evaluation.evaluate import evaluate as evaluate
    from sentinode.evaluation.evaluation import Evaluation as Evaluation
    from sentinode.evaluation.robustness import RobustnessResult as RobustnessResult
    from sentinode.evaluation.stress import stress as stress
    from sentinode.explanation.attributions import attributions as attributions
    from sentinode.explanation.explain import explain as explain
    from sentinode.export.export import Export as Export
    from sentinode.export.export import export_run as export_run
    from sentinode.inference.ensemble import Ensemble as Ensemble
    from sentinode.inference.features import embed as embed
    from sentinode.inference.features import write_features as write_features
    from sentinode.inference.predict import predict as predict
    from sentinode.inference.predictions import Predictions as Predictions
    from sentinode.inference.predictor import Predictor as Predictor
    from sentinode.inference.predictor import Session as Session
    from sentinode.models.build import build_model as build_model
    from sentinode.models.plain import plain_network as plain_network
    from sentinode.report.audit_page import write_audit as write_audit
    from sentinode.report.report import write_report as write_report
    from sentinode.training.config import TrainConfig as TrainConfig
    from sentinode.training.distributed import data_parallel as data_parallel
    from sentinode.training.linear_probe import fit_linear_probe as fit_linear_probe
    from sentinode.training.load import load_model as load_model
    from sentinode.training.load import load_run as load_run
    from sentinode.training.run import Run as Run
    from sentinode.training.train import train as train

_MODULES = {
    "Audit": "sentinode.auditing.audit",
    "Comparison": "sentinode.evaluation.comparison",
    "CrossValidation": "sentinode.evaluation.cross_validate",
    "Ensemble": "sentinode.inference.ensemble",
    "Evaluation": "sentinode.evaluation.evaluation",
    "Export": "sentinode.export.export",
    "PatchSet": "sentinode.data.patchset",
    "Predictions": "sentinode.inference.predictions",
    "Predictor": "sentinode.inference.predictor",
    "RobustnessResult": "sentinode.evaluation.robustness",
    "Run": "sentinode.training.run",
    "SentinodeError": "sentinode.errors",
    "Session": "sentinode.inference.predictor",
    "TrainConfig": "sentinode.training.config",
    "attributions": "sentinode.explanation.attributions",
    "audit": "sentinode.auditing.audit",
    "build_model": "sentinode.models.build",
    "compare": "sentinode.evaluation.compare",
    "cross_validate": "sentinode.evaluation.cross_validate",
    "data_parallel": "sentinode.training.distributed",
    "embed": "sentinode.inference.features",
    "evaluate": "sentinode.evaluation.evaluate",
    "explain": "sentinode.explanation.explain",
    "export_run": "sentinode.export.export",
    "fit_linear_probe": "sentinode.training.linear_probe",
    "inspect_patches": "sentinode.data.quality.inspection",
    "load_model": "sentinode.training.load",
    "load_run": "sentinode.training.load",
    "open_patches": "sentinode.data.open",
    "plain_network": "sentinode.models.plain",
    "predict": "sentinode.inference.predict",
    "split_patches": "sentinode.data.splitting.split",
    "stress": "sentinode.evaluation.stress",
    "train": "sentinode.training.train",
    "write_audit": "sentinode.report.audit_page",
    "write_features": "sentinode.inference.features",
    "write_patch_table": "sentinode.data.tables",
    "write_report": "sentinode.report.report",
}

__all__ = sorted(_MODULES)

_enable_onednn()  # Before TensorFlow is imported, which reads the setting once.


__getattr__ = import_when_used(__name__, _MODULES)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
