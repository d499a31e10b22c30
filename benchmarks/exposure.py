"""Measure the exposure correction: what it restores, and what it costs, for several limits.

    python benchmarks/exposure.py pcam-small.zip pcam-extra.zip pcam-more.zip

A patch is brightened if its brightest spot, the largest mean of a channel over 2 × 2 px, is at most the limit; 0 is no
correction. The patches are those of ``benchmarks/held_out.py``; the share of training patches that each limit takes for
underexposed is that of all others. On `valid` only the limit of the pretrained weights is evaluated.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import numpy as np

from make_folds import read_training_patches, unseen_rows
from make_teacher import FOLDS_FILE, LOGITS_FOLD
from sentinode import PatchSet, build_model, load_run, open_patches
from sentinode.data.stain.exposure import BRIGHTEST_UNDEREXPOSED, DARKEST_UNDEREXPOSED, exposure_factors
from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.data.types import PATCH_SIZE_PX
from sentinode.inference.predict import predict_logits
from sentinode.machine import keep_freed_memory
from sentinode.metrics import auc
from sentinode.slides.scanning.exposure import brightest_of_places

LIMITS = (0, 180, BRIGHTEST_UNDEREXPOSED, 200)
BRIGHTNESS = [[("brightness", factor)] for factor in (1.0, 0.9, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 1.3)]
# Files of a dark camera are compressed after they were darkened, which makes some pixels brighter.
COMPRESSED = [
    [("brightness", factor), ("JPEG", quality)] for factor, quality in ((0.7, 90.0), (0.7, 75.0), (0.6, 75.0))
]
CHANGES = [*BRIGHTNESS, *COMPRESSED, [("blur", 1.0)], [("blur", 2.0)]]
BATCH = 1000


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    arguments = parser.parse_args()
    keep_freed_memory()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    unseen = unseen_rows(table, LOGITS_FOLD)
    others = np.setdiff1d(np.arange(len(table)), unseen)
    batches = (patches.read(others[start : start + BATCH]) for start in range(0, len(others), BATCH))
    levels = np.concatenate([brightest(pixels) for pixels in batches])
    shares = [underexposed(levels, limit) for limit in LIMITS]
    cells = ", ".join(f"{np.quantile(levels, part):.0f}" for part in (0.001, 0.01, 0.5))
    print(f"brightest spot of the training patches, quantiles 0.1 %, 1 %, 50 %: {cells}\n")
    titles = [f"limit {limit}" if limit else "none" for limit in LIMITS]
    print(f"| | {' | '.join(titles)} |\n" + "|---" * (1 + len(LIMITS)) + "|")
    print(f"| of {len(others):,} training patches | {' | '.join(f'{share:.2%}' for share in shares)} |")
    print_aucs(patches.select(unseen), CHANGES, LIMITS)
    validation = open_patches(arguments.sources[0], split="valid")
    print(f"\n{len(validation):,} patches of valid\n")
    changes = [[("brightness", factor)] for factor in (1.0, 0.7, 1.3)]
    print_aucs(validation, changes, (0, BRIGHTEST_UNDEREXPOSED))


def brightest(pixels: np.ndarray) -> np.ndarray:
    """Return the gray level of the brightest spot of each patch."""
    column = pixels.reshape(-1, PATCH_SIZE_PX, 3)
    return brightest_of_places(column, (len(pixels), 1), PATCH_SIZE_PX)[:, 0]


def underexposed(levels: np.ndarray, limit: int) -> float:
    """Return the fraction of patches that are taken for underexposed."""
    return float(np.mean((levels >= DARKEST_UNDEREXPOSED) & (levels <= limit)))


def print_aucs(patches: PatchSet, changes: list[list[tuple[str, float]]], limits: tuple[int, ...]) -> None:
    """Print the AUC of the pretrained weights with each limit, for each change of the patches."""
    network = build_model("d4net", size="m")
    network.set_weights(load_run("d4net-m").load_model().get_weights())
    pixels = patches.read()
    for steps in changes:
        changed = pixels
        for name, level in steps:
            changed = PERTURBATIONS[name](changed, level)
        levels = brightest(changed)
        factors = exposure_factors(max(limits))[levels][:, None, None, None]
        plain, corrected = (
            predict_logits(network, each)
            for each in (changed, np.rint(np.minimum(changed * factors, 255)).astype("uint8"))
        )
        aucs = [auc(patches.labels, np.where(levels <= limit, corrected, plain)).estimate for limit in limits]
        shares = [underexposed(levels, limit) for limit in limits]
        cells = (f"{value:.4f} ({share:.1%})" for value, share in zip(aucs, shares, strict=True))
        print(f"| {', '.join(f'{name} {level:g}' for name, level in steps)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
