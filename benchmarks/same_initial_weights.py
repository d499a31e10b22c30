"""Compare plain Keras and Sentinode on the classic network from the same initial weights.

    python benchmarks/same_initial_weights.py pcam-small.zip

Plain Keras: `fit` on arrays in memory, shuffled by Keras, and the weights of the epoch with the lowest validation
loss. Sentinode: `train` from the same weights. The order of the patches differs; to measure the effect of the order
alone, Keras trains a second time in another order. Where the processor supports bfloat16, Sentinode also trains in it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import sentinode  # isort: skip # noqa: F401  # Before Keras: it sets up TensorFlow.
import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from sentinode import TrainConfig, build_model, open_patches, train
from sentinode.data.patchset import PatchSet
from sentinode.machine import keep_freed_memory, processor_count, processor_name
from sentinode.training.recipe.compile import compile_model


def main() -> None:
    """Train with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--patches", type=int, help="number of training patches (default: all)")
    arguments = parser.parse_args()
    keep_freed_memory()  # As the command line does.
    patches = open_patches(arguments.data)
    training, validation = (patches.split(name) for name in ("train", "valid"))
    some = np.random.default_rng(0).permutation(len(training))[: arguments.patches]
    patches = patches.select(np.sort(np.concatenate([training.rows[some], validation.rows])))
    config = TrainConfig(epochs=arguments.epochs)
    precisions = ["float32", *(["bfloat16"] if "bf16" in processor_name() else [])]
    names = ["Keras", "Keras, another order", *(f"Sentinode, {precision}" for precision in precisions)]
    print(f"| seed | {' | '.join(names)} |\n|" + "---|" * (len(names) + 1))
    rows = []
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        model = build_model("cnn")
        first = model.get_weights()
        row = [keras_alone(model, first, patches, config, order=seed + 1000 * again) for again in (0, 1)]
        for precision in precisions:
            model.set_weights(first)
            ours = TrainConfig(epochs=config.epochs, seed=seed, precision=precision)
            with tempfile.TemporaryDirectory() as folder:
                row.append(train(model, patches, ours, out=Path(folder) / "run").summary["valid_auc"])
        rows.append(row)
        print(f"| {seed} | " + " | ".join(f"{auc:.3f}" for auc in row) + " |", flush=True)
    columns = np.array(rows).T
    print("| mean ± sd | " + " | ".join(f"{column.mean():.3f} ± {column.std(ddof=1):.3f}" for column in columns) + " |")
    keras_mean = columns[:2].mean(axis=0)
    for name, difference in (
        *(
            (f"{name} − Keras (mean of its two orders)", column - keras_mean)
            for name, column in zip(names[2:], columns[2:], strict=True)
        ),
        ("Keras, another order − Keras", columns[1] - columns[0]),
    ):
        error = statistics.stdev(difference) / len(difference) ** 0.5
        print(f"\n{name}: {difference.mean():+.4f}, standard error {error:.4f}")
    print(
        f"\n{len(some):,} training patches; {time.strftime('%Y-%m-%d')}; {processor_count()} cores, "
        f"{processor_name()}; {keras.backend.backend()}"
    )


def keras_alone(
    model: keras.Model, first: list[np.ndarray], patches: PatchSet, config: TrainConfig, order: int
) -> float:
    """Train by `fit` on arrays from these weights; return the AUC of the best epoch on the validation patches."""
    training, validation = (patches.split(name).cached() for name in ("train", "valid"))
    keras.utils.set_random_seed(order)
    model.set_weights(first)
    compile_model(model, config, steps_per_epoch=-(-len(training) // config.batch_size))
    x, y = (part.read() for part in (training, validation))
    labels = [part.labels.astype(np.float32)[:, None] for part in (training, validation)]
    with tempfile.TemporaryDirectory() as folder:
        best = f"{folder}/best.weights.h5"
        keep = keras.callbacks.ModelCheckpoint(best, save_best_only=True, save_weights_only=True)
        model.fit(
            x,
            labels[0],
            batch_size=config.batch_size,
            epochs=config.epochs,
            validation_data=(y, labels[1]),
            callbacks=[keep],
            verbose=0,
        )
        model.load_weights(best)
    return float(roc_auc_score(validation.labels, model.predict(y, batch_size=128, verbose=0)[:, 0]))


if __name__ == "__main__":
    main()
