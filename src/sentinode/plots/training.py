"""Figures of trainings: learning curves, and the trials of a search."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sentinode.plots.style import BLUE, GREY, ORANGE, new_axes, set_suptitle, set_title, styled

METRICS = {"loss": "loss", "accuracy": "accuracy", "auc": "AUC"}


@styled
def plot_learning_curve(
    history: pd.DataFrame, metric: str, best_epoch: int, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Plot a metric of the training and of the validation patches against the epoch.

    Parameters
    ----------
    history : pandas.DataFrame
        One row an epoch: ``epoch``, ``val_`` followed by `metric` and, where measured in training, `metric`.
    metric : {"loss", "accuracy", "auc"}
        The metric.
    best_epoch : int
        The epoch whose weights were kept.
    title : str
        The title.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; when left out a new figure is created.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = ax or new_axes(size=(4.6, 3.6))[0]
    epochs = history["epoch"]
    size = 4 if len(epochs) > 12 else 6
    if metric in history:
        ax.plot(epochs, history[metric], "-o", color=BLUE, markersize=size, label="training")
    ax.plot(epochs, history[f"val_{metric}"], "--s", color=ORANGE, markersize=size, label="validation")
    ax.axvline(best_epoch, color=GREY, linestyle="--", linewidth=1, label=f"best epoch: {best_epoch}")
    set_title(ax, title)
    ax.set(xlabel="epoch", xlim=(epochs.min() - 0.5, epochs.max() + 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


@styled
def plot_learning_curves(history: pd.DataFrame, best_epoch: int) -> list[Axes]:
    """Plot every metric that was measured on the validation patches.

    Parameters
    ----------
    history : pandas.DataFrame
        See `plot_learning_curve`.
    best_epoch : int
        The epoch whose weights were kept.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each metric.
    """
    shown = [name for name in METRICS if f"val_{name}" in history]
    axes = new_axes(1, len(shown), (4.6, 3.8))
    for ax, name in zip(axes, shown, strict=True):
        best = float(history.loc[history["epoch"] == best_epoch, f"val_{name}"].iloc[0])
        title = f"{METRICS[name]}: validation {best:.3f} in the best epoch"
        plot_learning_curve(history, name, best_epoch, title=title, ax=ax)
    return axes


@styled
def plot_trials(table: pd.DataFrame, names: Sequence[str]) -> list[Axes]:
    """Plot the validation AUC of every trial against each setting that was searched.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a trial, the best first: ``trial``, `names`, ``valid_auc`` and ``sd``, missing where there is one seed.
    names : sequence of str
        The columns of the settings.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each setting.
    """
    done = table[table["valid_auc"].notna()]
    axes = new_axes(1, len(names), (max(3.2, 4.2 / len(names)), 3.6), sharey=True)
    for ax, name in zip(axes, names, strict=True):
        numeric = pd.api.types.is_numeric_dtype(done[name])
        values = done[name] if numeric else done[name].map(_short)
        spread = done["sd"].fillna(0)
        ax.errorbar(values, done["valid_auc"], yerr=spread, fmt="o", color=BLUE, elinewidth=1, alpha=0.8)
        ax.plot(values.iloc[:1], done["valid_auc"].iloc[:1], "o", color=ORANGE, markersize=9, zorder=3)
        if numeric and 0 < 30 * float(done[name].min()) < float(done[name].max()):
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_xlabel(name)
    axes[0].set_ylabel("validation AUC")
    best = done.iloc[0]
    settings = ", ".join(f"{name} {_short(best[name])}" for name in names)
    set_suptitle(axes, f"{len(done)} trials; the best: {settings}, AUC {best['valid_auc']:.3f}")
    return axes


def _short(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
