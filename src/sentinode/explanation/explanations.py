"""Attribution maps of some patches with their checks, as tables and figures."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sentinode.data.types import CLASS_NAMES, UInt8Array
from sentinode.errors import plural
from sentinode.explanation.first_layer import FirstLayer
from sentinode.explanation.neighbors import Neighbors
from sentinode.explanation.sanity import FRACTIONS, SanityChecks
from sentinode.plots import draw_attributions, draw_first_layer, draw_neighbors, plot_deletion_curves, save_figure
from sentinode.storage import write_csv

# The names of the files without their endings.
EXPLANATIONS, DELETION_CURVES, NEIGHBORS, FIRST_LAYER = "explanations", "deletion_curves", "neighbors", "first_layer"
CHECKS = ("central_share", "deletion_gain", "insertion_gain", "randomization_correlation")
# The patches whose responses of the first layer are shown.
FIRST_LAYER_PATCHES = 4
FIGURE_ENDINGS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Explanations:
    """Attribution maps of some patches, and checks of how far they can be trusted.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per patch and method: ``id``, ``label``, ``probability``, ``method``, and the checks of `SanityChecks`.
    pixels : ndarray of shape (n, 96, 96, 3)
        The patches, uint8.
    maps : mapping
        By method, the attribution maps, float32 of shape ``(n, 96, 96)``.
    checks : mapping
        By method, `SanityChecks` with the deletion and insertion curves.
    first_layer : FirstLayer or None
        Kernels and responses; None if the network has no convolution on the pixels.
    neighbors : Neighbors or None
        The nearest training patches; None if the run was trained on none of the given patches.
    skipped : list of dict
        The patches that could not be read, each with the reason, if `open_patches` was told to skip them.
    """

    table: pd.DataFrame
    pixels: UInt8Array
    maps: Mapping[str, np.ndarray]
    checks: Mapping[str, SanityChecks]
    first_layer: FirstLayer | None
    neighbors: Neighbors | None
    skipped: list[dict[str, str]]

    def __repr__(self) -> str:
        return f"<Explanations of {plural(len(self.pixels), 'patch')} by {', '.join(self.maps)}>"

    def _repr_html_(self) -> str:
        buffer = io.BytesIO()
        self.draw().save(buffer, format="png")
        image = base64.b64encode(buffer.getvalue()).decode("ascii")
        return f'<img alt="attribution maps" src="data:image/png;base64,{image}">{self.summary().to_html(border=0)}'

    def summary(self) -> pd.DataFrame:
        """Return the mean of each check over the patches, one row per method."""
        return self.table.groupby("method", sort=False)[list(CHECKS)].mean()

    def draw(self) -> Image.Image:
        """Draw one row per patch: the patch, and the attribution overlay of each method."""
        methods = [rows for _, rows in self.table.groupby("method", sort=False)]
        captions = zip(
            self._captions(), *(map(_center_caption, rows["central_share"]) for rows in methods), strict=True
        )
        return draw_attributions(self.pixels, list(captions), self.maps)

    def deletion_curves(self) -> pd.DataFrame:
        """Return deletion and insertion curves: one row per patch, method, curve and fraction of the patch.

        Returns
        -------
        pandas.DataFrame
            ``id``, ``method``, ``curve``, ``fraction``, ``probability``, ``probability_random_order``.
        """
        ids = self._first_method()["id"].to_numpy()
        parts = [
            pd.DataFrame(
                {
                    "id": np.repeat(ids, len(FRACTIONS)),
                    "method": method,
                    "curve": curve,
                    "fraction": np.tile(FRACTIONS, len(ids)).round(4),
                    "probability": ordered.ravel(),
                    "probability_random_order": random.ravel(),
                }
            )
            for method, checks in self.checks.items()
            for curve, ordered, random in (
                ("deletion", checks.deletion, checks.deletion_random),
                ("insertion", checks.insertion, checks.insertion_random),
            )
        ]
        return pd.concat(parts, ignore_index=True)

    def write(self, folder: str | Path, figures: str = "png") -> list[Path]:
        """Write figures and tables; files of an earlier call are replaced or deleted.

        Parameters
        ----------
        folder : str or Path
            The folder to write to.
        figures : {"png", "svg", "pdf"}
            The format of the deletion and insertion curves; sheets of patches are png.

        Returns
        -------
        list of Path
            The figures, and ``explanations.csv``.
        """
        folder = Path(folder)
        written = [
            folder / f"{EXPLANATIONS}.png",
            folder / f"{EXPLANATIONS}.csv",
            folder / f"{DELETION_CURVES}.{figures}",
        ]
        save_figure(self.draw(), written[0])
        write_csv(self.table, written[1])
        curves = self.deletion_curves()
        write_csv(curves, folder / f"{DELETION_CURVES}.csv")
        _plot_curves(curves, written[2])
        if self.neighbors:
            write_csv(self.neighbors.table, folder / f"{NEIGHBORS}.csv")
            written.append(folder / f"{NEIGHBORS}.png")
            save_figure(
                draw_neighbors(self.pixels, self._captions(), self._neighbor_tiles(self.neighbors)), written[-1]
            )
        if self.first_layer:
            few, written = slice(FIRST_LAYER_PATCHES), [*written, folder / f"{FIRST_LAYER}.png"]
            drawn = draw_first_layer(self.pixels[few], self.first_layer.kernels, self.first_layer.responses[few])
            save_figure(drawn, written[-1])
        earlier = [f"{DELETION_CURVES}.{ending}" for ending in FIGURE_ENDINGS if ending != figures]
        earlier += [] if self.neighbors else [f"{NEIGHBORS}.png", f"{NEIGHBORS}.csv"]
        earlier += [] if self.first_layer else [f"{FIRST_LAYER}.png"]
        for file in (folder / name for name in earlier):
            if file.is_file():
                file.unlink()
        return written

    def _first_method(self) -> pd.DataFrame:
        return self.table.iloc[: len(self.pixels)]

    def _captions(self) -> list[str]:
        rows = self._first_method()[["id", "label", "probability"]].itertuples(index=False)
        return [f"{_class_name(label)} {value:.3f} {PurePosixPath(name).name}".lstrip() for name, label, value in rows]

    def _neighbor_tiles(self, found: Neighbors) -> list[list[tuple[np.ndarray, str]]]:
        """Return for each patch its neighbors, each with class and distance as caption."""
        rows = found.table[["label", "distance"]].itertuples(index=False)
        captions = [f"{_class_name(label)} {distance:.2f}" for label, distance in rows]
        tiles = list(zip(found.patches.read(), captions, strict=True))
        return [
            [tiles[row] for row in np.flatnonzero(found.table["id"] == name)] for name in self._first_method()["id"]
        ]


def _plot_curves(table: pd.DataFrame, file: Path) -> None:
    means = table.groupby(["curve", "method", "fraction"], sort=False).mean(numeric_only=True)
    curves: dict[str, dict[str, np.ndarray]] = {}
    random: dict[str, np.ndarray] = {}
    for name in ("deletion", "insertion"):
        by_method = means.loc[name]["probability"].groupby("method", sort=False)
        curves[name] = {str(method): values.to_numpy() for method, values in by_method}
        random[name] = means.loc[name]["probability_random_order"].groupby("fraction").mean().to_numpy()
    save_figure(plot_deletion_curves(FRACTIONS, curves, random), file)


def _class_name(label: Any) -> str:
    return "" if pd.isna(label) else CLASS_NAMES[label]


def _center_caption(share: float) -> str:
    return "no positive attribution" if np.isnan(share) else f"center {100 * share:.0f} %"
