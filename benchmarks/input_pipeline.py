"""Measure whether training waits for its input: one epoch from the cache against `fit` on arrays in memory.

    python benchmarks/input_pipeline.py DATA                      # on the backend that KERAS_BACKEND names

Both train the classic network with the classic recipe on the same patches of `train`, in turn. Of `train`, with
everything it does in each step, the second of two epochs counts, without validation; of `fit` one epoch, after a
warm-up epoch. Prints seconds, patches/s and the ratio of each pair.
"""

import argparse
import os
import platform
import tempfile
import time

import sentinode  # isort: skip # noqa: F401  # Before Keras: it sets up TensorFlow.
import keras
import numpy as np

from sentinode import PatchSet, TrainConfig, build_model, open_patches, train
from sentinode.keras_compat.training_speed import activation_after_pooling
from sentinode.machine import keep_freed_memory
from sentinode.models.precision import mixed_precision
from sentinode.training.recipe.compile import compile_model

BATCH_SIZE = TrainConfig().batch_size
VALIDATED = 64


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--patches", type=int, default=3200)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    arguments = parser.parse_args()
    keep_freed_memory()  # As the command line does.
    patches = open_patches(arguments.data)
    training, validation = (np.flatnonzero(patches.table["split"] == name) for name in ("train", "valid"))
    some = np.random.default_rng(0).permutation(training)[: arguments.patches]
    apart = max(1, len(validation) // VALIDATED)  # Evenly spaced, because patches may be sorted by class.
    validated = validation[::apart][:VALIDATED]
    patches = patches.select(np.concatenate([some, validated])).cached()
    few = patches.split("train")
    pixels, labels = few.read(), few.labels.astype(np.float32)[:, None]
    model = build_model("cnn")
    with mixed_precision(model, arguments.precision), activation_after_pooling(model):
        compile_model(model, TrainConfig(), steps_per_epoch=-(-len(few) // BATCH_SIZE))
        measure(model, patches, pixels, labels, arguments)


def measure(
    model: keras.Model, patches: PatchSet, pixels: np.ndarray, labels: np.ndarray, arguments: argparse.Namespace
) -> None:
    """Train both ways in turn and print the table."""

    def from_cache() -> float:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(epochs=2, precision=arguments.precision)
            return float(train(build_model("cnn"), patches, config, out=folder).history["train_s"].iloc[1])

    def from_memory() -> float:
        started = time.perf_counter()
        model.fit(pixels, labels, batch_size=BATCH_SIZE, epochs=1, verbose=0)
        return time.perf_counter() - started

    from_memory()
    pairs = np.array([(from_cache(), from_memory()) for _ in range(arguments.pairs)])
    ratios = pairs[:, 0] / pairs[:, 1]
    cache_s, memory_s = np.median(pairs, axis=0)
    print(
        "| backend | cache, median s | memory, median s | cache / memory, median (min–max) | patches/s from the cache |"
    )
    print("|---|---|---|---|---|")
    print(
        f"| {keras.backend.backend()} | {cache_s:.2f} | {memory_s:.2f} "
        f"| {np.median(ratios):.3f} ({ratios.min():.3f}–{ratios.max():.3f}) | {len(pixels) / cache_s:.0f} |"
    )
    print(
        f"\n{len(pixels):,} patches, {arguments.pairs} pairs, {arguments.precision}; {time.strftime('%Y-%m-%d')}; "
        f"{os.cpu_count()} cores, {platform.machine()}; Keras {keras.__version__}"
    )


if __name__ == "__main__":
    main()
