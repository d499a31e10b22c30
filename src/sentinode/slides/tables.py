"""Tables of a scan for other software: Parquet, WSInfer's csv, and the coordinates of CLAM."""

from collections.abc import Collection
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sentinode.inference.engines import optional
from sentinode.slides.heatmap import Heatmap
from sentinode.storage import atomic_file

_PARQUET, _WSINFER, _CLAM = "patches.parquet", "wsinfer.csv", "clam.h5"


def write_tables(heatmap: Heatmap, folder: Path, tables: Collection[str]) -> None:
    """Write the patches of a scan as tables.

    Parameters
    ----------
    heatmap : Heatmap
    folder : Path
        An existing folder.
    tables : collection of {"parquet", "wsinfer", "clam"}
        ``"parquet"``: center and log-odds of every patch. ``"wsinfer"``: corner, size and probability of the patches on
        a grid without overlap, a csv as in WSInfer's ``model-outputs-csv``. ``"clam"``: corners of the same patches as
        HDF5 data set ``coords``.

    Raises
    ------
    ModelError
        pyarrow is not installed.
    """
    if "parquet" in tables:
        rows, columns = np.nonzero(~np.isnan(heatmap.log_odds))
        center = {name: heatmap.origin_px + at * heatmap.step_px for name, at in (("x_px", columns), ("y_px", rows))}
        optional("pyarrow", "parquet")
        with atomic_file(folder / _PARQUET) as temporary:
            values = {name: np.round(value).astype(np.int32) for name, value in center.items()}
            pd.DataFrame({**values, "log_odds": heatmap.log_odds[rows, columns]}).to_parquet(temporary, index=False)
    if not {"wsinfer", "clam"} & set(tables):
        return
    side = 2 * heatmap.origin_px  # The first patch lies in the corner.
    stride = max(1, round(side / heatmap.step_px))
    sparse = heatmap.probability[::stride, ::stride]
    rows, columns = np.nonzero(~np.isnan(sparse))
    corners = np.round(np.stack([columns, rows], axis=1) * stride * heatmap.step_px).astype(np.int64)
    side_px = round(side)
    if "wsinfer" in tables:
        table = pd.DataFrame(corners, columns=["minx", "miny"]).assign(width=side_px, height=side_px)
        table["prob_normal"] = 1 - sparse[rows, columns]
        table["prob_tumor"] = sparse[rows, columns]
        with atomic_file(folder / _WSINFER) as temporary:
            table.to_csv(temporary, index=False)
    if "clam" in tables:
        with atomic_file(folder / _CLAM) as temporary, h5py.File(temporary, "w", track_order=False) as file:
            coords = file.create_dataset("coords", data=corners)
            um_per_px = heatmap.step_um / heatmap.step_px
            coords.attrs.update(patch_size=side_px, patch_level=0, patch_spacing_um_px=um_per_px)
