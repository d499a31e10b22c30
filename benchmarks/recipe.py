"""Measure what each line of the classic recipe does: one change at a time, three seeds each.

    python benchmarks/recipe.py DATA
    python benchmarks/recipe.py --report
    python benchmarks/recipe.py DATA --dead-units

Trains on four fifths of `train` and measures on the last fifth, with duplicates on one side. Such folds share slides,
so the figures are optimistic: compare them, do not quote them. Every finished training is kept in
``benchmarks/results/recipe.jsonl``; a second call resumes. With ``--report`` the tables and figures of
``docs/recipe.md`` are made from that file.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode import TrainConfig, build_model, open_patches, train
from sentinode.data.patchset import PatchSet
from sentinode.data.splitting.split import split_patches
from sentinode.plots.style import BLUE, GREEN, ORANGE, new_axes, save_figure, styled

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "recipe.jsonl"
FIGURES = HERE.parent / "docs" / "images"
SEEDS = (0, 1, 2)
RECIPE = {"model": "cnn", "settings": {}}
VARIANTS = {
    "the recipe": RECIPE,
    "layers: fully connected": {**RECIPE, "model": "mlp"},
    "activation: sigmoid": {**RECIPE, "activation": "sigmoid"},
    "activation: none": {**RECIPE, "activation": "linear"},
    "output: softmax": {**RECIPE, "options": {"output": "softmax"}},
    "optimizer: Adam": {**RECIPE, "settings": {"optimizer": "adam", "learning_rate": 0.001}},
    "learning rate: 0.1": {**RECIPE, "settings": {"learning_rate": 0.1}},
    "learning rate: 0.001": {**RECIPE, "settings": {"learning_rate": 0.001}},
    "momentum: 0": {**RECIPE, "settings": {"momentum": 0.0}},
    "loss: focal": {**RECIPE, "settings": {"loss": "focal"}},
    "epochs: 10": {**RECIPE, "settings": {"epochs": 10}},
}


def main() -> None:
    """Run missing trainings, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="folder or zip with a train split")
    parser.add_argument("--report", action="store_true", help="print the tables and draw the figures")
    parser.add_argument(
        "--dead-units", action="store_true", help="count dead units in the two variants that learn nothing"
    )
    arguments = parser.parse_args()
    if arguments.report:
        report(pd.read_json(RESULTS, lines=True))
        return
    fold = four_fifths(open_patches(arguments.data, split="train").cached())
    if arguments.dead_units:
        for name in ("layers: fully connected", "learning rate: 0.1"):
            print(f"{name}: {dead_units(fold, VARIANTS[name]):.0%} of the hidden dense units output 0 for every patch")
        return
    RESULTS.parent.mkdir(exist_ok=True)
    done = set()
    if RESULTS.exists():
        done = {(row["variant"], row["seed"]) for row in map(json.loads, RESULTS.read_text().splitlines())}
    for seed in SEEDS:
        for name, variant in VARIANTS.items():
            if (name, seed) not in done:
                row = {"variant": name, "seed": seed, **measure(fold, variant, seed)}
                print(row, flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def four_fifths(patches: PatchSet) -> PatchSet:
    """Return the patches split into four fifths ``train`` and one fifth ``valid``."""
    return split_patches(patches, {"train": 0.8, "valid": 0.2}, seed=0).patches


def measure(fold: PatchSet, variant: dict, seed: int) -> dict:
    """Train one variant and return its curves on the held-out fifth."""
    model = build_model(variant["model"], seed=seed, **variant.get("options", {}))
    if "activation" in variant:
        import keras

        for layer in model.layers[:-1]:
            if hasattr(layer, "activation"):
                layer.activation = keras.activations.get(variant["activation"])
    config = TrainConfig(seed=seed, metrics=("accuracy", "auc"), **variant["settings"])
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = train(model, fold, config, out=folder)
        except Exception as error:
            return {"failed": str(error).replace(folder, "RUN")}
        history = run.history
        return {
            **{
                name: history[name].round(5).tolist()
                for name in ("loss", "val_loss", "accuracy", "val_accuracy", "val_auc")
            },
            "exact_auc_best_epoch": round(run.summary["valid_auc"], 5),
            "best_epoch": run.summary["best_epoch"],
            "environment": run.config["environment"],
        }


def dead_units(fold: PatchSet, variant: dict) -> float:
    """Train one epoch and return the share of hidden dense units that are zero for 500 patches."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(**{**variant["settings"], "epochs": 1})
        network = train(build_model(variant["model"]), fold, config, out=folder).load_model("final")
    hidden = keras.Model(network.inputs, network.get_layer("dense").output)
    outputs = hidden.predict(fold.split("valid").read(slice(0, 500)), verbose=0)
    return float((outputs.max(axis=0) == 0).mean())


def report(results: pd.DataFrame) -> None:
    """Print the tables and draw the curves."""
    print("| variant | AUC after the last epoch, mean ± sd | accuracy at 0.5 | seeds |\n|---|---|---|---|")
    for name in VARIANTS:
        rows = results[results["variant"] == name]
        ended = rows[rows["val_auc"].notna()]
        auc = np.array([values[-1] for values in ended["val_auc"]])
        accuracy = np.array([values[-1] for values in ended["val_accuracy"]])
        if len(auc) == 0:
            print(f"| {name} | diverged | – | {len(rows)} |")
            continue
        print(
            f"| {name} | {auc.mean():.3f} ± {auc.std(ddof=1):.3f} ({', '.join(f'{a:.3f}' for a in auc)}) "
            f"| {accuracy.mean():.3f} ± {accuracy.std(ddof=1):.3f} | {len(rows)} |"
        )
    ten = results[results["variant"] == "epochs: 10"]
    print("\n| epoch | training loss | validation loss | validation AUC |\n|---|---|---|---|")
    for epoch in range(10):
        columns = [np.array([values[epoch] for values in ten[name]]) for name in ("loss", "val_loss", "val_auc")]
        print(f"| {epoch + 1} | " + " | ".join(f"{c.mean():.3f} ± {c.std(ddof=1):.3f}" for c in columns) + " |")
    draw(results)


@styled
def draw(results: pd.DataFrame) -> None:
    """Draw ``docs/images/recipe-curves.png``."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    left, right = new_axes(1, 2, (4.6, 3.8))
    rates = {"0.1": "learning rate: 0.1", "0.01": "the recipe", "0.001": "learning rate: 0.001"}
    styles = zip(rates.items(), (ORANGE, BLUE, GREEN), ("s", "o", "^"), strict=True)
    for (rate, variant), color, marker in styles:
        for number, values in enumerate(results[results["variant"] == variant]["val_loss"].dropna()):
            label = f"learning rate {rate}" if number == 0 else None
            left.plot(
                range(1, len(values) + 1), values, color=color, linestyle="-", marker=marker, alpha=0.8, label=label
            )
    left.set(xlabel="epoch", ylabel="validation loss", xticks=[1, 2, 3], ylim=(0.4, 0.75))
    left.set_title("Learning rate: three seeds each", fontsize=10.5)
    left.legend()
    ten = results[results["variant"] == "epochs: 10"]
    for name, color, title in (
        ("loss", BLUE, "training"),
        ("val_loss", ORANGE, "validation"),
    ):
        for number, values in enumerate(ten[name]):
            right.plot(
                range(1, 11), values, color=color, linestyle="-", alpha=0.8, label=title if number == 0 else None
            )
    right.set(xlabel="epoch", ylabel="loss", xticks=range(1, 11))
    right.set_title("Ten epochs: three seeds", fontsize=10.5)
    right.legend()
    save_figure([left, right], FIGURES / "recipe-curves.png")


if __name__ == "__main__":
    main()
