"""What an explanation leaves in its folder: pictures, and tables of the same."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from sentinode.explanation.first_layer import FirstLayer
from sentinode.explanation.neighbours import Neighbours
from sentinode.explanation.sanity import SHARES, Trust
from sentinode.plots.explanation import plot_deletion_curves
from sentinode.plots.patches import draw_attributions, draw_first_layer, draw_neighbors
from sentinode.plots.style import save_figure
from sentinode.storage import atomic_file

EXPLANATIONS, CHECKS = "explanations.png", "explanations.csv"
HIDING, HIDING_TABLE = "hiding.png", "hiding.csv"
NEIGHBOURS, NEIGHBOURS_TABLE = "neighbours.png", "neighbours.csv"
FIRST_LAYER = "first_layer.png"
# Patches that the first layer's responses are shown for.
AT_FIRST_LAYER = 4


def write_explanations(
    folder: Path,
    pixels: np.ndarray,
    table: pd.DataFrame,
    maps: Mapping[str, np.ndarray],
    trust: Mapping[str, Trust],
    first: FirstLayer | None,
    neighbours: Neighbours | None,
) -> None:
    """Write what was found of some patches; what an earlier call left and this one has not is taken away.

    Parameters
    ----------
    folder
        Where to.
    pixels
        uint8, ``(n, 96, 96, 3)``.
    table, maps, neighbours
        As in `Explanations`.
    trust
        By method.
    first
        The first layer and its responses to these patches.
    """
    methods = [its for _, its in table.groupby("method", sort=False)]
    captions = [
        f"{_class_of(label)} {probability:.3f} {PurePosixPath(name).name}".lstrip()
        for name, label, probability in methods[0][["id", "label", "probability"]].itertuples(index=False)
    ]
    below = zip(captions, *(map(_in_the_centre, its["central_share"]) for its in methods), strict=True)
    save_figure(draw_attributions(pixels, list(below), maps), folder / EXPLANATIONS)
    _write(table, folder / CHECKS)
    hiding = _hiding(trust, methods[0]["id"])
    _write(hiding, folder / HIDING_TABLE)
    _draw_hiding(hiding, folder / HIDING)
    for name in (NEIGHBOURS, NEIGHBOURS_TABLE, FIRST_LAYER):
        (folder / name).unlink(missing_ok=True)
    if first:
        few = slice(AT_FIRST_LAYER)
        save_figure(draw_first_layer(pixels[few], first.kernels, first.responses[few]), folder / FIRST_LAYER)
    if neighbours:
        near = _captioned(neighbours, methods[0]["id"])
        save_figure(draw_neighbors(pixels, captions, near), folder / NEIGHBOURS)
        _write(neighbours.table, folder / NEIGHBOURS_TABLE)


def _hiding(trust: Mapping[str, Trust], ids: pd.Series) -> pd.DataFrame:
    """Return one row for each patch, method, way and share of the patch: what the network said."""
    share = np.tile(SHARES, len(ids))
    parts = [
        pd.DataFrame(
            {
                "id": np.repeat(ids.to_numpy(), len(SHARES)),
                "method": method,
                "way": way,
                "share": share.round(4),
                "probability": ranked.ravel(),
                "probability_random_order": drawn.ravel(),
            }
        )
        for method, its in trust.items()
        for way, ranked, drawn in (
            ("deletion", its.deletion, its.deletion_drawn),
            ("insertion", its.insertion, its.insertion_drawn),
        )
    ]
    return pd.concat(parts, ignore_index=True)


def _draw_hiding(table: pd.DataFrame, file: Path) -> None:
    means = table.groupby(["way", "method", "share"], sort=False)[["probability", "probability_random_order"]].mean()
    ways = ("deletion", "insertion")
    curves = {
        way: {
            str(method): its.to_numpy() for method, its in means.loc[way]["probability"].groupby("method", sort=False)
        }
        for way in ways
    }
    drawn = {way: means.loc[way]["probability_random_order"].groupby("share").mean().to_numpy() for way in ways}
    save_figure(plot_deletion_curves(SHARES, curves, drawn), file)


def _captioned(found: Neighbours, ids: pd.Series) -> list[list[tuple[np.ndarray, str]]]:
    """Return for each patch its neighbours, each with its class and distance."""
    table = found.table
    texts = [
        f"{_class_of(label)} {distance:.2f}" for label, distance in table[["label", "distance"]].itertuples(index=False)
    ]
    pictures = list(zip(found.patches.read(), texts, strict=True))
    return [[pictures[row] for row in np.flatnonzero(table["id"] == name)] for name in ids]


def _class_of(label: Any) -> str:
    return "" if pd.isna(label) else ("normal", "tumour")[label]


def _in_the_centre(share: float) -> str:
    return "nothing for tumour" if np.isnan(share) else f"centre {share:.0%}"


def _write(table: pd.DataFrame, file: Path) -> None:
    with atomic_file(file) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")
