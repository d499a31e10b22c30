"""Train a `d4net` on one GPU: all patches in its memory, and each epoch one program (Keras on JAX).

    pip install 'jax[cuda12]'
    python scripts/train_on_gpu.py pcam-small.zip pcam-extra.zip pcam-more.zip --epochs 40 --out runs/gpu

Uses the layers, losses and optimizer of `sentinode train --recipe flagship`, but no input pipeline and no callbacks: on
a fast GPU both would take longer than the training steps. The state is saved after each epoch; the same command goes on
from there, and other settings are refused. With ``--targets`` the labels are replaced by the mean of teachers' logits
(files of ``scripts/make_teacher.py``). With ``--hold-out`` a fold of ``scripts/folds.npz`` is left out, and the AUC on
it is printed, without hard negatives. ``OUT/model.keras`` holds the network with averaged weights, without calibration,
threshold and exposure correction; commands take it as ``--model``. XLA computes convolutions in a loop slowly on
processors: there it is only good for trying the script.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from jax import numpy as jnp

from make_folds import read_training_patches
from make_teacher import FOLDS_FILE
from sentinode import TrainConfig, build_model
from sentinode.data.batches import epoch_order
from sentinode.inference.logits import probability
from sentinode.inference.predict import predict_logits
from sentinode.layers.augmentation import augmented
from sentinode.metrics import roc_curve
from sentinode.storage import atomic_file
from sentinode.training.recipe.averaging import WeightAverage, some_batches
from sentinode.training.recipe.compile import accelerated, compile_model

State = tuple[list[Any], list[Any], list[Any]]


def main() -> None:
    """Train, measure and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--size", choices=("s", "m", "l"), default="m")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--augment", nargs="+", default=["affine", "blur", "stain"])
    parser.add_argument("--brightness-invariant", action="store_true", help="option of d4net")
    parser.add_argument("--targets", nargs="*", type=Path, default=[], help="logits of teachers, .npz")
    parser.add_argument("--hold-out", type=int, metavar="FOLD", help="fold that is not trained on, but measured")
    parser.add_argument("--patches", type=int, help="train on so many patches only, to try the script")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    patches = patches.cached()
    easy = ~(table["hard"] | patches.table["sha1"].duplicated()).to_numpy()  # One of identical patches.
    held_out = (table["fold"] == (-1 if arguments.hold_out is None else arguments.hold_out)).to_numpy()
    target = patches.labels.astype(np.float32)
    if arguments.targets:
        logits = [np.load(file)["logits"].astype(np.float64).mean(axis=1) for file in arguments.targets]
        target = probability(np.mean(logits, axis=0)).astype(np.float32)
    rows = np.flatnonzero(easy & ~held_out)[: arguments.patches]
    config = TrainConfig.recipe(
        "flagship",
        epochs=arguments.epochs,
        warmup_epochs=arguments.epochs / 10,
        augment=tuple(arguments.augment),
        seed=arguments.seed,
    )
    network = build_model(
        "d4net", size=arguments.size, brightness_invariant=arguments.brightness_invariant, seed=arguments.seed
    )
    keras.utils.set_random_seed(arguments.seed)
    learner = augmented(network, config.augment, config.augment_strength)
    compile_model(learner, config, len(rows) // config.batch_size)
    learner.optimizer.build(learner.trainable_variables)
    training = patches.select(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = json.dumps({name: value for name, value in vars(arguments).items() if name != "out"}, default=str)
    with accelerated(network, arguments.precision):
        fit(learner, config, training.read(range(len(rows))), target[rows], arguments.out / "state.npz", settings)
        WeightAverage(learner, network, lambda: some_batches(training, config)).load()
    network.save(arguments.out / "model.keras")
    if held_out.any():
        chosen = patches.select(np.flatnonzero(held_out & easy))
        auc = roc_curve(chosen.labels, predict_logits(network, chosen)).auc
        print(f"AUC on {len(chosen):,} patches of fold {arguments.hold_out}: {auc:.4f}")


def fit(
    learner: keras.Model, config: TrainConfig, pixels: np.ndarray, target: np.ndarray, file: Path, settings: str
) -> None:
    """Train from the state saved with the same settings, or from the start; leave the weights in the model."""
    loss = keras.losses.BinaryCrossentropy(label_smoothing=config.label_smoothing)
    on_device = jnp.asarray(pixels), jnp.asarray(target[:, None])

    def objective(trained: list[Any], fixed: list[Any], x: Any, y: Any) -> tuple[Any, list[Any]]:
        outputs, fixed = learner.stateless_call(trained, fixed, x, training=True)
        return loss(y, outputs), fixed

    def step(state: State, chosen: Any, x: Any, y: Any) -> tuple[State, Any]:
        trained, fixed, optimizer = state
        (value, fixed), gradients = jax.value_and_grad(objective, has_aux=True)(trained, fixed, x[chosen], y[chosen])
        trained, optimizer = learner.optimizer.stateless_apply(optimizer, gradients, trained)
        return (trained, fixed, optimizer), value

    @jax.jit
    def epoch(state: State, order: Any, x: Any, y: Any) -> tuple[State, Any]:
        # The pixels are arguments: as constants they would be part of the program.
        return jax.lax.scan(lambda carry, chosen: step(carry, chosen, x, y), state, order)

    variables = (learner.trainable_variables, learner.non_trainable_variables, learner.optimizer.variables)
    state: State = tuple([variable.value for variable in group] for group in variables)  # type: ignore[assignment]
    first = 0
    if file.exists():
        with np.load(file) as stored:
            if str(stored["settings"]) != settings:
                raise SystemExit(f"{file} was saved with other settings, {stored['settings']}; choose another --out")
            first = int(stored["epoch"])
            state = tuple(
                [jnp.asarray(stored[f"{group}-{number}"]) for number in range(len(values))]
                for group, values in enumerate(state)
            )  # type: ignore[assignment]
    steps = len(pixels) // config.batch_size
    for number in range(first, config.epochs):
        began = time.monotonic()
        order = epoch_order(len(pixels), config.seed, number)[: steps * config.batch_size]
        state, values = epoch(state, jnp.asarray(order.reshape(steps, -1)), *on_device)
        value = float(values.mean())
        rate = len(order) / (time.monotonic() - began)
        print(f"epoch {number + 1}/{config.epochs}: loss {value:.4f}, {rate:,.0f} patches/s", flush=True)
        save(file, state, number + 1, settings)
    for group, values in zip(variables, state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)


def save(file: Path, state: State, epochs: int, settings: str) -> None:
    """Save the state after so many epochs."""
    arrays = {f"{group}-{at}": np.asarray(each) for group, values in enumerate(state) for at, each in enumerate(values)}
    with atomic_file(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, epoch=epochs, settings=settings, **arrays)


if __name__ == "__main__":
    main()
