"""How many patches the out-of-distribution detector flags when tissue is shown at a wrong scale.

    python benchmarks/scale_check.py stain-tiles/*.jpeg

The files are tiles of tissue at about 0.25 µm/px. Each is shrunk by 4 (right for the pretrained network), by 2, and not
at all, and cut into patches. `sentinode scan` refuses slides of which more than 30 % are flagged.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sentinode import load_run

SHRINK = (4, 2, 1)
MOST_PATCHES = 100


def patches_of(image: Image.Image, shrink: int) -> np.ndarray:
    """Return up to `MOST_PATCHES` patches of an image that is shrunk by averaging."""
    pixels = np.asarray(image.reduce(shrink))
    rows, columns = (side // 96 for side in pixels.shape[:2])
    cut = pixels[: rows * 96, : columns * 96].reshape(rows, 96, columns, 96, 3).swapaxes(1, 2)
    return cut.reshape(-1, 96, 96, 3)[:MOST_PATCHES]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", nargs="+")
    parser.add_argument("--model", default="d4net-m")
    arguments = parser.parse_args()
    run = load_run(arguments.model)
    print("| tile | " + " | ".join(f"shrunk by {shrink}" for shrink in SHRINK) + " |")
    print("|---" * (len(SHRINK) + 1) + "|")
    for name in arguments.tiles:
        image = Image.open(name).convert("RGB")
        flagged = [[bool(each) for each in run.warnings(patches_of(image, shrink))] for shrink in SHRINK]
        print(f"| {Path(name).stem} | " + " | ".join(f"{np.mean(each):.0%} of {len(each)}" for each in flagged) + " |")


if __name__ == "__main__":
    main()
