"""FROC, slide AUC and times on your own copy of CAMELYON16.

    python benchmarks/camelyon16.py SLIDES ANNOTATIONS --out scans
    python benchmarks/camelyon16.py testing/images testing/lesion_annotations --out scans --model runs/mined

SLIDES is a folder of slides. ANNOTATIONS is a folder with the ASAP XML, polygon JSON or mask TIFF of every slide with
tumour; a slide without one counts as normal, so name all. The scan resumes when the command is given again, and several
may run at once. Detections are the maxima of the lesions that `sentinode scan` finds. Intervals of FROC are of 1,000
bootstrap samples of slides. `sentinode evaluate-slides` prints the AUC; the truth that it reads, and the features and
scores of each slide, are in truth.csv and slides.csv in the output folder.

The challenge leaves slide test_049 out of its test set, and test_114 is not fully annotated: remove them from SLIDES.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.slides import open_slide, read_annotations
from sentinode.slides.annotations.read import find_annotations
from sentinode.slides.find import find_slides
from sentinode.slides.froc import VARIANTS, evaluation_mask, froc, match_detections
from sentinode.slides.tissue import region_mask

# Level 5, on which the challenge evaluates.
MASK_LEVEL0_PX = 32
SAMPLES = 1000


def tumour_mask(slide_path: Path, annotations: Path) -> tuple[np.ndarray, float]:
    """Draw the tumour of a slide; return the mask (True is tumour) and its µm per pixel."""
    with open_slide(slide_path) as slide:
        tumour = read_annotations(annotations, slide).tumour
        full = slide.levels[0]
        spacing = slide.spacing_um_px * MASK_LEVEL0_PX
    shape = -(-full.height_px // MASK_LEVEL0_PX), -(-full.width_px // MASK_LEVEL0_PX)
    return region_mask(tumour, shape, MASK_LEVEL0_PX), spacing


def interval(statistic, count: int, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a statistic of slide numbers; samples without a lesion are drawn again."""
    random, found = np.random.default_rng(seed), []
    while len(found) < SAMPLES:
        value = statistic(random.integers(0, count, count))
        if value is not None:
            found.append(value)
    return tuple(np.quantile(found, (0.025, 0.975)))


def main() -> None:
    """Scan, evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slides", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="d4net-m")
    parser.add_argument("--step", default="8")
    arguments = parser.parse_args()
    words = ["scan", arguments.slides, "--out", arguments.out, "--model", arguments.model, "--step", arguments.step]
    status = subprocess.run([sys.executable, "-m", "sentinode", *map(str, words)]).returncode
    if status:
        sys.exit(f"not all slides were scanned (exit status {status}); the scores would not be comparable")
    slides = find_slides([arguments.slides])
    found = [json.loads((arguments.out / path.stem / "summary.json").read_text()) for path in slides]
    drawn = [find_annotations(path, arguments.annotations) for path in slides]
    labels = np.array([each is not None for each in drawn], int)
    masks = [tumour_mask(path, each) if each else None for path, each in zip(slides, drawn, strict=True)]
    print(f"{len(slides)} slides, {labels.sum()} with tumour; {arguments.model}, step {arguments.step} px")
    for variant, rules in VARIANTS.items():
        matched = []
        for summary, mask in zip(found, masks, strict=True):
            lesions = summary["lesions"]
            columns = ([lesion[name] for lesion in lesions] for name in ("max_probability", "x_px", "y_px"))
            truth = None
            if mask is not None:
                values = np.where(mask[0], rules.tumour_value, 0)
                truth = evaluation_mask(values, mask[1], level0_px=MASK_LEVEL0_PX, variant=variant)
            matched.append(match_detections(*columns, truth, variant=variant))
        curve = froc(matched, variant=variant)

        def score(rows: np.ndarray, matched=matched, variant=variant) -> float | None:
            chosen = [matched[row] for row in rows]
            return froc(chosen, variant=variant).score if any(each.lesions for each in chosen) else None

        low, high = interval(score, len(slides))
        rates = ", ".join(f"{value:.3f}" for value in curve.sensitivities)
        print(f"FROC, script of {variant}: {curve.score:.4f} ({low:.4f} to {high:.4f}); sensitivities {rates}")
    truth = arguments.out / "truth.csv"
    pd.DataFrame({"slide": [path.name for path in slides], "label": labels}).to_csv(truth, index=False)
    words = ["evaluate-slides", arguments.out, "--truth", truth, "--out", arguments.out / "slides.csv"]
    subprocess.run([sys.executable, "-m", "sentinode", *map(str, words)], check=True)
    seconds = [json.loads((arguments.out / path.stem / "timings.json").read_text())["scan_s"] for path in slides]
    tissue = sum(each["tissue_mm2"] for each in found)
    print(
        f"{sum(seconds):,.0f} s for {tissue:,.0f} mm² of tissue: {tissue / sum(seconds):.2f} mm²/s, median "
        f"{np.median(seconds):.0f} s a slide\n{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}"
    )


if __name__ == "__main__":
    main()
