"""Learning curves."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sentinode.plots.style import BLUE, GREY, LOOK, ORANGE, Figure, rc_context, save


def draw_learning_curves(history: pd.DataFrame, best_epoch: int, path: str | Path) -> None:
    """Draw loss, accuracy and AUC by epoch, training against validation, with the best epoch marked.

    Parameters
    ----------
    history
        One row an epoch: ``epoch``, ``loss``, ``val_loss`` and, where measured, ``accuracy``, ``val_accuracy``,
        ``auc``, ``val_auc``.
    best_epoch
        The epoch with the lowest validation loss.
    path
        The png to write.
    """
    shown = [name for name in ("loss", "accuracy", "auc") if f"val_{name}" in history]
    with rc_context(LOOK):
        figure = Figure(figsize=(4.6 * len(shown), 3.8), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            _draw(axes, history, name, best_epoch)
        save(figure, path)


def _draw(axes: Axes, history: pd.DataFrame, name: str, best_epoch: int) -> None:
    epochs = history["epoch"]
    if name in history:
        axes.plot(epochs, history[name], color=BLUE, marker="o", label="training")
    axes.plot(epochs, history[f"val_{name}"], color=ORANGE, marker="s", label="validation")
    axes.axvline(best_epoch, color=GREY, linestyle="--", linewidth=1, label=f"best epoch: {best_epoch}")
    at_best = float(history.loc[history["epoch"] == best_epoch, f"val_{name}"].iloc[0])
    title = "AUC" if name == "auc" else name.capitalize()
    axes.set_title(f"{title}: validation {at_best:.3f} in the best epoch", fontsize=10.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
