"""Metrics of binary classifiers with confidence intervals: arrays in, numbers out.

Labels are 0 (normal) or 1 (tumour). Every function takes ``clusters``, the slide or patient of each patch, wherever
patches of one slide would make an interval or a test too optimistic.

Examples
--------
>>> from sentinode.metrics import auc
>>> print(auc([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.8, 0.9]))
0.8889 (0.1181–0.9979)
"""

from sentinode.metrics.agreement import McNemar, kappa, mcnemar
from sentinode.metrics.calibration.quality import BrierScore, RecalibrationLine, brier_score, recalibration_line
from sentinode.metrics.calibration.reliability import (
    CalibrationError,
    ReliabilityPoint,
    calibration_error,
    reliability_curve,
)
from sentinode.metrics.calibration.temperature import Calibration, fit_calibration
from sentinode.metrics.decisions.conformal import ConformalCoverage, ConformalSets, conformal_coverage, fit_conformal
from sentinode.metrics.decisions.confusion import ConfusionMatrix, confusion_matrix
from sentinode.metrics.decisions.decision_curve import DecisionCurve, decision_curve
from sentinode.metrics.decisions.operating_point import OperatingPoint, PredictiveValues, operating_point
from sentinode.metrics.decisions.selective import CoverageAtRisk, RiskCoverage, coverage_at_risk, risk_coverage
from sentinode.metrics.decisions.thresholds import choose_threshold, parse_rule, youden_threshold
from sentinode.metrics.groups import Subgroup, subgroups
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.proportions import proportion, wilson
from sentinode.metrics.label_errors import LabelErrors, find_label_errors
from sentinode.metrics.ranking.bootstrap import BootstrapAucs, RocBand, bootstrap_aucs, roc_band
from sentinode.metrics.ranking.comparison import AucComparison, PairedDifference, auc_covariance, compare_aucs, holm
from sentinode.metrics.ranking.precision_recall import PrecisionRecallCurve, average_precision, precision_recall_curve
from sentinode.metrics.ranking.roc_auc import auc, partial_auc
from sentinode.metrics.ranking.roc_curve import RocCurve, roc_curve

__all__ = [
    "AucComparison",
    "BootstrapAucs",
    "BrierScore",
    "Calibration",
    "CalibrationError",
    "ConformalCoverage",
    "ConformalSets",
    "ConfusionMatrix",
    "CoverageAtRisk",
    "DecisionCurve",
    "Interval",
    "LabelErrors",
    "McNemar",
    "OperatingPoint",
    "PairedDifference",
    "PrecisionRecallCurve",
    "PredictiveValues",
    "RecalibrationLine",
    "ReliabilityPoint",
    "RiskCoverage",
    "RocBand",
    "RocCurve",
    "Subgroup",
    "auc",
    "auc_covariance",
    "average_precision",
    "bootstrap_aucs",
    "brier_score",
    "calibration_error",
    "choose_threshold",
    "compare_aucs",
    "conformal_coverage",
    "confusion_matrix",
    "coverage_at_risk",
    "decision_curve",
    "find_label_errors",
    "fit_calibration",
    "fit_conformal",
    "holm",
    "kappa",
    "mcnemar",
    "operating_point",
    "parse_rule",
    "partial_auc",
    "precision_recall_curve",
    "proportion",
    "recalibration_line",
    "reliability_curve",
    "risk_coverage",
    "roc_band",
    "roc_curve",
    "subgroups",
    "wilson",
    "youden_threshold",
]
