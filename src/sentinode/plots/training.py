"""Figures of training runs: learning curves, and the trials of a search."""

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sentinode.errors import plural
from sentinode.plots.style import BLUE, GRAY, ORANGE, new_axes, set_suptitle, set_title, shorten_names, styled

METRICS = {"loss": "loss", "accuracy": "accuracy", "auc": "AUC"}
# Labels below an axis that have more characters together are slanted.
_LABEL_CHARACTERS = 30


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
    ax.axvline(best_epoch, color=GRAY, linestyle="--", linewidth=1, label=f"best epoch: {best_epoch}")
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
def plot_trials(table: pd.DataFrame, names: Sequence[str], log: Collection[str] = ()) -> list[Axes]:
    """Plot the validation AUC of every trial against each setting that was searched.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a trial, the best first: `names`, ``valid_auc``, ``sd``, missing where there is one seed, and ``trial``,
        the number that is written next to each point.
    names : sequence of str
        The columns of the settings; those with a single value are left out if others remain.
    log : collection of str
        The settings that were searched on a logarithmic scale.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each setting.
    """
    done = table[table["valid_auc"].notna()]
    shown = [name for name in names if done[name].nunique(dropna=False) > 1] or list(names)
    axes = new_axes(1, len(shown), (max(3.2, 4.2 / len(shown)), 3.6), sharey=True)
    for ax, name in zip(axes, shown, strict=True):
        kind = pd.api.types.infer_dtype(done[name], skipna=True)
        numeric = kind in ("integer", "floating", "mixed-integer-float")
        values, spread = done[name] if numeric else done[name].map(_format_setting), done["sd"].fillna(0)
        ax.errorbar(values, done["valid_auc"], yerr=spread, fmt="o", color=BLUE, elinewidth=1, alpha=0.8)
        ax.plot(values.iloc[:1], done["valid_auc"].iloc[:1], "o", color=ORANGE, markersize=9, zorder=3)
        for number, x, y in zip(done.get("trial", ()), values, done["valid_auc"], strict=False):
            ax.annotate(str(number), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8, color=GRAY)
        # Values of a list have no scale of their own.
        if name in log or (numeric and 0 < 30 * float(done[name].min()) < float(done[name].max())):
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            ax.xaxis.set_minor_formatter("")
        if not numeric:
            labels = shorten_names(list(dict.fromkeys(values)), 24)
            slanted = sum(map(len, labels)) > _LABEL_CHARACTERS
            ax.set_xticks(
                range(len(labels)), labels, rotation=40 if slanted else 0, ha="right" if slanted else "center"
            )
        ax.margins(0.12)
        ax.set_xlabel(name)
    axes[0].set_ylabel("validation AUC")
    best = done.iloc[0]
    settings = ", ".join(f"{name} {_format_setting(best[name])}" for name in names)
    set_suptitle(axes, f"{plural(len(done), 'trial')}; the best: {settings}, AUC {best['valid_auc']:.3f}")
    return axes


def _format_setting(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
