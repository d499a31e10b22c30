"""What a search has found."""

from pathlib import Path
from typing import Any

import pandas as pd

from sentinode.plots.style import BLUE, LOOK, ORANGE, Figure, rc_context, save


def draw_trials(table: pd.DataFrame, names: list[str], path: str | Path) -> None:
    """Draw the validation AUC of every trial against each thing that was searched, the best one marked.

    Parameters
    ----------
    table
        One row a trial, the best first: `names`, ``valid_auc`` and ``sd``, missing where there is one seed.
    names
        The columns that were searched.
    path
        The png to write.
    """
    good = table[table["valid_auc"].notna()]
    with rc_context(LOOK):
        figure = Figure(figsize=(max(3.2 * len(names), 4.2), 3.6), layout="constrained")
        panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, names, strict=True):
            numbers = pd.api.types.is_numeric_dtype(good[name])
            values = good[name] if numbers else good[name].map(_short)
            spread = good["sd"].fillna(0)
            axes.errorbar(values, good["valid_auc"], yerr=spread, fmt="o", color=BLUE, elinewidth=1, alpha=0.8)
            axes.plot(values.iloc[:1], good["valid_auc"].iloc[:1], "o", color=ORANGE, markersize=9, zorder=3)
            if numbers and 0 < 30 * float(good[name].min()) < float(good[name].max()):
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_xlabel(name)
        panels[0].set_ylabel("validation AUC")
        best = good.iloc[0]
        shown = ", ".join(f"{name} {_short(best[name])}" for name in names)
        title = f"{len(good)} trials; the best: {shown}, AUC {best['valid_auc']:.3f}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
        save(figure, path)


def _short(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
