"""Measure how much faster d4net scans a region than it predicts the patches of the region one by one.

    python benchmarks/scan.py --size s

Patches lie 32 px apart, so each overlaps its neighbors by two thirds, and the scan computes the overlap once. Both
methods use the same plain network, backend and float32, each with the batch size that suits it best. Pixels are
random; cutting patches out is not included. Prints both rates, their ratio, and the ratio of their FLOPs.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sentinode  # isort: skip # noqa: F401  # Before Keras: it sets up TensorFlow.
import keras
import numpy as np

from sentinode import build_model
from sentinode.machine import keep_freed_memory
from sentinode.models.d4net import WIDTHS
from sentinode.models.flops import flops
from sentinode.models.plain import plain_network

STEP_PX = 32


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="s", choices=WIDTHS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grid", type=int, default=20, help="number of patches along each side of the region")
    arguments = parser.parse_args()
    keep_freed_memory()
    model = build_model("d4net", size=arguments.size)
    patch_network, scanner = plain_network(model), plain_network(model, step_px=STEP_PX)
    side, count = 96 + STEP_PX * (arguments.grid - 1), arguments.grid**2
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
    methods: dict[str, Callable[[], object]] = {
        f"single patches, batch {batch}": lambda batch=batch: [
            patch_network.predict_on_batch(patches[at : at + batch]) for at in range(0, count, batch)
        ]
        for batch in (32, 64, 128)
    }
    for batch in (1, 2, 4):
        regions = rng.integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
        methods[f"region scan, batch {batch}"] = lambda regions=regions: scanner.predict_on_batch(regions)
    rates: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(arguments.rounds + 1):
        for name, method in methods.items():
            patches_done = count * (int(name.split()[-1]) if name.startswith("region") else 1)
            started = time.perf_counter()
            method()
            if turn:  # The first round compiles.
                rates[name].append(patches_done / (time.perf_counter() - started))
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    print("| method | patches/s, median (min–max) |\n|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {medians[name]:.0f} ({min(values):.0f}–{max(values):.0f}) |")
    best = {kind: max(rate for name, rate in medians.items() if name.startswith(kind)) for kind in ("single", "region")}
    layers = [layer for layer in scanner.layers if isinstance(layer, keras.layers.Conv2D)]
    work = flops(patch_network) * count / scan_flops(layers, side)
    ratio = best["region"] / best["single"]
    print(
        f"\nd4net-{arguments.size}, {STEP_PX} px apart, region of {side} px: scanning is {ratio:.1f} times as fast; "
        f"the saved work accounts for {work:.1f} times. Float32, {keras.backend.backend()}, "
        f"{arguments.rounds} rounds in turn; "
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}"
    )


def scan_flops(convolutions: list[keras.layers.Conv2D], side_px: int) -> float:
    """Return the FLOPs of a region; the last convolution, on pooled features, is negligible."""
    total = 0.0
    for layer in convolutions[:-1]:
        kernel, _, channels, filters = layer.kernel.shape
        side_px = (side_px - kernel) // layer.strides[0] + 1
        total += 2 * side_px**2 * kernel**2 * channels * filters
    return total


if __name__ == "__main__":
    main()
