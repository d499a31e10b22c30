"""Measure changes to the data, targets, loss, pooling and augmentation of `d4net` on stain clusters held out.

    python benchmarks/flagship_changes.py pcam-small.zip pcam-extra.zip pcam-more.zip --work DIR
    python benchmarks/flagship_changes.py pcam-small.zip pcam-extra.zip pcam-more.zip --work DIR --report

Each training: `d4net-s`, 8,000 patches of three of the four folds of ``scripts/folds.npz``, 8 epochs, seed 0. All
changes are measured on one fold before the next begins, on its patches as they are, without the hard negatives, and
at 0.7 and 1.3 of their brightness. Logits are kept in DIR, and a second call goes on. Differences have 95 % intervals
over clusters, which are drawn with replacement within each fold (1,000 times).
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import keras
import numpy as np
import pandas as pd
from keras import ops
from sklearn.metrics import roc_auc_score

from make_folds import FOLDS, read_training_patches
from make_teacher import BATCH, FOLDS_FILE
from sentinode import PatchSet, TrainConfig, build_model
from sentinode.inference.keras_predictor import inference_network
from sentinode.inference.logits import probability, tumour_logit
from sentinode.layers.augmentation import augmented
from sentinode.layers.d4 import D4Conv
from sentinode.machine import keep_freed_memory
from sentinode.storage import atomic_file
from sentinode.training.recipe.averaging import BATCHES, WeightAverage
from sentinode.training.recipe.compile import accelerated, compile_model

PATCHES, EPOCHS, SEED, SAMPLES = 8_000, 8, 0, 1_000
BRIGHTNESS = (1.0, 0.7, 1.3)
TEACHER = Path(__file__).parents[1] / "scripts" / "teachers" / "lite0-fold0.npz"
TEACHER_FOLD = 0


@dataclass(frozen=True, kw_only=True)
class Change:
    """What differs from the flagship recipe."""

    title: str
    patches: int = PATCHES
    epochs: int = EPOCHS
    hard_negatives: bool = False
    distilled: bool = False
    loss: Any = None
    positions: bool = False
    relative: bool = False
    augment: tuple[str, ...] = ("affine", "blur", "stain")


class GeneralizedCrossentropy(keras.losses.Loss):
    """Interpolate between cross-entropy (q near 0) and mean absolute error (q = 1).

    Zhang & Sabuncu (2018), Generalized cross entropy loss for training deep neural networks with noisy labels.
    """

    def __init__(self, q: float) -> None:
        super().__init__()
        self.q = q

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each patch."""
        right = ops.clip(y_true * y_pred + (1 - y_true) * (1 - y_pred), 1e-6, 1.0)
        return ops.mean((1 - right**self.q) / self.q, axis=-1)


class WeightedPositions(keras.layers.Layer):
    """Weighted mean over 4 × 4 positions, with one learned weight each for the center, the edges and the corners."""

    def build(self, input_shape: Any) -> None:
        """Create the weights, equal at first."""
        self.logits = self.add_weight(name="logits", shape=(3,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Return the weighted mean."""
        group = np.array([[2, 1, 1, 2], [1, 0, 0, 1], [1, 0, 0, 1], [2, 1, 1, 2]])
        weights = ops.softmax(ops.reshape(ops.take(self.logits, group.ravel()), (16,)))
        return ops.einsum("nijc,ij->nc", inputs, ops.reshape(weights, (4, 4)))


class LogPixels(keras.layers.Layer):
    """Logarithm of pixels, with about the mean and standard deviation that the scaled pixels have."""

    def call(self, inputs: Any) -> Any:
        """Return values of 0 to 255 on a logarithmic scale."""
        return 2.5 * (ops.log(ops.maximum(ops.cast(inputs, self.compute_dtype), 8.0) / 255.0) + 0.6)


class BalancedConv(D4Conv):
    """A convolution whose kernels sum to zero: a constant that is added to all its inputs has no effect."""

    def full_kernel(self) -> Any:
        """Return the kernel of the equivalent ordinary convolution."""
        kernel = super().full_kernel()
        return kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)


CHANGES = {
    "recipe": Change(title="flagship recipe"),
    "brightness": Change(title="+ brightness augmentation", augment=("affine", "blur", "stain", "brightness")),
    "distilled": Change(title="targets: mean logit of EfficientNet-Lite0 in 8 orientations", distilled=True),
    "loss": Change(title="generalized cross-entropy, q = 0.5", loss=GeneralizedCrossentropy(0.5)),
    "hard": Change(title="hard negatives in their proportion (6 %)", hard_negatives=True),
    "more": Change(title="a third more patches in as many steps", patches=10_667, epochs=6),
    "positions": Change(title="learned weights of positions", positions=True),
    "relative": Change(title="logarithm of pixels, kernels of the first layer sum to zero", relative=True),
    "relative-distilled": Change(title="the same, with the teacher's targets", relative=True, distilled=True),
}


def main() -> None:
    """Train what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--report", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    keep_freed_memory()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    arguments.work.mkdir(parents=True, exist_ok=True)
    if not arguments.report:
        for fold in range(FOLDS):
            for name, change in CHANGES.items():
                file = result(arguments.work, name, fold)
                if file.exists() or (change.distilled and fold != TEACHER_FOLD):
                    continue
                began = time.monotonic()
                found = measured(change, patches, table, fold)
                with atomic_file(file) as temporary, temporary.open("wb") as stream:
                    np.savez_compressed(stream, **found)
                print(f"fold {fold}, {name}: {time.monotonic() - began:.0f} s", flush=True)
    report(arguments.work, table)


def result(work: Path, name: str, fold: int) -> Path:
    """Return the file with the logits of a training."""
    return work / f"{name}-fold{fold}.npz"


def held_out(table: pd.DataFrame, fold: int) -> np.ndarray:
    """Return the rows that are measured: a fold without its hard negatives."""
    return np.flatnonzero((table["fold"] == fold) & ~table["hard"])


def measured(change: Change, patches: PatchSet, table: pd.DataFrame, fold: int) -> dict[str, np.ndarray]:
    """Train, and return the logits of the fold at each brightness."""
    candidates = np.flatnonzero((table["fold"] != fold) & (change.hard_negatives | ~table["hard"]))
    rows = np.random.default_rng([SEED, fold]).permutation(candidates)[: change.patches]
    target = table["label"].to_numpy()[rows].astype(np.float32)
    if change.distilled:
        with np.load(TEACHER) as stored:
            target = probability(stored["logits"][rows].astype(np.float64).mean(axis=1)).astype(np.float32)
    network = trained(change, patches.select(rows), target)
    predictor, chosen = inference_network(network), patches.select(held_out(table, fold))
    found = {}
    for factor in BRIGHTNESS:
        logits = []
        for start in range(0, len(chosen), BATCH):
            pixels = chosen.read(range(start, min(start + BATCH, len(chosen))))
            pixels = np.clip(np.rint(pixels * factor), 0, 255).astype(np.uint8)
            logits.append(tumour_logit(predictor.predict_on_batch(pixels)))
        found[f"brightness {factor}"] = np.concatenate(logits)
    return found


def trained(change: Change, patches: PatchSet, target: np.ndarray) -> keras.Model:
    """Train with the flagship recipe, in float32, and return the network with averaged weights."""
    config = TrainConfig.recipe(
        "flagship", epochs=change.epochs, warmup_epochs=change.epochs / 10, precision="float32", augment=change.augment
    )
    keras.utils.set_random_seed(SEED)
    pixels = patches.read(range(len(patches)))
    network = build_model("d4net", size="s", seed=SEED)
    if change.positions:
        network = with_positions(network)
    if change.relative:
        network = with_relative_input(network)
    learner = augmented(network, config.augment, config.augment_strength)
    compile_model(learner, config, -(-len(pixels) // config.batch_size))
    loss = change.loss or keras.losses.BinaryCrossentropy(label_smoothing=config.label_smoothing)
    learner.compile(optimizer=learner.optimizer, loss=loss)
    starts = range(0, BATCHES * config.batch_size, config.batch_size)
    average = WeightAverage(learner, network, lambda: (pixels[at : at + config.batch_size] for at in starts))
    with accelerated(network, "float32"):
        learner.fit(pixels, target[:, None], batch_size=config.batch_size, epochs=config.epochs, verbose=0)
        average.load()
    return network


def with_positions(network: keras.Model) -> keras.Model:
    """Replace the mean over positions."""
    x = WeightedPositions(name="weighted_positions")(network.get_layer("mean_over_positions").input)
    for layer in network.layers[network.layers.index(network.get_layer("mean_over_positions")) + 1 :]:
        x = layer(x)
    return keras.Model(network.input, x, name=network.name)


def with_relative_input(network: keras.Model) -> keras.Model:
    """Make the output independent of a factor on all pixels, such as the brightness of a scanner."""
    first = network.get_layer("conv_1")
    x = LogPixels(name="log")(network.input)
    x = BalancedConv.from_config(first.get_config())(x)
    for layer in network.layers[network.layers.index(first) + 1 :]:
        x = layer(x)
    return keras.Model(network.input, x, name=network.name)


def report(work: Path, table: pd.DataFrame) -> None:
    """Print AUCs by fold, and the mean difference from the recipe on the same folds with its interval."""
    base = next(iter(CHANGES))
    titles = ("change", "folds", "AUC by fold", "mean", "minus recipe (95 % interval)", "at 0.7", "at 1.3")
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for name, change in CHANGES.items():
        folds = [fold for fold in range(FOLDS) if result(work, name, fold).exists()]
        if not folds or not all(result(work, base, fold).exists() for fold in folds):
            continue
        logits = {fold: dict(np.load(result(work, name, fold))) for fold in folds}
        recipe = {fold: np.load(result(work, base, fold))["brightness 1.0"] for fold in folds}
        by_factor = {}
        for factor in BRIGHTNESS:
            key = f"brightness {factor}"
            by_factor[factor] = [auc(table, fold, logits[fold][key]) for fold in folds]
        clear = {fold: logits[fold]["brightness 1.0"] for fold in folds}
        difference = np.mean(by_factor[1.0]) - np.mean([auc(table, fold, recipe[fold]) for fold in folds])
        low, high = interval(table, clear, recipe)
        cells = [change.title, f"{len(folds)}", ", ".join(f"{value:.4f}" for value in by_factor[1.0])]
        cells += [f"{np.mean(by_factor[1.0]):.4f}", f"{difference:+.4f} ({low:+.4f} to {high:+.4f})"]
        cells += [f"{np.mean(by_factor[factor]):.4f}" for factor in BRIGHTNESS[1:]]
        if name == base:
            cells[4] = ""
        print("| " + " | ".join(cells) + " |")


def auc(table: pd.DataFrame, fold: int, logits: np.ndarray) -> float:
    """Return the AUC on a fold."""
    return float(roc_auc_score(table["label"].to_numpy()[held_out(table, fold)], logits))


def interval(table: pd.DataFrame, ours: dict[int, np.ndarray], base: dict[int, np.ndarray]) -> tuple[float, float]:
    """Return the interval of the mean difference over folds, by drawing clusters of each fold with replacement."""
    rng, differences = np.random.default_rng(SEED), np.zeros(SAMPLES)
    for fold, logits in ours.items():
        rows = held_out(table, fold)
        labels, clusters = table["label"].to_numpy()[rows], table["cluster"].to_numpy()[rows]
        members = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters)]
        for number in range(SAMPLES):
            at = np.concatenate([members[each] for each in rng.integers(0, len(members), len(members))])
            values = [roc_auc_score(labels[at], each[at]) for each in (logits, base[fold])]
            differences[number] += (values[0] - values[1]) / len(ours)
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
