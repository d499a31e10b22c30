"""Measure changes to the data, targets, loss, pooling and augmentation of `d4net` on stain clusters held out.

    python benchmarks/flagship_changes.py pcam-small.zip pcam-extra.zip pcam-more.zip
    python benchmarks/flagship_changes.py pcam-small.zip pcam-extra.zip pcam-more.zip --report

With ``--patches 20000 --seeds 0 1 2 --folds 0 --only distilled``: what a change that ships gains at full size.
With ``--time``: how long an epoch takes; nothing is stored.

Each training: `d4net-s`, 8,000 patches of three of the four folds of ``scripts/folds.npz``, 8 epochs, seed 0. All
changes are measured on one fold before the next begins, on its patches as they are, without the hard negatives, and
at 0.7 and 1.3 of their brightness. Results are appended to ``benchmarks/results/flagship_changes.jsonl``, and a second
call goes on. Differences have 95 % intervals over clusters (jackknife, Student's t); AUCs of several seeds are
averaged.

A line of results counts, for each pair of clusters, the pairs of a tumour patch of the first and a normal patch of the
second in which the tumour patch has the larger logit (ties count one half). From these counts follow the AUC of all
patches and that without a cluster, exactly.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import keras
import numpy as np
import pandas as pd
from keras import ops

from make_folds import FOLDS, read_training_patches
from make_teacher import BATCH, FOLDS_FILE, LOGITS_FILE, LOGITS_FOLD
from sentinode import PatchSet, TrainConfig, build_model
from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.inference.keras_predictor import inference_network
from sentinode.inference.logits import probability, tumour_logit
from sentinode.layers.augmentation import augmented
from sentinode.machine import keep_freed_memory
from sentinode.metrics.intervals.jackknife import limits
from sentinode.training.recipe.averaging import BATCHES, WeightAverage
from sentinode.training.recipe.compile import accelerated, compile_model

PATCHES, EPOCHS = 8_000, 8
BRIGHTNESS = (1.0, 0.7, 1.3)
RESULTS = Path(__file__).parent / "results" / "flagship_changes.jsonl"


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

    change: str
    patches: int
    fold: int
    seed: int

    @property
    def possible(self) -> bool:
        """Whether the teacher, if there is one, has not seen the fold."""
        return not CHANGES[self.change].distilled or self.fold == LOGITS_FOLD


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--patches", type=int, default=PATCHES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--only", choices=CHANGES, nargs="+", default=list(CHANGES), help="besides the recipe")
    parser.add_argument("--report", action="store_true", help="only print the table")
    parser.add_argument("--time", action="store_true", help="only print the duration of an epoch of each change")
    arguments = parser.parse_args()
    keep_freed_memory()
    names = [name for name in CHANGES if name == BASE or name in arguments.only]
    trainings = [
        Training(name, arguments.patches, fold, seed)
        for seed in arguments.seeds
        for fold in arguments.folds
        for name in names
    ]
    if arguments.time:
        table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
        for training in trainings[: len(names)]:
            time_epoch(training, patches, table)
        return
    if not arguments.report:
        table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
        for training in trainings:
            if training.possible and training not in stored():
                began = time.monotonic()
                result = measured(training, patches, table)
                line = {**vars(training), "seconds": round(time.monotonic() - began), **result}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(f"{training}: {line['seconds']} s", flush=True)
    report(names, trainings)


def stored() -> dict[Training, dict[str, Any]]:
    """Return the results so far."""
    lines = map(json.loads, RESULTS.read_text().splitlines()) if RESULTS.exists() else ()
    return {Training(*(line[field.name] for field in fields(Training))): line for line in lines}


def held_out(table: pd.DataFrame, fold: int) -> np.ndarray:
    """Return the rows that are measured: a fold without its hard negatives."""
    return np.flatnonzero((table["fold"] == fold) & ~table["hard"])


def measured(training: Training, patches: PatchSet, table: pd.DataFrame) -> dict[str, Any]:
    """Train, and return the counts of the fold at each brightness."""
    change = CHANGES[training.change]
    rows, target = training_rows(training, table)
    network = trained(change, patches.select(rows), target, training.seed, round(change.epoch_factor * EPOCHS))
    tested = held_out(table, training.fold)
    predictor, chosen = inference_network(network), patches.select(tested)
    labels, clusters = (table[column].to_numpy()[tested] for column in ("label", "cluster"))
    names = np.unique(clusters)[:, None]  # Some have patches of one class only.
    wins = {}
    for factor in BRIGHTNESS:
        logits = []
        for start in range(0, len(chosen), BATCH):
            pixels = chosen.read(range(start, min(start + BATCH, len(chosen))))
            changed = PERTURBATIONS["brightness"](pixels, factor)
            logits.append(tumour_logit(predictor.predict_on_batch(changed)))
        wins[f"{factor}"] = count_wins(labels, np.concatenate(logits), clusters).tolist()
    tumour, normal = (np.sum(clusters[labels == label] == names, axis=1).tolist() for label in (1, 0))
    return {"tumour": tumour, "normal": normal, "wins": wins}


def training_rows(training: Training, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on, and the target of each."""
    change, fold = CHANGES[training.change], training.fold
    candidates = np.flatnonzero((table["fold"] != fold) & (change.hard_negatives | ~table["hard"]))
    rows = np.random.default_rng([training.seed, fold]).permutation(candidates)
    rows = rows[: round(change.patch_factor * training.patches)]
    if not change.distilled:
        return rows, table["label"].to_numpy()[rows].astype(np.float32)
    with np.load(LOGITS_FILE) as file:
        return rows, probability(file["logits"][rows].astype(np.float64).mean(axis=1)).astype(np.float32)


def time_epoch(training: Training, patches: PatchSet, table: pd.DataFrame) -> None:
    """Print the duration of trainings of one and of three epochs, and of an epoch without compilation."""
    rows, target = training_rows(training, table)
    chosen, durations = patches.select(rows), {}
    for epochs in (1, 3):
        began = time.monotonic()
        trained(CHANGES[training.change], chosen, target, training.seed, epochs)
        durations[epochs] = time.monotonic() - began
    epoch = (durations[3] - durations[1]) / 2
    print(f"{training}: one epoch {durations[1]:.0f} s, three {durations[3]:.0f} s, so {epoch:.0f} s for each epoch")


def count_wins(labels: np.ndarray, logits: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return, for each pair of clusters, how often tumour of the first has a larger logit than normal of the second."""
    names, wins = np.unique(clusters), []
    for name in names:
        normal = np.sort(logits[(clusters == name) & (labels == 0)])
        tumour = [logits[(clusters == other) & (labels == 1)] for other in names]
        both = [[np.searchsorted(normal, values, side).sum() for values in tumour] for side in ("left", "right")]
        wins.append(np.mean(both, axis=0))
    return np.stack(wins, axis=1)


def trained(change: Change, patches: PatchSet, target: np.ndarray, seed: int, epochs: int) -> keras.Model:
    """Train with the flagship recipe, in float32, and return the network with averaged weights."""
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


def report(names: list[str], trainings: list[Training]) -> None:
    """Print AUCs by fold, and the mean difference from the recipe on the same folds with its interval."""
    results = stored()
    titles = ("change", "trainings", "AUC by fold", "mean", "minus recipe (95 % interval)", "at 0.7", "at 1.3")
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for name in names:
        pairs = {each: replace(each, change=BASE) for each in trainings if each.change == name}
        pairs = {each: base for each, base in pairs.items() if each in results and base in results}
        if not pairs:
            continue
        aucs = {factor: [auc(results[each], factor) for each in pairs] for factor in BRIGHTNESS}
        by_fold = pd.Series(aucs[1.0]).groupby([each.fold for each in pairs]).mean()
        difference = np.mean([auc(results[each]) - auc(results[base]) for each, base in pairs.items()])
        moved: dict[int, np.ndarray] = {}
        for each, base in pairs.items():
            change = (displacements(results[each]) - displacements(results[base])) / len(pairs)
            moved[each.fold] = moved.get(each.fold, 0) + change
        low, high = limits(difference, np.concatenate(list(moved.values())), "plain") or (difference, difference)
        cells = [CHANGES[name].title, f"{len(pairs)}", ", ".join(f"{value:.4f}" for value in by_fold)]
        cells += [f"{np.mean(aucs[1.0]):.4f}", f"{difference:+.4f} ({low:+.4f} to {high:+.4f})" if name != BASE else ""]
        cells += [f"{np.mean(aucs[factor]):.4f}" for factor in BRIGHTNESS[1:]]
        print("| " + " | ".join(cells) + " |")


def auc(result: dict[str, Any], factor: float = 1.0) -> float:
    """Return the AUC at a brightness."""
    return float(np.sum(result["wins"][f"{factor}"]) / (np.sum(result["tumour"]) * np.sum(result["normal"])))


def displacements(result: dict[str, Any]) -> np.ndarray:
    """Return the AUC minus the AUC without each cluster."""
    wins, tumour, normal = (np.asarray(each) for each in (result["wins"]["1.0"], result["tumour"], result["normal"]))
    left = wins.sum() - wins.sum(axis=0) - wins.sum(axis=1) + np.diag(wins)
    return auc(result) - left / ((tumour.sum() - tumour) * (normal.sum() - normal))


if __name__ == "__main__":
    main()
