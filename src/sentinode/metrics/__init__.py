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
from sentinode.metrics.bootstrap import BootstrapAucs, RocBand, bootstrap_aucs, roc_band
from sentinode.metrics.calibration import Calibration, fit_calibration
from sentinode.metrics.calibration_quality import BrierScore, RecalibrationLine, brier_score, recalibration_line
from sentinode.metrics.comparison import AucComparison, PairedDifference, auc_covariance, compare_aucs, holm
from sentinode.metrics.conformal import ConformalCoverage, ConformalSets, conformal_coverage, fit_conformal
from sentinode.metrics.confusion import ConfusionMatrix, confusion_matrix
from sentinode.metrics.decision import DecisionCurve, decision_curve
from sentinode.metrics.groups import Subgroup, subgroups
from sentinode.metrics.interval import Interval
from sentinode.metrics.label_errors import LabelErrors, find_label_errors
from sentinode.metrics.operating import OperatingPoint, PredictiveValues, operating_point
from sentinode.metrics.precision_recall import PrecisionRecallCurve, average_precision, precision_recall_curve
from sentinode.metrics.proportions import proportion, wilson
from sentinode.metrics.ranking import RocCurve, roc_curve
from sentinode.metrics.reliability import CalibrationError, ReliabilityPoint, calibration_error, reliability_curve
from sentinode.metrics.roc_auc import auc, partial_auc
from sentinode.metrics.selective import CoverageAtRisk, RiskCoverage, coverage_at_risk, risk_coverage
from sentinode.metrics.thresholds import choose_threshold, parse_rule, youden_threshold

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
