"""Measure the share of patches that each quality check flags: unchanged, blurred, painted or brightened.

python benchmarks/quality_checks.py pcam-small.zip kaggle-mini.zip
"""

import argparse
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sentinode import open_patches
from sentinode.data.quality.checks import CHECKS, check_pixels


def _image(change: Callable[[Image.Image], Image.Image]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: np.stack([np.asarray(change(Image.fromarray(patch))) for patch in pixels])


def _line(color: tuple[int, int, int], width: int) -> Callable[[np.ndarray], np.ndarray]:
    def draw(image: Image.Image) -> Image.Image:
        ImageDraw.Draw(image).line((0, 80, 95, 15), fill=color, width=width)
        return image

    return _image(draw)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda pixels: pixels,
    **{
        f"Gaussian of {sigma_px} px": _image(lambda image, s=sigma_px: image.filter(ImageFilter.GaussianBlur(s)))
        for sigma_px in (1.0, 1.5, 2.0, 3.0)
    },
    "green line, 10 px": _line((20, 110, 60), 10),
    **{
        f"{name} line, 10 px": _line(color, 10)
        for name, color in {
            "blue": (30, 80, 200),
            "pure blue": (0, 0, 255),
            "navy": (0, 0, 128),
            "ink blue": (20, 30, 120),
            "pen blue": (40, 50, 140),
            "violet blue": (50, 40, 150),
            "violet": (110, 40, 160),
            "gray": (55, 55, 60),
        }.items()
    },
    "black line, 10 px": _line((20, 20, 22), 10),
    "black line, 30 px": _line((20, 20, 22), 30),
    "100 levels brighter": lambda pixels: np.clip(pixels.astype(np.int16) + 100, 0, 255).astype(np.uint8),
}


def main() -> None:
    """Print one table per source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--every", type=int, default=1, help="use every N-th patch (default: 1)", metavar="N")
    arguments = parser.parse_args()
    for source in arguments.sources:
        patches = open_patches(source).cached()
        pixels = patches.read(slice(None, None, arguments.every))
        print(f"\n{source}: {len(pixels):,} patches\n")
        print(f"| change | {' | '.join(CHECKS.values())} |")
        print("|---|---|---|---|---|")
        for name, change in CHANGES.items():
            counts = np.zeros(4)
            for start in range(0, len(pixels), 512):
                counts += check_pixels(change(pixels[start : start + 512])).sum().to_numpy()
            print(f"| {name} | " + " | ".join(f"{share:.2%}" for share in counts / len(pixels)) + " |")


if __name__ == "__main__":
    main()
