"""Measure changes to the data, targets, loss, pooling and augmentation of `d4net` on stain clusters held out.

    python benchmarks/flagship_changes.py pcam-small.zip pcam-extra.zip pcam-more.zip --work DIR
    python benchmarks/flagship_changes.py pcam-small.zip pcam-extra.zip pcam-more.zip --work DIR --report

With ``--patches 20000 --seeds 0 1 2 --folds 0 --only distilled``: what a change that ships gains at full size.

Each training: `d4net-s`, 8,000 patches of three of the four folds of ``scripts/folds.npz``, 8 epochs, seed 0. All
changes are measured on one fold before the next begins, on its patches as they are, without the hard negatives, and
at 0.7 and 1.3 of their brightness. Logits are kept in DIR, and a second call goes on. Differences have 95 % intervals
over clusters, which are drawn with replacement within each fold (1,000 times); AUCs of several seeds are averaged.
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
from sentinode.machine import keep_freed_memory
from sentinode.storage import atomic_file
from sentinode.training.recipe.averaging import BATCHES, WeightAverage
from sentinode.training.recipe.compile import accelerated, compile_model

PATCHES, EPOCHS, SAMPLES = 8_000, 8, 1_000
BRIGHTNESS = (1.0, 0.7, 1.3)
TEACHER = Path(__file__).parents[1] / "scripts" / "teachers" / "lite0-fold0.npz"
TEACHER_FOLD = 0


@dataclass(frozen=True, kw_only=True)
class Change:
    """What differs from the flagship recipe."""

    title: str
    patch_factor: float = 1.0
    epoch_factor: float = 1.0
    hard_negatives: bool = False
    distilled: bool = False
    loss: Any = None
    positions: bool = False
    brightness_invariant: bool = False
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


BASE = "recipe"
CHANGES = {
    BASE: Change(title="flagship recipe"),
    "brightness": Change(title="+ brightness augmentation", augment=("affine", "blur", "stain", "brightness")),
    "distilled": Change(title="targets: mean logit of EfficientNet-Lite0 in 8 orientations", distilled=True),
    "loss": Change(title="generalized cross-entropy, q = 0.5", loss=GeneralizedCrossentropy(0.5)),
    "hard": Change(title="hard negatives in their proportion (6 %)", hard_negatives=True),
    "more": Change(title="a third more patches in as many steps", patch_factor=4 / 3, epoch_factor=3 / 4),
    "positions": Change(title="learned weights of positions", positions=True),
    "invariant": Change(title="logarithm of pixels, kernels of the first layer sum to zero", brightness_invariant=True),
    "invariant-distilled": Change(title="the same, the teacher's targets", brightness_invariant=True, distilled=True),
}


@dataclass(frozen=True)
class Training:
    """One training of the benchmark."""

    name: str
    patches: int
    fold: int
    seed: int

    def file(self, work: Path) -> Path:
        """Return where its logits are kept."""
        return work / f"{self.name}-{self.patches}-fold{self.fold}-seed{self.seed}.npz"

    @property
    def possible(self) -> bool:
        """Whether the teacher, if there is one, has not seen the fold."""
        return not CHANGES[self.name].distilled or self.fold == TEACHER_FOLD


def main() -> None:
    """Train what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patches", type=int, default=PATCHES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--only", choices=CHANGES, nargs="+", default=list(CHANGES), help="besides the recipe")
    parser.add_argument("--report", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    keep_freed_memory()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    arguments.work.mkdir(parents=True, exist_ok=True)
    names = [name for name in CHANGES if name == BASE or name in arguments.only]
    for seed in () if arguments.report else arguments.seeds:
        for fold in arguments.folds:
            for name in names:
                training = Training(name, arguments.patches, fold, seed)
                file = training.file(arguments.work)
                if file.exists() or not training.possible:
                    continue
                began = time.monotonic()
                found = measured(training, patches, table)
                with atomic_file(file) as temporary, temporary.open("wb") as stream:
                    np.savez_compressed(stream, **found)
                print(f"{file.stem}: {time.monotonic() - began:.0f} s", flush=True)
    report(arguments, names, table)


def held_out(table: pd.DataFrame, fold: int) -> np.ndarray:
    """Return the rows that are measured: a fold without its hard negatives."""
    return np.flatnonzero((table["fold"] == fold) & ~table["hard"])


def measured(training: Training, patches: PatchSet, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Train, and return the logits of the fold at each brightness."""
    change, fold = CHANGES[training.name], training.fold
    candidates = np.flatnonzero((table["fold"] != fold) & (change.hard_negatives | ~table["hard"]))
    rows = np.random.default_rng([training.seed, fold]).permutation(candidates)
    rows = rows[: round(change.patch_factor * training.patches)]
    target = table["label"].to_numpy()[rows].astype(np.float32)
    if change.distilled:
        with np.load(TEACHER) as stored:
            target = probability(stored["logits"][rows].astype(np.float64).mean(axis=1)).astype(np.float32)
    network = trained(change, patches.select(rows), target, training.seed)
    predictor, chosen = inference_network(network), patches.select(held_out(table, fold))
    found = {}
    for factor in BRIGHTNESS:
        logits = []
        for start in range(0, len(chosen), BATCH):
            pixels = chosen.read(range(start, min(start + BATCH, len(chosen))))
            pixels = np.clip(np.rint(pixels * factor), 0, 255).astype(np.uint8)
            logits.append(tumour_logit(predictor.predict_on_batch(pixels)))
        found[key(factor)] = np.concatenate(logits)
    return found


def trained(change: Change, patches: PatchSet, target: np.ndarray, seed: int) -> keras.Model:
    """Train with the flagship recipe, in float32, and return the network with averaged weights."""
    epochs = round(change.epoch_factor * EPOCHS)
    config = TrainConfig.recipe(
        "flagship", epochs=epochs, warmup_epochs=epochs / 10, precision="float32", augment=change.augment
    )
    keras.utils.set_random_seed(seed)
    pixels = patches.read(range(len(patches)))
    network = build_model("d4net", size="s", brightness_invariant=change.brightness_invariant, seed=seed)
    if change.positions:
        network = with_positions(network)
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


def report(arguments: argparse.Namespace, names: list[str], table: pd.DataFrame) -> None:
    """Print AUCs by fold, and the mean difference from the recipe on the same folds with its interval."""
    titles = ("change", "trainings", "AUC by fold", "mean", "minus recipe (95 % interval)", "at 0.7", "at 1.3")
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for name in names:
        both = [
            (Training(name, arguments.patches, fold, seed), Training(BASE, arguments.patches, fold, seed))
            for fold in arguments.folds
            for seed in arguments.seeds
        ]
        both = [pair for pair in both if all(each.file(arguments.work).exists() for each in pair)]
        if not both:
            continue
        ours = [dict(np.load(training.file(arguments.work))) for training, _ in both]
        base = [np.load(training.file(arguments.work))[key(1.0)] for _, training in both]
        folds = [training.fold for training, _ in both]
        aucs = {
            factor: [auc(table, fold, each[key(factor)]) for fold, each in zip(folds, ours, strict=True)]
            for factor in BRIGHTNESS
        }
        by_fold = pd.Series(aucs[1.0]).groupby(folds).mean()
        pairs = [(fold, each[key(1.0)], other) for fold, each, other in zip(folds, ours, base, strict=True)]
        difference = np.mean([auc(table, fold, each) - auc(table, fold, other) for fold, each, other in pairs])
        low, high = interval(table, pairs)
        cells = [CHANGES[name].title, f"{len(both)}", ", ".join(f"{value:.4f}" for value in by_fold)]
        cells += [f"{np.mean(aucs[1.0]):.4f}", f"{difference:+.4f} ({low:+.4f} to {high:+.4f})"]
        cells += [f"{np.mean(aucs[factor]):.4f}" for factor in BRIGHTNESS[1:]]
        if name == BASE:
            cells[4] = ""
        print("| " + " | ".join(cells) + " |")


def key(factor: float) -> str:
    """Return the name of the logits at a brightness."""
    return f"brightness {factor}"


def auc(table: pd.DataFrame, fold: int, logits: np.ndarray) -> float:
    """Return the AUC on a fold."""
    return float(roc_auc_score(table["label"].to_numpy()[held_out(table, fold)], logits))


def interval(table: pd.DataFrame, pairs: list[tuple[int, np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Return the interval of the mean difference, by drawing clusters of each fold with replacement.

    Trainings on one fold are compared on the same clusters.
    """
    differences = np.zeros(SAMPLES)
    for fold, ours, base in pairs:
        rng, rows = np.random.default_rng(fold), held_out(table, fold)
        labels, clusters = table["label"].to_numpy()[rows], table["cluster"].to_numpy()[rows]
        members = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters)]
        for number in range(SAMPLES):
            at = np.concatenate([members[each] for each in rng.integers(0, len(members), len(members))])
            values = [roc_auc_score(labels[at], each[at]) for each in (ours, base)]
            differences[number] += (values[0] - values[1]) / len(pairs)
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
