"""The battery of one backend, in a process of its own: ``KERAS_BACKEND=jax python battery.py FOLDER``.

Prints "made" when its runs are in ``FOLDER/jax``, waits for a line, then reads the runs of all backends.
``test_backends.py`` compares the results.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from sentinode import TrainConfig, build_model, load_run, open_patches, predict, train
from sentinode.data.patchset import PatchSet
from sentinode.errors import TrainingStopped
from sentinode.explanation.attributions import attributions
from sentinode.explanation.gradients import gradient_of
from sentinode.explanation.model_split import split_after_first_layer, split_at_last_feature_map
from sentinode.inference.logits import logit_model
from sentinode.layers.d4 import ORDER, apply_symmetry
from sentinode.models.build import seeded_initializers
from sentinode.models.plain import plain_network
from sentinode.samples import PRETRAINED
from sentinode.training.config import AUGMENTATIONS
from sentinode.training.state.checkpoint import Checkpoint

# Without dropout, whose masks differ between backends.
NETWORKS: dict[str, dict[str, Any]] = {
    "cnn-sigmoid": {"name": "cnn"},
    "cnn-softmax": {"name": "cnn", "output": "softmax"},
    "mlp-sigmoid": {"name": "mlp"},
    "transfer-sigmoid": {"name": "transfer", "backbone": "MobileNet", "trainable": "conv_dw_13", "dropout": 0.0},
    "d4net-sigmoid": {"name": "d4net", "dropout": 0.0},
}
BATCH_SIZE = 4
INTERRUPTIONS = ("within an epoch", "while validating", "after an epoch")


def built(network: str) -> keras.Model:
    return build_model(seed=1, **NETWORKS[network])


def random_network() -> keras.Model:
    """Build a network with random weights, augmentation, dropout and batch normalization."""
    layers = keras.layers
    with seeded_initializers(3):
        return keras.Sequential(
            [
                keras.Input((96, 96, 3), dtype="uint8"),
                layers.Rescaling(1 / 255, name="scale"),
                layers.RandomFlip(name="flip"),
                layers.Conv2D(4, 5, strides=4, activation="relu", name="conv"),
                layers.BatchNormalization(name="norm"),
                layers.GlobalAveragePooling2D(name="pool"),
                layers.Dropout(0.5, name="dropout"),
                layers.Dense(1, activation="sigmoid", name="probability"),
            ],
            name="random",
        )


def save_start(network: str, pixels: np.ndarray, folder: Path) -> None:
    """Write the weights that all backends start from, with the batch statistics of these pixels."""
    model = built(network)
    for layer in model.get_layer("backbone").layers if "transfer" in network else []:
        layer.trainable, layer.momentum = True, 0.0
    model(pixels, training=True)
    model.save_weights(folder / f"{network}.weights.h5")
    np.savez(folder / f"{network}-start.npz", *model.get_weights())


def few_patches() -> tuple[PatchSet, PatchSet]:
    """Return 36 patches to train and validate on, and 12 to predict."""
    patches = open_patches("pcam-mini").cached()
    parts = {name: np.flatnonzero(patches.table["split"] == name) for name in ("train", "valid", "test")}
    rows = [*parts["train"][:: len(parts["train"]) // 24][:24], *parts["valid"][:: len(parts["valid"]) // 12][:12]]
    return patches.select(rows), patches.select(parts["test"][:12])


@dataclass
class Interrupting:
    """Pixels that interrupt the training that reads them, by SIGTERM or by an error of the drive."""

    patches: PatchSet
    when: str
    train_reads: int = 0
    validated: bool = False
    done: bool = False

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read, and interrupt once."""
        validation = self.patches.rows[self.patches.table["split"] == "valid"]
        of_validation = bool(np.isin(rows, validation).any())
        # Other numbers of patches are read to check the channels and the state that training goes on from.
        self.train_reads += not of_validation and len(rows) == BATCH_SIZE
        # Earlier reads are for the metrics and for the examples in TensorBoard.
        validating = of_validation and self.train_reads > 1
        if self.when == "after an epoch" and self.validated and not of_validation:
            raise OSError("the drive is gone")
        self.validated |= validating
        stop = validating if self.when == "while validating" else self.train_reads == 3
        if self.when != "after an epoch" and stop and not self.done:
            self.done = True
            os.kill(os.getpid(), signal.SIGTERM)
        return self.patches.pixels.read(rows)


def one_step(patches: PatchSet, folder: Path, mine: Path) -> None:
    """Train every network for one step from the weights in `folder`; save its initial weights as well."""
    for network in NETWORKS:
        model, again = built(network), built(network)
        np.savez(mine / f"{network}-built.npz", *model.get_weights())
        np.savez(mine / f"{network}-built-again.npz", *again.get_weights())
        model.load_weights(folder / f"{network}.weights.h5")
        train(model, patches, TrainConfig(epochs=1, batch_size=24), out=mine / network)
        np.savez(mine / f"{network}-after.npz", *model.get_weights())


def dropout_twice() -> list[list[float]]:
    """Return the masks of the dropout of two networks with the same seed."""
    ones = np.ones((1, 64), np.float32)
    models = [build_model("transfer", backbone="MobileNet", seed=2) for _ in range(2)]
    through = [model.get_layer("dropout")(ones, training=True) for model in models]
    return [keras.ops.convert_to_numpy(kept)[0].tolist() for kept in through]


def interrupted(patches: PatchSet, mine: Path) -> list[tuple[int, int]]:
    """Train without interruption, then with three; return epoch and step of the checkpoints."""
    settings: dict[str, Any] = {"augment": AUGMENTATIONS, "ema": 0.5, "metrics": ("accuracy", "auc")}
    config = TrainConfig(epochs=3, batch_size=BATCH_SIZE, optimizer="muon", seed=3, **settings)
    train(random_network(), patches, config, out=mine / "whole")
    places = []
    for when in INTERRUPTIONS:
        disturbed = replace(patches, pixels=Interrupting(patches, when))
        with suppress(TrainingStopped) if when != "after an epoch" else suppress(Exception):
            train(random_network(), disturbed, config, out=mine / "interrupted")
        checkpoint = Checkpoint.load(mine / "interrupted" / "checkpoint.npz")
        places.append((checkpoint.epoch, checkpoint.batch))
    train(random_network(), patches, config, out=mine / "interrupted")
    return places


def d4nets() -> dict[str, keras.Model]:
    """Return a small d4net with changed batch statistics, and the pretrained weights."""
    pixels, small = few_patches()[0].read(), build_model("d4net", size="s", seed=1)
    for _ in range(3):
        small(pixels, training=True)
    return {"d4net-s, not trained": small, **{name: load_run(name).model for name in PRETRAINED}}


def symmetry_and_scan(model: keras.Model, pixels: np.ndarray) -> dict[str, float]:
    """Return the largest differences of the logits of transformed patches and of a scanned region.

    The region has 3 × 4 patches; every third position of the 8 px grid is compared.
    """
    network = logit_model(model)
    said = network.predict_on_batch(pixels)
    turned = [
        np.abs(network.predict_on_batch(apply_symmetry(pixels, symmetry)) - said).max() for symmetry in range(1, ORDER)
    ]
    region = np.concatenate([np.concatenate(list(row), axis=1) for row in pixels.reshape(3, 4, 96, 96, 3)])
    scan = plain_network(model, step_px=8)
    inputs = [region[None], np.ones((1, 1, 1, 1), np.float32)][: len(scan.inputs)]
    scanned = np.asarray(scan.predict_on_batch(inputs))[0]
    places = [(row, column) for row in range(0, scanned.shape[0], 3) for column in range(0, scanned.shape[1], 3)]
    cut = np.stack([region[8 * row : 8 * row + 96, 8 * column : 8 * column + 96] for row, column in places])
    away = np.abs([scanned[place] for place in places] - network.predict_on_batch(cut)).max()
    return {"spread": float(np.ptp(said)), "turned": float(max(turned)), "scanned": float(away)}


def slopes(folder: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the gradients at both places where explanations split a network, and a whole attribution."""
    model = built("cnn-sigmoid")
    model.load_weights(folder / "cnn-sigmoid.weights.h5")
    found = {}
    for name, network in {"cnn": model, "d4net-m": load_run("d4net-m").model}.items():
        for halves in (split_after_first_layer(network), split_at_last_feature_map(network)):
            values = keras.ops.convert_to_numpy(halves.before(pixels, training=False))
            found[f"{name}-{values.shape[1]}"] = gradient_of(halves.after)(values)
        found[f"{name}-grad-cam++"] = attributions(network, pixels, "grad-cam++")
    return found


def main(folder: Path) -> None:
    mine = folder / keras.backend.backend()
    mine.mkdir()
    patches, to_predict = few_patches()
    one_step(patches, folder, mine)
    facts: dict[str, Any] = {"dropout": dropout_twice(), "interrupted_at": interrupted(patches, mine)}
    pixels = to_predict.read()
    if keras.backend.backend() != "tensorflow":  # There, tests/models and tests/inference do the same.
        facts["d4nets"] = {name: symmetry_and_scan(model, pixels) for name, model in d4nets().items()}
    underexposed = pixels // 2
    network = logit_model(load_run("d4net-m").model)
    facts["underexposed"] = [network.predict_on_batch(each)[:, 0].tolist() for each in (pixels, underexposed)]
    np.savez(mine / "slopes.npz", **slopes(folder, pixels[:4]))
    print("made", flush=True)
    sys.stdin.readline()
    for run in sorted(folder.glob("*/*/summary.json")):
        maker, network = run.parent.parent.name, run.parent.name
        if network == "interrupted":  # Its weights are those of "whole", byte for byte.
            continue
        predictions = predict(load_run(run.parent), to_predict)
        np.save(mine / f"logits-{maker}-{network}.npy", predictions.table["logit"].to_numpy())
    facts["imported"] = [name for name in ("tensorflow", "jax", "torch") if name in sys.modules]
    (mine / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
