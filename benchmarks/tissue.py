"""Compare the tissue that `sentinode scan` finds with masks drawn by hand.

    python benchmarks/tissue.py DATA [--overlays DIR]

DATA is the folder with the test data: `slides/` and `stain-tiles/`. The masks are in `tests/slides/masks/`; their
README says how they were drawn. For each picture the script prints the Dice coefficient, and the share of the drawn pen
marks that is taken for tissue. With `--overlays` it draws both outlines on each picture: found orange, drawn blue.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import shapely
from PIL import Image
from scipy import ndimage

from sentinode.errors import DataError
from sentinode.slides import open_slide
from sentinode.slides.slide import Slide
from sentinode.slides.tissue import OVERVIEW_UM_PX, find_tissue, region_mask

MASKS = Path(__file__).parents[1] / "tests" / "slides" / "masks"
# µm per pixel: of the file where it is None, otherwise presumed from the size of nuclei or of the specimen.
SLIDES = {
    "slides/CMU-1-Small-Region.svs": None,
    "slides/TCGA-CR-7395-01A-01-TS1.svs": 0.25,
    "slides/ihc-crumbs-1065626.svs": None,
    "slides/camelyon-overview.dcm": 28.969,  # Stated, but refused for a scan.
    "slides/kidney-48-5.tif": 8.0,
    "slides/ladders/patch.tif": 4.0,
    "slides/pen/coverslip_edge.png": 16.0,
    "slides/pen/pen_red.png": 16.0,
    "slides/pen/wsi-blue-pen.png": 32.0,
    "slides/pen/tcga-green-pen.png": 2.0,
    "slides/pen/tcga-red-pen.png": 2.0,
    "slides/pen/high-nuclei-score-red-pen-level1.png": 1.0,
    "slides/pen/medium-nuclei-score-green-pen-level1.png": 1.0,
    "slides/pen/no-tissue-green-pen.png": 1.0,
    "slides/pen/no-tissue-red-pen.png": 1.0,
}
TILES = {
    f"stain-tiles/centre_{name}.jpeg": 0.25
    for name in ("0_patient_006_node_1", "1_patient_024_node_2", "2_patient_056_node_1", "3_patient_066_node_1",
                 "4_patient_097_node_3")
}  # fmt: skip
# Ink and tissue fade out: this far around drawn pen marks nothing is judged.
FADING_PX, FADING_UM = 2, 25.0


def drawn_masks(path: Path, slide: Slide, shape: tuple[int, int], scale: float) -> dict[str, np.ndarray]:
    """Return the hand-drawn masks of a picture: tissue, pen, and what is judged."""
    features = json.loads((MASKS / f"{path.stem}.geojson").read_text())["features"]

    def draw(name: str, margin_px: float = 0) -> np.ndarray:
        shapes = [
            shapely.geometry.shape(each["geometry"]).buffer(margin_px)
            for each in features
            if each["properties"]["classification"]["name"] == name
        ]
        mask = np.zeros(shape, bool)
        for each in shapes:
            mask |= region_mask(each, shape, scale)
        return mask

    pen = draw("Pen")
    fading = draw("Pen", max(FADING_PX * scale, FADING_UM / slide.spacing_um_px)) & ~pen
    return {"tissue": draw("Tissue") & ~pen, "pen": pen, "judged": ~draw("Ignore") & ~fading}


def dice(found: np.ndarray, drawn: np.ndarray) -> float:
    """Return the Dice coefficient."""
    return 2 * (found & drawn).sum() / max(1, found.sum() + drawn.sum())


def outline(pixels: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draw the outline of a mask."""
    pixels[mask & ~ndimage.binary_erosion(mask)] = color


def measure(path: Path, spacing_um_px: float | None, overlays: Path | None) -> tuple[float | None, float, float]:
    """Return Dice (None where no tissue is drawn), the share of the pen marks kept, and seconds; draw an overlay."""
    with open_slide(path, spacing_um_px=spacing_um_px) as slide:
        began = time.perf_counter()
        try:
            tissue = find_tissue(slide)
            mask, scale = tissue.mask, tissue.pixel_level0_px
            seconds = time.perf_counter() - began
        except DataError:
            seconds = time.perf_counter() - began
            pixels, selection = slide.thumbnail(OVERVIEW_UM_PX)
            mask, scale = np.zeros(pixels.shape[:2], bool), slide.pixel_level0_px(selection)
        drawn = drawn_masks(path, slide, mask.shape, scale)
        judged = drawn["judged"]
        if overlays:
            pixels = slide.thumbnail(OVERVIEW_UM_PX)[0]
            zoom = max(1, 1000 // max(pixels.shape[:2]))
            larger, found, truth, unknown = (
                each.repeat(zoom, 0).repeat(zoom, 1) for each in (pixels, mask, drawn["tissue"], ~judged)
            )
            larger[unknown] = (larger[unknown] * 0.7).astype(np.uint8)
            outline(larger, truth, (0, 90, 220))
            outline(larger, found, (240, 120, 0))
            Image.fromarray(larger).save(overlays / f"{path.stem}.png")
    kept = float((mask & drawn["pen"]).sum() / drawn["pen"].sum()) if drawn["pen"].any() else 0.0
    value = dice(mask & judged, drawn["tissue"] & judged) if drawn["tissue"].any() else None
    return value, kept, seconds


def main() -> None:
    """Print a line for each picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--overlays", type=Path)
    arguments = parser.parse_args()
    if arguments.overlays:
        arguments.overlays.mkdir(parents=True, exist_ok=True)
    print("picture\tDice\tpen marks kept\tseconds")
    for name, spacing in (SLIDES | TILES).items():
        value, kept, seconds = measure(arguments.data / name, spacing, arguments.overlays)
        print(f"{name}\t{'no tissue' if value is None else f'{value:.3f}'}\t{kept:.1%}\t{seconds:.2f}")
    print(f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


if __name__ == "__main__":
    main()
