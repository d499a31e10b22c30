"""Figures drawn from numbers; nothing is computed here.

Functions named ``plot_…`` draw on matplotlib axes and return them; functions named ``draw_…`` return an image. Both are
written to disk by `save_figure`.
"""

from sentinode.plots.attributions import attribution_overlay, draw_attributions, draw_first_layer
from sentinode.plots.classification import (
    plot_confusion_matrix,
    plot_decision_curve,
    plot_evaluation,
    plot_precision_recall,
    plot_reliability,
    plot_risk_coverage,
    plot_roc,
)
from sentinode.plots.comparison import plot_comparison, plot_roc_comparison
from sentinode.plots.explanation import plot_deletion_curves
from sentinode.plots.forest import plot_forest, plot_subgroups
from sentinode.plots.patches import (
    draw_contact_sheet,
    draw_neighbors,
    draw_predictions,
    draw_sheet,
)
from sentinode.plots.robustness import plot_perturbation, plot_robustness
from sentinode.plots.style import save_figure
from sentinode.plots.training import plot_learning_curve, plot_learning_curves, plot_trials

__all__ = [
    "attribution_overlay",
    "draw_attributions",
    "draw_contact_sheet",
    "draw_first_layer",
    "draw_neighbors",
    "draw_predictions",
    "draw_sheet",
    "plot_comparison",
    "plot_confusion_matrix",
    "plot_decision_curve",
    "plot_deletion_curves",
    "plot_evaluation",
    "plot_forest",
    "plot_learning_curve",
    "plot_learning_curves",
    "plot_perturbation",
    "plot_precision_recall",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_robustness",
    "plot_roc",
    "plot_roc_comparison",
    "plot_subgroups",
    "plot_trials",
    "save_figure",
]
