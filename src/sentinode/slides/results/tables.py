"""Tables of a scan for other software: Parquet, WSInfer's csv, the coordinates of CLAM, and tiles for QuPath."""

import json
import logging
import math
import uuid
from collections.abc import Collection
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sentinode.errors import ConfigError
from sentinode.extras import optional
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.results.lesions import OUTLINE_FROM, TUMOUR_COLOR
from sentinode.storage import atomic_file, write_csv

log = logging.getLogger("sentinode")

TABLES = ("parquet", "wsinfer", "clam", "tiles")

_PARQUET, _WSINFER, _CLAM, _TILES = "patches.parquet", "wsinfer.csv", "clam.h5", "tiles.geojson"
# 70 MB of GeoJSON; QuPath becomes slow with more.
_MOST_TILES = 200_000


def check_tables(tables: Collection[str]) -> None:
    """Check that tables are known and can be written, before the scan that they are made of.

    Parameters
    ----------
    tables : collection of str
        See `write_tables`.

    Raises
    ------
    ConfigError
        A table is unknown, or pyarrow is not installed.
    """
    for name in tables:
        if name not in TABLES:
            raise ConfigError(f"table {name!r} is unknown; use one of {', '.join(TABLES)}")
    if "parquet" in tables:
        optional("pyarrow", "parquet")


def write_tables(
    heatmap: Heatmap, folder: Path, tables: Collection[str], *, identity: str = "", offset_px: tuple[int, int] = (0, 0)
) -> None:
    """Write the patches of a scan as tables.

    Parameters
    ----------
    heatmap : Heatmap
    folder : Path
        An existing folder.
    tables : collection of {"parquet", "wsinfer", "clam", "tiles"}
        ``"parquet"``: center and log-odds of every patch. ``"wsinfer"``: corner, size and probability of the patches on
        the densest grid without overlap, a csv as in WSInfer's ``model-outputs-csv``. ``"clam"``: corners of the same
        patches as HDF5 data set ``coords``. ``"tiles"``: squares around the patches with probability 0.5 or more, as
        large as their distance, as GeoJSON detections for QuPath.
    identity, offset_px
        See `to_geojson`; for tiles.

    Raises
    ------
    ConfigError
        See `check_tables`.
    """
    check_tables(tables)
    if "parquet" in tables:
        rows, columns = np.nonzero(~np.isnan(heatmap.log_odds))
        center = {name: heatmap.origin_px + at * heatmap.step_px for name, at in (("x_px", columns), ("y_px", rows))}
        with atomic_file(folder / _PARQUET) as temporary:
            values = {name: np.round(value).astype(np.int32) for name, value in center.items()}
            pd.DataFrame({**values, "log_odds": heatmap.log_odds[rows, columns]}).to_parquet(temporary, index=False)
    if "tiles" in tables:
        _write_tiles(heatmap, folder / _TILES, identity, offset_px)
    if not {"wsinfer", "clam"} & set(tables):
        return
    stride = math.ceil(heatmap.patch_px / heatmap.step_px - 1e-6)  # Exact divisions, up to rounding.
    sparse = heatmap.probability[::stride, ::stride]
    rows, columns = np.nonzero(~np.isnan(sparse))
    corners = np.round(np.stack([columns, rows], axis=1) * stride * heatmap.step_px).astype(np.int64)
    side_px = round(heatmap.patch_px)
    if "wsinfer" in tables:
        table = pd.DataFrame(corners, columns=["minx", "miny"]).assign(width=side_px, height=side_px)
        table["prob_normal"] = 1 - sparse[rows, columns]
        table["prob_tumor"] = sparse[rows, columns]
        write_csv(table, folder / _WSINFER)
    if "clam" in tables:
        with atomic_file(folder / _CLAM) as temporary, h5py.File(temporary, "w", track_order=False) as file:
            coords = file.create_dataset("coords", data=corners)
            um_per_px = heatmap.step_um / heatmap.step_px
            coords.attrs.update(patch_size=side_px, patch_level=0, patch_spacing_um_px=um_per_px)


def _write_tiles(heatmap: Heatmap, path: Path, identity: str, offset_px: tuple[int, int]) -> None:
    rows, columns = np.nonzero(heatmap.probability >= OUTLINE_FROM)
    values = heatmap.probability[rows, columns]
    if len(values) > _MOST_TILES:
        log.warning(
            "%s: %s tiles have probability %g or more; the %s most probable are written. Scan with a larger --step "
            "for fewer, larger tiles",
            path,
            f"{len(values):,}",
            OUTLINE_FROM,
            f"{_MOST_TILES:,}",
        )
        kept = np.sort(np.argsort(-values, kind="stable")[:_MOST_TILES])
        rows, columns, values = rows[kept], columns[kept], values[kept]
    x, y = (  # Edges of all tiles, so that neighbors share theirs.
        np.round(heatmap.origin_px + (np.arange(count + 1) - 0.5) * heatmap.step_px - offset, 1).tolist()
        for count, offset in zip(heatmap.log_odds.shape[::-1], offset_px, strict=True)
    )
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        between = "\n"
        for row, column, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True):
            left, right, top, bottom = x[column], x[column + 1], y[row], y[row + 1]
            feature = {
                "type": "Feature",
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{identity} tile {row} {column}")),
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]],
                },
                "properties": {
                    "objectType": "detection",
                    "classification": {"name": "Tumor", "color": TUMOUR_COLOR},
                    "measurements": {"P(tumour)": round(value, 4)},
                },
            }
            file.write(between + json.dumps(feature))
            between = ",\n"
        file.write("\n]}\n")
