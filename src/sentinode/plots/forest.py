"""Forest plot: the figures of each group with their intervals, one below the other."""

from collections.abc import Sequence
from pathlib import Path

from sentinode.metrics.interval import Interval
from sentinode.metrics.subgroups import Subgroup
from sentinode.plots.style import BLUE, GREEN, LOOK, ORANGE, Figure, rc_context, save, shortened


def draw_forest(groups: Sequence[Subgroup], path: str | Path, title: str = "") -> None:
    """Draw AUC, sensitivity and specificity of each group.

    Parameters
    ----------
    groups
        From `sentinode.metrics.subgroups`, the first at the top.
    path
        The png to write.
    title
        What they were measured on.
    """
    figures = {
        "AUC": (BLUE, "o", [group.auc for group in groups]),
        "sensitivity": (ORANGE, "s", [group.rates.sensitivity for group in groups]),
        "specificity": (GREEN, "D", [group.rates.specificity for group in groups]),
    }
    with rc_context(LOOK):
        figure = Figure(figsize=(9.6, 1.6 + 0.32 * len(groups)), layout="constrained")
        for axes, (name, (colour, marker, values)) in zip(
            figure.subplots(1, 3, sharey=True), figures.items(), strict=True
        ):
            for row, interval in enumerate(values):
                if interval is not None:
                    axes.errorbar(
                        interval.estimate,
                        row,
                        xerr=_lengths(interval),
                        fmt=marker,
                        color=colour,
                        capsize=2,
                        elinewidth=1,
                    )
            axes.set_title(name, fontsize=10.5)
            axes.set_xlim(right=1.02)
            axes.grid(axis="y", visible=False)
        labels = [f"{shortened(group.name, 24)}  ({group.normal + group.tumour:,})" for group in groups]
        figure.axes[0].set_yticks(range(len(groups)), labels)
        figure.axes[0].set_ylim(len(groups) - 0.5, -0.5)
        figure.suptitle("\n".join(shortened(line, 90) for line in title.splitlines()), x=0.01, ha="left", fontsize=11)
        save(figure, path)


def _lengths(interval: Interval) -> tuple[list[float], list[float]]:
    return [interval.estimate - interval.low], [interval.high - interval.estimate]
