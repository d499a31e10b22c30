"""ROC curve and confusion matrix."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sentinode.plots.style import BLUE, GREEN, GREY, LOOK, ORANGE, PURPLE, Figure, rc_context, save, shortened

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
LINES = ("-", "--", "-.", ":")


def draw_roc(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]],
    path: str | Path,
    points: Sequence[tuple[str, float, float]] = (),
    title: str = "",
) -> None:
    """Draw one or more ROC curves.

    Parameters
    ----------
    curves
        By name: false positive rate, true positive rate (0–1, equal lengths), and the area.
    path
        The png to write.
    points
        Operating points: name, false positive rate, true positive rate.
    title
        What the curve was measured on.
    """
    with rc_context(LOOK):
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (2, 3)), label="chance (AUC 0.500)")
        for number, (name, (fpr, tpr, auc)) in enumerate(curves.items()):
            axes.plot(fpr, tpr, color=COLOURS[number % 4], linestyle=LINES[number % 4], label=f"{name} (AUC {auc:.3f})")
        for marker, (name, fpr_at, tpr_at) in zip("oD^v", points, strict=False):
            axes.plot(fpr_at, tpr_at, marker, color=ORANGE, markersize=8, label=name)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set_xlabel("1 − specificity: normal patches called tumour")
        axes.set_ylabel("sensitivity: tumour patches called tumour")
        axes.set_title("\n".join(shortened(line) for line in title.splitlines()), fontsize=10.5)
        axes.legend(loc="lower right", fontsize=9)
        save(figure, path)


def draw_confusion(matrix: Sequence[Sequence[int]], path: str | Path, title: str = "") -> None:
    """Draw a confusion matrix.

    Parameters
    ----------
    matrix
        Counts: rows are the truth (normal, tumour), columns the call.
    path
        The png to write.
    title
        What it was measured on, and at which threshold.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with rc_context({**LOOK, "axes.grid": False}):
        figure = Figure(figsize=(4.4, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row in range(2):
            for column in range(2):
                dark = shares[row, column] > 0.55
                text = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
                axes.text(
                    column,
                    row,
                    text,
                    ha="center",
                    va="center",
                    color="white" if dark else "#1F2937",
                    fontsize=13,
                )
        axes.set_xticks([0, 1], ["normal", "tumour"])
        axes.set_yticks([0, 1], ["normal", "tumour"], rotation=90, va="center")
        axes.set_xlabel("called")
        axes.set_ylabel("truth")
        axes.set_title("\n".join(shortened(line, 36) for line in title.splitlines()), fontsize=10.5)
        save(figure, path)
