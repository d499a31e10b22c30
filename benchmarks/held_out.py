"""Measure networks on training patches that were held out: AUC, robustness, and what int8 costs.

    python benchmarks/held_out.py pcam-small.zip pcam-extra.zip pcam-more.zip --models d4net-m runs/student

The patches are those of pcam-more in the fold that the teacher of ``scripts/make_teacher.py`` has not seen, without
the hard negatives. Neither the teacher nor the pretrained weights were trained on them, only on other patches of their
stain clusters: the slides of PatchCamelyon's training patches are unknown. Intervals are those of the
jackknife over clusters; differences are paired and relative to the first model. The stress test is that of
``sentinode stress --quick`` (250 patches of each class, extreme levels).
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import numpy as np

from make_folds import read_training_patches, unseen_rows
from make_teacher import FOLDS_FILE, LOGITS_FOLD
from sentinode import PatchSet, load_run, predict, stress
from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.machine import keep_freed_memory
from sentinode.metrics.ranking.comparison import area_difference
from sentinode.metrics.ranking.roc_auc import area

BRIGHTNESS = (1.0, 0.7, 1.3)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--models", nargs="+", default=["d4net-m"], help="names or run directories")
    arguments = parser.parse_args()
    keep_freed_memory()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    chosen = unseen_rows(table, LOGITS_FOLD)
    patches, clusters = patches.select(chosen), table["cluster"].to_numpy()[chosen]
    tumour = patches.labels.mean()
    print(f"{len(patches):,} patches, {tumour:.0%} tumour, {len(np.unique(clusters))} clusters\n")
    print_aucs(patches, clusters, arguments.models)
    print_stress(patches, arguments.models)


def print_aucs(patches: PatchSet, clusters: np.ndarray, models: list[str]) -> None:
    """Print the AUC of each model, its difference from the first, at other brightness, and the loss of int8."""
    pixels, scores = patches.read(), {}
    for model in models:
        run = load_run(model)
        for factor in BRIGHTNESS:
            changed = PERTURBATIONS["brightness"](pixels, factor)
            scores[f"{model} {factor}"] = predict(run, changed).table["logit"].to_numpy()
        found = predict(run, pixels, engine="onnxruntime", precision="int8")
        scores[f"{model} int8"] = found.table["logit"].to_numpy()
    areas = {name: area(patches.labels, each, clusters) for name, each in scores.items()}
    first = models[0]
    print(f"| model | AUC | minus {first} | at 0.7 | at 1.3 | loss of int8 |\n|---|---|---|---|---|---|")
    for model in models:
        unchanged, darker, brighter = (areas[f"{model} {factor}"] for factor in BRIGHTNESS)
        difference, _ = area_difference(unchanged, areas[f"{first} {BRIGHTNESS[0]}"])
        loss = unchanged.estimate - areas[f"{model} int8"].estimate
        cells = (f"{unchanged.interval():.4f}", f"{difference:+.4f}" if model != first else "")
        print(f"| {model} | {' | '.join(cells)} | {darker.estimate:.4f} | {brighter.estimate:.4f} | {loss:+.5f} |")
    print("\nint8 of ONNX Runtime\n")


def print_stress(patches: PatchSet, models: list[str]) -> None:
    """Print the AUC of each model at each setting of the quick stress test."""
    found = {model: stress(load_run(model), patches, "train", quick=True) for model in models}
    first = found[models[0]]
    print(
        f"| {first.normal + first.tumour} patches | " + " | ".join(models) + " |\n" + "|---" * (1 + len(models)) + "|"
    )
    rows = {"unchanged": [each.unperturbed.auc for each in found.values()]}
    for name, curve in first.perturbations.items():
        for number, point in enumerate(curve.points):
            aucs = [each.perturbations[name].points[number].auc for each in found.values()]
            rows[f"{curve.description}: {point.level:g}"] = aucs
    rows["mean over perturbations"] = [each.perturbed_auc for each in found.values()]
    for name, aucs in rows.items():
        print(f"| {name} | " + " | ".join(f"{auc.estimate:.3f}" for auc in aucs) + " |")


if __name__ == "__main__":
    main()
