"""Write patches of slides in the layout of PatchCamelyon's HDF5 files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.data.parallel import ordered_map
from sentinode.data.pixels import pixel_sha1
from sentinode.data.types import PATCH_SHAPE, PATCH_SIZE_PX, PATCH_SPACING_UM_PX, UInt8Array
from sentinode.errors import DataError
from sentinode.progress import progress_bar
from sentinode.slides.extraction.candidates import KINDS, Candidates, Kind
from sentinode.slides.extraction.regions import Places, any_pixel_inside
from sentinode.slides.isolation import WorkerError, reason
from sentinode.slides.slide import open_slide

_BATCH = 1024  # Patches read at once: 28 MB.


def write_patches(
    folder: Path,
    name: str,
    found: Sequence[Candidates],
    chosen: Sequence[Mapping[Kind, Places]],
    patients: Mapping[str, str],
    spacings: Mapping[Path, float | None],
    run: Callable[[Callable[[], UInt8Array]], UInt8Array],
) -> tuple[pd.DataFrame, pd.Series, list[tuple[str, str]]]:
    """Write pixels, labels and metadata in PatchCamelyon's layout.

    Parameters
    ----------
    folder : Path
        An existing folder.
    name : str
        What the names of the files begin with.
    found : sequence of Candidates
    chosen : sequence of mapping
        For each slide the places of each kind.
    patients : mapping of str to str
        Patient of each slide, as far as known.
    spacings : mapping of Path to float or None
        µm per level-0 pixel, where the slides' files do not decide.
    run : callable
        Calls the function that reads a slide, such as in a process of its own.

    Returns
    -------
    table : DataFrame
        One row per patch.
    sha1 : Series of str
        SHA-1 of each patch's pixels.
    failures : list of (str, str)
        Slides that could not be read, and why.
    """
    import h5py

    tables, sha1, failures = [], [], []
    total = sum(len(places) for each in chosen for places in each.values())
    with h5py.File(folder / f"{name}_x.h5", "w") as file, progress_bar("reading", total=total) as advance:
        pixels = file.create_dataset(
            "x", (0, *PATCH_SHAPE), np.uint8, maxshape=(None, *PATCH_SHAPE), chunks=(8, *PATCH_SHAPE)
        )
        for each, places in zip(found, chosen, strict=True):
            table = _table(each, places, patients)
            before, corners = len(pixels), table[["x_px", "y_px"]].to_numpy()
            try:
                for start in range(0, len(table), _BATCH):
                    some = run(partial(read_patches, each.path, spacings[each.path], corners[start : start + _BATCH]))
                    pixels.resize(len(pixels) + len(some), axis=0)
                    pixels[-len(some) :] = some
                    sha1 += pixel_sha1(some)
                    advance(len(some))
                tables.append(table)
            except (DataError, WorkerError) as error:
                pixels.resize(before, axis=0)
                del sha1[before:]
                failures.append((each.path.name, reason(each.path, error)))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"wsi": []})
    if tables:
        with h5py.File(folder / f"{name}_y.h5", "w") as file:
            file["y"] = table["center_tumor_patch"].to_numpy(np.uint8).reshape(-1, 1, 1, 1)
        columns = table.drop(columns=["x_px", "y_px"])
        columns.to_csv(folder / f"{name}_meta.csv", lineterminator="\n", float_format="%.4f")
    return table, pd.Series(sha1, dtype="str"), failures


def read_patches(path: Path, spacing_um_px: float | None, places: Places) -> UInt8Array:
    """Read patches of a slide.

    Parameters
    ----------
    path : Path
        The slide's file.
    spacing_um_px : float or None
        µm per level-0 pixel; see `open_slide`.
    places : ndarray of int, shape (n, 2)
        x and y of the top left corners in pixels of the resolution that is read.

    Returns
    -------
    ndarray of uint8, shape (n, 96, 96, 3)
    """
    with open_slide(path, spacing_um_px=spacing_um_px, force=True) as slide:  # Checked with the candidates.
        selection = slide.select_level(PATCH_SPACING_UM_PX)
        read = ordered_map(
            lambda at: slide.read(selection, at[0], at[1], PATCH_SIZE_PX, PATCH_SIZE_PX), places.tolist()
        )
        return np.stack(list(read))


def _table(candidates: Candidates, chosen: Mapping[Kind, Places], patients: Mapping[str, str]) -> pd.DataFrame:
    """Return the metadata of the chosen patches of a slide, row by row of the slide."""
    places = np.concatenate([chosen[kind] for kind in KINDS])
    kinds = np.repeat(KINDS, [len(chosen[kind]) for kind in KINDS])
    probability = np.full(len(places), np.nan)
    probability[kinds == "hard"] = candidates.hard_probability[: len(chosen["hard"])]
    order = np.lexsort((places[:, 0], places[:, 1]))
    places, kinds, probability = places[order], kinds[order], probability[order]
    scale, stem = candidates.about["scale"], candidates.path.stem
    corners, centers = (np.rint(at * scale).astype(np.int64) for at in (places, places + PATCH_SIZE_PX / 2))
    table = pd.DataFrame(
        {
            "coord_y": corners[:, 1],
            "coord_x": corners[:, 0],
            "tumor_patch": any_pixel_inside(candidates.tumour, places, scale, border_px=0, side_px=PATCH_SIZE_PX),
            "center_tumor_patch": kinds == "tumour",
            "wsi": stem,
            "center_x": centers[:, 0],
            "center_y": centers[:, 1],
            "kind": kinds,
            "probability": probability,
            "x_px": places[:, 0],
            "y_px": places[:, 1],
        }
    )
    if patients:
        table.insert(5, "patient", patients.get(stem, ""))
    return table
