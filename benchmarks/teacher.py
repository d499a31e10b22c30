"""Compare a teacher, its ensemble with `d4net-m` and students on patches that none of them was trained on.

    python benchmarks/teacher.py pcam-small.zip pcam-extra.zip pcam-more.zip
    python benchmarks/teacher.py pcam-small.zip pcam-extra.zip pcam-more.zip --teacher TEACHER --fold 1 --student RUN

TEACHER is made by ``scripts/make_teacher.py``; without one, the stored logits of the teacher of fold 0 are used. The
patches are those of pcam-more in the fold that it has not seen, without the hard negatives. `d4net-m` was trained on
other patches of their stain clusters. Differences have intervals over clusters (jackknife). A second table shows which
positions of the last feature map of `d4net-m` carry its prediction, on all patches of pcam-more but the hard negatives.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from make_folds import read_training_patches, unseen_rows
from make_teacher import BATCH, FOLDS_FILE, LOGITS_FILE, LOGITS_FOLD, eight_orientations
from sentinode import PatchSet, load_run
from sentinode.inference.keras_predictor import inference_network
from sentinode.inference.logits import probability, tumour_logit
from sentinode.machine import keep_freed_memory
from sentinode.metrics.ranking.comparison import area_difference
from sentinode.metrics.ranking.roc_auc import area
from sentinode.models.plain import plain_network


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs=3, help="pcam-small.zip, pcam-extra.zip and pcam-more.zip")
    parser.add_argument("--teacher", help="run directory; the stored logits by default")
    parser.add_argument("--fold", type=int, default=LOGITS_FOLD, help="that the teacher has not seen")
    parser.add_argument("--student", nargs="*", default=())
    arguments = parser.parse_args()
    keep_freed_memory()
    table, patches = read_training_patches(FOLDS_FILE, arguments.sources)
    chosen = unseen_rows(table, arguments.fold)
    unseen = patches.select(chosen)
    if arguments.teacher:
        turned = eight_orientations(load_run(arguments.teacher).load_model(), unseen)
    else:
        with np.load(LOGITS_FILE) as file:
            turned = file["logits"][chosen].astype(np.float64)
    compare(unseen, table["cluster"].to_numpy()[chosen], turned, arguments.student)
    positions(patches.select(np.flatnonzero((table["part"] == 2) & ~table["hard"])))


def compare(patches: PatchSet, clusters: np.ndarray, turned: np.ndarray, students: list[str]) -> None:
    """Print AUCs, and differences from `d4net-m` with intervals over clusters."""
    labels, base = patches.labels, logits(load_run("d4net-m").model, patches)
    one, eight = turned[:, 0], turned.mean(axis=1)
    scores = {
        "d4net-m": base,
        "teacher, one orientation": one,
        "teacher, mean of eight": eight,
        "mean of logits, teacher in one orientation": standardized(base) + standardized(one),
        "mean of logits, teacher in eight": standardized(base) + standardized(eight),
        "mean of probabilities, teacher in one": probability(base) + probability(one),
    }
    scores |= {f"student {name}": logits(load_run(name).load_model("final"), patches) for name in students}
    print(f"{len(patches):,} patches, {labels.mean():.0%} tumour, {len(np.unique(clusters))} clusters")
    areas = {name: area(labels, values, clusters) for name, values in scores.items()}
    for name, each in areas.items():
        cell = f"{area_difference(each, areas['d4net-m'])[0]:+.4f}" if name != "d4net-m" else ""
        print(f"| {name} | {each.estimate:.4f} | {cell} |")


def positions(patches: PatchSet) -> None:
    """Print the AUC of groups of positions, and that of weights fitted to them in four parts."""
    network = plain_network(load_run("d4net-m").model)
    kernel, bias = (np.asarray(each) for each in network.get_layer("logit").get_weights())
    features = keras.Model(network.input, network.get_layer("mean_over_positions").input)
    maps = np.concatenate([features.predict_on_batch(pixels) @ kernel.ravel() + bias[0] for pixels in batches(patches)])
    center = maps[:, 1:3, 1:3].mean(axis=(1, 2))
    corners = maps[:, ::3, ::3].mean(axis=(1, 2))
    edges = (16 * maps.mean(axis=(1, 2)) - 4 * center - 4 * corners) / 8
    groups, labels = np.stack([center, edges, corners], axis=1), patches.labels
    smooth = smooth_maximum(maps[:, 1:3, 1:3])
    fitted, weights = cross_fitted(groups, labels)
    with_maximum, its_weights = cross_fitted(np.column_stack([groups, smooth]), labels)
    scores = {
        "mean": maps.mean(axis=(1, 2)),
        "center": center,
        "edges": edges,
        "corners": corners,
        "maximum": maps.max(axis=(1, 2)),
        "smooth maximum": smooth_maximum(maps),
        "smooth maximum of the center": smooth,
        "fitted weights": fitted,
        "fitted weights, with the smooth maximum of the center": with_maximum,
    }
    print(f"\n{len(patches):,} patches, positions of d4net-m")
    for name, values in scores.items():
        print(f"| {name} | {roc_auc_score(labels, values):.4f} |")
    print("weights of center, edges and corners:", weights.round(2))
    print("and with the smooth maximum of the center:", its_weights.round(2))


def smooth_maximum(maps: np.ndarray) -> np.ndarray:
    """Return the logarithm of the mean odds over positions, which is between their mean logit and the largest."""
    return np.logaddexp.reduce(maps.reshape(len(maps), -1), axis=1) - np.log(maps[0].size)


def cross_fitted(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log-odds of logistic regressions that were fitted to the other three of four parts, and mean weights."""
    part, fitted, weights = np.random.default_rng(0).integers(0, 4, len(labels)), np.zeros(len(labels)), []
    for number in range(4):
        inside = part == number
        model = LogisticRegression(C=1e3).fit(features[~inside], labels[~inside])
        fitted[inside] = model.decision_function(features[inside])
        weights.append(model.coef_[0])
    return fitted, np.mean(weights, axis=0)


def logits(model: keras.Model, patches: PatchSet) -> np.ndarray:
    """Return the logits of patches as they are."""
    network = inference_network(model)
    return np.concatenate([tumour_logit(network.predict_on_batch(pixels)) for pixels in batches(patches)])


def batches(patches: PatchSet) -> list[np.ndarray]:
    """Return the pixels of all patches in batches."""
    return [patches.read(range(at, min(at + BATCH, len(patches)))) for at in range(0, len(patches), BATCH)]


def standardized(values: np.ndarray) -> np.ndarray:
    """Return values with mean 0 and standard deviation 1."""
    return (values - values.mean()) / values.std()


if __name__ == "__main__":
    main()
