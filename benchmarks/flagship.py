"""Measure the flagship recipe and an ablation of its parts.

    python benchmarks/flagship.py parts pcam-small.zip      # ablation on folds of `train`
    python benchmarks/flagship.py reach pcam-small.zip      # d4net-s on `valid`, from 20,000 patches and from 2,000
    python benchmarks/flagship.py reach pcam-small.zip --seeds 0 --only "2,000 patches"
    python benchmarks/flagship.py report

Every finished training is kept in ``benchmarks/results/flagship.jsonl`` with all its settings; a second call resumes
and refuses rows of another recipe. The ablation holds out one stain group per seed, grouped as by `evaluate --by
stain`, and trains on 2,000 patches of the others, so that gains on known slides alone are not counted. `valid` has
slides of its own and is a development set.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from sentinode import TrainConfig, build_model, open_patches, train
from sentinode.data.patchset import PatchSet
from sentinode.evaluation.stain_groups import stain_groups
from sentinode.machine import keep_freed_memory
from sentinode.models.flops import flops

RESULTS = Path(__file__).parent / "results" / "flagship.jsonl"
SEEDS = (0, 1, 2)
# A tenth of a full training, with weights averaged over the same share of it. Of 2,000 patches few are duplicates.
SHORT = {"epochs": 16, "warmup_epochs": 1.6, "ema": 0.98, "deduplicate": False}
PATCHES, MEASURED = 2000, 1500
HELD_OUT = {0: "2", 1: "3", 2: "4"}  # By seed; the palest and the darkest stain group are outliers.
ADAMW = {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.05}
PARTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "AdamW instead of Muon": ADAMW,
    "SGD with momentum": {"optimizer": "sgd", "learning_rate": 0.05, "nesterov": True, "weight_decay": 0.0},
    "no weight averaging": {"ema": 0.0},
    "constant learning rate": {"schedule": "constant", "warmup_epochs": 0.0},
    "no stain": {"augment": ("affine", "blur")},
    "no affine": {"augment": ("blur", "stain")},
    "no blur": {"augment": ("affine", "stain")},
    "no augmentation": {"augment": ()},
    "brightness added": {"augment": ("affine", "blur", "stain", "brightness")},
    "no label smoothing": {"label_smoothing": 0.0},
}
REACH: dict[str, dict[str, Any]] = {
    "20,000 patches": {"patches": None, "settings": {}},
    "20,000 patches, duplicates kept": {"patches": None, "settings": {"deduplicate": False}},
    "2,000 patches": {"patches": 2000, "settings": {"epochs": 60}},
}


def main() -> None:
    """Run missing trainings, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("parts", "reach", "report"))
    parser.add_argument("data", nargs="?", help="pcam-small.zip")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", nargs="+", metavar="VARIANT")
    arguments = parser.parse_args()
    if arguments.what == "report":
        report(pd.read_json(RESULTS, lines=True))
        return
    keep_freed_memory()
    patches = open_patches(arguments.data).cached()
    RESULTS.parent.mkdir(exist_ok=True)
    rows = map(json.loads, RESULTS.read_text().splitlines()) if RESULTS.exists() else ()
    done = {(row["what"], row["variant"], row["seed"]): row["settings"] for row in rows}
    variants = parts(patches) if arguments.what == "parts" else reach(patches)
    if unknown := set(arguments.only or ()) - set(variants):
        parser.error(f"{arguments.what} has no {', '.join(sorted(unknown))}; it has {', '.join(variants)}")
    if arguments.what == "parts" and (others := set(arguments.seeds) - set(HELD_OUT)):
        parser.error(f"parts has seeds {', '.join(map(str, HELD_OUT))}; got {', '.join(map(str, others))}")
    for name in arguments.only or variants:
        for seed in arguments.seeds:
            settings, chosen = variants[name]
            config = TrainConfig.recipe("flagship", **settings, seed=seed)
            before = done.get((arguments.what, name, seed))
            if before is None:
                row = {"what": arguments.what, "variant": name, "seed": seed, **measure(chosen(seed), config)}
                print(row, flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            # The precision that was used is another column.
            elif others := config.differences({**before, "precision": config.precision}):
                parser.error(
                    f"{RESULTS}: {name}, seed {seed}: made with other settings ({', '.join(others)}); remove the row"
                )


def parts(patches: PatchSet) -> dict[str, Any]:
    """Return settings of each ablation, and a function from seed to its fold of `train`."""
    training = patches.split("train")
    stains = stain_groups(training).to_numpy()
    return {name: ({**SHORT, **changes}, lambda seed: fold(training, stains, seed)) for name, changes in PARTS.items()}


def fold(patches: PatchSet, stains: np.ndarray, seed: int) -> PatchSet:
    """Return a fold: patches of one stain group as ``valid``, some of the others as ``train``."""
    rng = np.random.default_rng(seed)
    held_out = stains == HELD_OUT[seed]
    measured = rng.choice(np.flatnonzero(held_out), MEASURED, replace=False)
    learned = rng.choice(np.flatnonzero(~held_out), PATCHES, replace=False)
    kept = np.sort(np.concatenate([measured, learned]))
    split = pd.Series(np.where(held_out[kept], "valid", "train"), dtype="str")
    chosen = patches.select(kept)
    return replace(chosen, table=chosen.table.assign(split=split.set_axis(chosen.table.index)))


def reach(patches: PatchSet) -> dict[str, Any]:
    """Return settings of full trainings, and a function from seed to patches."""
    return {
        name: (case["settings"], lambda seed, case=case: fewer(patches, case["patches"], seed))
        for name, case in REACH.items()
    }


def fewer(patches: PatchSet, count: int | None, seed: int) -> PatchSet:
    """Return a random subset of `count` training patches, with all of `valid`."""
    if count is None:
        return patches
    training = np.flatnonzero(patches.table["split"] == "train")
    kept = np.random.default_rng(seed).choice(training, count, replace=False)
    return patches.select(np.sort(np.concatenate([kept, np.flatnonzero(patches.table["split"] == "valid")])))


def measure(patches: PatchSet, config: TrainConfig) -> dict[str, Any]:
    """Train `d4net-s` and return its curves."""
    model = build_model("d4net", size="s", seed=config.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = train(model, patches, config, out=folder)
        history, precision = run.history, run.precision  # Read while the folder is there.
        duration_s = run.summary["duration_s"]
        learned = run.config["data"]["train"]
        count = learned["normal"] + learned["tumour"]
    return {
        "settings": config.to_json(),
        "patches": count,
        "precision": precision,
        **{name: history[name].round(5).tolist() for name in ("loss", "val_auc", "val_accuracy")},
        "train_s": round(float(history["train_s"].sum()), 1),
        "duration_s": duration_s,
        "gflop_s": round(3 * flops(run.model) * count * len(history) / float(history["train_s"].sum()) / 1e9, 1),
    }


def report(results: pd.DataFrame) -> None:
    """Measure and print both tables."""
    results = results.assign(auc=[values[-1] for values in results["val_auc"]])
    rows = results[results["what"] == "parts"].set_index(["variant", "seed"])["auc"]
    if len(rows):
        print("| part | AUC on a held-out stain | paired difference from the recipe | seeds |\n|---|---|---|---|")
        for name in PARTS:
            if name not in rows.index.get_level_values(0):
                continue
            auc = rows[name]
            against = (auc - rows["the recipe"]).dropna()
            print(f"| {name} | {spread(auc)} | {against.mean():+.4f} ± {against.std(ddof=1):.4f} | {len(auc)} |")
    rows = results[results["what"] == "reach"]
    if len(rows):
        print("\n| trained on | AUC on `valid` | seeds | epochs | minutes | GFLOP/s |")
        print("|---|---|---|---|---|---|")
    for name in REACH:
        own = rows[rows["variant"] == name]
        if len(own):
            each = ", ".join(f"{auc:.4f}" for auc in own["auc"])
            print(
                f"| {name} | {spread(own['auc'])} ({each}) | {len(own)} | {len(own['val_auc'].iloc[0])} "
                f"| {', '.join(minutes(row) for _, row in own.iterrows())} "
                f"| {', '.join(f'{rate:.0f}' for rate in own['gflop_s'])} |"
            )
    print(f"\n{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


def minutes(row: pd.Series) -> str:
    """Return the duration of a training, or of its steps alone for rows without a duration."""
    steps_alone = pd.isna(row.get("duration_s"))
    return f"{(row['train_s'] if steps_alone else row['duration_s']) / 60:.1f}" + (
        " (steps only)" if steps_alone else ""
    )


def spread(values: pd.Series) -> str:
    """Return mean and standard deviation as text."""
    return f"{values.mean():.4f}" + (f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
