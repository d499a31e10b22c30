"""Measure how often a 95 % interval contains the true value.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --replicates 20   # quick check that it runs

Scores are drawn from two normal distributions of variance 1, so that every metric has a known true value. Clustered
data: clusters of lognormal size (median 20, sigma 0.6), each with tumour (its share from Beta(4, 2)) or without; a
third of the variance is between clusters, half of it separate for tumour and normal patches. The scores of a second
model correlate with the first's by 0.6. Thresholds have a specificity of 0.8, 0.9, 0.95 and 0.98 in turn. The script
counts and does not time, so one core is enough.
"""

import argparse
import os
import platform
import time
from collections import defaultdict

import numpy as np
from scipy.integrate import quad
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import multivariate_normal, norm

from sentinode.metrics import (
    auc,
    auc_covariance,
    average_precision,
    bootstrap_aucs,
    brier_score,
    calibration_error,
    compare_aucs,
    decision_curve,
    kappa,
    mcnemar,
    operating_point,
    partial_auc,
    recalibration_line,
    wilson,
)
from sentinode.metrics.ranking.roc_auc import area

SPECIFICITIES = (0.8, 0.9, 0.95, 0.98)
CORRELATION, BEHIND, STATED, CLUSTER_SHARE = 0.6, 0.03, 0.05, 1 / 3
USED = "Intervals that Sentinode reports"
OTHERS = "Methods that were rejected"


def main() -> None:
    """Simulate, count and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000, help="for each AUC and column")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.strftime("%Y-%m-%d")
    columns = {f"n = {size:,}": (size, None) for size in (50, 200, 2000)}
    columns |= {f"{count} clusters": (None, count) for count in (20, 50, 100)}
    held: dict[str, dict[str, dict[str, list[float]]]] = {USED: defaultdict(dict), OTHERS: defaultdict(dict)}
    for place, (column, (size, clusters)) in enumerate(columns.items()):
        for area_under in (0.8, 0.9, 0.97):
            rng = np.random.default_rng([arguments.seed, place, round(1000 * area_under)])
            counts = simulate(area_under, size, clusters, arguments.replicates, rng)
            for (table, name), hits in counts.items():
                held[table][name].setdefault(column, []).append(100 * float(np.mean(hits)))
    for table, rows in held.items():
        print(f"{table}\n\n| coverage, % | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        for name, found in rows.items():
            print(f"| {name} | {' | '.join(_cell(found.get(column)) for column in columns)} |")
        print()
    error = 100 * np.sqrt(0.95 * 0.05 / arguments.replicates)
    print(
        f"Mean over AUC 0.80, 0.90 and 0.97 (lowest–highest of the three); {arguments.replicates:,} samples for each, "
        f"so that the Monte Carlo standard error of one is {error:.1f} and of the mean {error / np.sqrt(3):.1f}; "
        f"seed {arguments.seed}; {began}; {os.cpu_count()} cores, {platform.machine()}; NumPy {np.__version__}"
    )


def simulate(area_under: float, size: int | None, clusters: int | None, replicates: int, rng: np.random.Generator):
    """Return whether each interval contained the true value, by table and name."""
    held = defaultdict(list)
    prevalence = 0.5 if clusters is None else 0.5 * 4 / 6
    for replicate in range(replicates):
        specificity = SPECIFICITIES[replicate % len(SPECIFICITIES)]
        while True:
            labels, first, second, groups = draw(area_under, size, clusters, rng)
            if labels.min() < labels.max():
                break
        distance = np.sqrt(2) * ndtri(area_under)
        threshold = ndtri(specificity)
        probabilities = expit(distance * first - distance**2 / 2 + logit(prevalence))
        truth = truths(area_under, specificity, prevalence)
        for key, found in intervals(labels, first, second, probabilities, threshold, groups).items():
            low, high = found if isinstance(found, tuple) else (found.low, found.high)
            held[key].append(low <= truth[key[1].split(",")[0]] <= high)
    return held


def draw(area_under: float, size: int | None, clusters: int | None, rng: np.random.Generator):
    """Return labels, two models' scores, and clusters or None."""
    if clusters is None:
        labels, groups = (rng.random(size) < 0.5).astype(int), None
        noise = rng.normal(size=(2, size))
    else:
        sizes = np.maximum(2, np.round(20 * np.exp(rng.normal(0, 0.6, clusters)))).astype(int)
        groups = np.repeat(np.arange(clusters), sizes)
        share = np.where(rng.random(clusters) < 0.5, rng.beta(4, 2, clusters), 0.0)
        labels = (rng.random(len(groups)) < share[groups]).astype(int)
        common, own = rng.normal(size=(2, clusters)), rng.normal(size=(2, 2, clusters))
        of_cluster = (common[:, groups] + own[:, labels, groups]) * np.sqrt(CLUSTER_SHARE / 2)
        noise = of_cluster + rng.normal(size=(2, len(groups))) * np.sqrt(1 - CLUSTER_SHARE)
    other = CORRELATION * noise[0] + np.sqrt(1 - CORRELATION**2) * noise[1]
    distances = np.sqrt(2) * ndtri([area_under, area_under - BEHIND])
    return labels, noise[0] + distances[0] * labels, other + distances[1] * labels, groups


_KNOWN: dict[tuple[float, float, float], dict[str, float]] = {}


def truths(area_under: float, specificity: float, prevalence: float) -> dict[str, float]:
    """Return the true value of every metric."""
    key = (area_under, specificity, prevalence)
    if key in _KNOWN:
        return _KNOWN[key]
    distance, other = np.sqrt(2) * ndtri([area_under, area_under - BEHIND])
    at = ndtri(specificity)
    sensitivity, fpr = float(ndtr(distance - at)), 1 - specificity
    cells = np.array([sensitivity, fpr, 1 - fpr, 1 - sensitivity])
    tp, fp, tn, fn = cells * [prevalence, 1 - prevalence, 1 - prevalence, prevalence]
    there = sensitivity * STATED / (sensitivity * STATED + fpr * (1 - STATED))
    normal_there = (1 - fpr) * (1 - STATED) / ((1 - fpr) * (1 - STATED) + (1 - sensitivity) * STATED)
    together = [
        float(multivariate_normal([mean, mean_2], [[1, CORRELATION], [CORRELATION, 1]]).cdf([at, at]))
        for mean, mean_2 in ((distance, other), (0, 0))
    ]  # Both predict normal: tumour patches, normal patches.
    missed = np.array([ndtr(at - distance), ndtr(at - other)])
    weights = np.array([prevalence, 1 - prevalence])
    normals = [weights @ [missed[0], specificity], weights @ [missed[1], specificity]]
    both = float(weights @ together)
    equal, chance = (
        1 - normals[0] - normals[1] + 2 * both,
        normals[0] * normals[1] + (1 - normals[0]) * (1 - normals[1]),
    )

    def precision(score: float) -> float:
        called = prevalence * ndtr(distance - score), (1 - prevalence) * ndtr(-score)
        return float(called[0] / (called[0] + called[1]))

    def loss(score: float) -> float:
        probability = expit(distance * score - distance**2 / 2 + logit(prevalence))
        tumour = prevalence * norm.pdf(score - distance) * (1 - probability) ** 2
        return float(tumour + (1 - prevalence) * norm.pdf(score) * probability**2)

    half = (distance / 2 - logit(prevalence) / distance) if distance else 0.0
    _KNOWN[key] = {
        "AUC": area_under,
        "mean sensitivity at specificity ≥ 0.9": quad(lambda u: float(ndtr(distance + ndtri(u))), 0, 0.1)[0] / 0.1,
        "average precision": quad(lambda s: precision(s) * norm.pdf(s - distance), distance - 8, distance + 8)[0],
        "sensitivity": sensitivity,
        "specificity": specificity,
        "PPV": tp / (tp + fp),
        "NPV": tn / (tn + fn),
        "accuracy": tp + tn,
        "balanced accuracy": (sensitivity + specificity) / 2,
        "F1": 2 * tp / (2 * tp + fp + fn),
        "MCC": (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
        "positive likelihood ratio": sensitivity / fpr,
        "negative likelihood ratio": (1 - sensitivity) / (1 - fpr),
        "PPV at prevalence 0.05": there,
        "NPV at prevalence 0.05": normal_there,
        "Brier score": quad(loss, -8, distance + 8)[0],
        "calibration slope": 1.0,
        "calibration intercept": 0.0,
        "calibration error below its 95 % limit": 1.0,
        "net benefit at 0.5": prevalence * ndtr(distance - half) - (1 - prevalence) * ndtr(-half),
        "difference of two AUCs": BEHIND,
        "difference of two accuracies": prevalence * (missed[1] - missed[0]),
        "kappa of two models": (equal - chance) / (1 - chance),
    }
    return _KNOWN[key]


def intervals(labels, first, second, probabilities, threshold, groups):
    """Return every interval by table and name; the text after a comma names the method."""
    rated = operating_point(labels, first, threshold, groups, [STATED])
    line = recalibration_line(labels, probabilities, groups)
    curve = decision_curve(labels, probabilities, groups, thresholds=[0.5])
    models = {"a": first, "b": second}
    calls = (first >= threshold).astype(int), (second >= threshold).astype(int)
    found = {
        "AUC": auc(labels, first, groups),
        "difference of two AUCs": compare_aucs(labels, models, groups).pairs[0].difference,
        "mean sensitivity at specificity ≥ 0.9": partial_auc(labels, first, groups),
        "average precision": average_precision(labels, first, groups),
        "sensitivity": rated.sensitivity,
        "specificity": rated.specificity,
        "PPV": rated.ppv,
        "NPV": rated.npv,
        "accuracy": rated.accuracy,
        "balanced accuracy": rated.balanced_accuracy,
        "F1": rated.f1,
        "MCC": rated.mcc,
        "positive likelihood ratio": rated.positive_likelihood_ratio,
        "negative likelihood ratio": rated.negative_likelihood_ratio,
        "difference of two accuracies": mcnemar(labels, *calls, groups).difference,
        "kappa of two models": kappa(*calls, groups) if max(map(np.ptp, calls)) else None,
        "Brier score": brier_score(labels, probabilities, groups).score,
        "calibration slope": line.slope,
        "calibration intercept": line.intercept,
        "net benefit at 0.5": (float(curve.low[0]), float(curve.high[0])),
    }
    if rated.at_prevalence:
        found["PPV at prevalence 0.05"] = rated.at_prevalence[0].ppv
        found["NPV at prevalence 0.05"] = rated.at_prevalence[0].npv
    well = calibration_error(labels, probabilities, groups, draws=200).p_value > 0.05
    found["calibration error below its 95 % limit"] = (float(well), float(well))
    used = {(USED, name): each for name, each in found.items() if each is not None}
    return used | {(OTHERS, name): each for name, each in _others(labels, first, threshold, groups, rated).items()}


def _others(labels, scores, threshold, groups, rated):
    estimate = area(labels, scores, groups).estimate
    spread = 1.96 * np.sqrt(auc_covariance(labels, {"a": scores}, groups)[0, 0]) if min(np.bincount(labels)) > 1 else 0
    name = "DeLong" if groups is None else "Obuchowski"
    found = {f"AUC, {name}, plain": (estimate - spread, estimate + spread)}
    if estimate < 1:
        half = spread / (estimate * (1 - estimate))
        found[f"AUC, {name}, logit scale, normal quantile"] = tuple(expit(logit(estimate) + half * np.array([-1, 1])))
    counts = rated.point
    if groups is None:
        cells = np.array([counts.true_positives, counts.false_positives, counts.true_negatives, counts.false_negatives])
        rng = np.random.default_rng(0)
        drawn = rng.multinomial(len(labels), cells / len(labels), 500).T
    else:
        found["AUC, bootstrap of clusters, percentiles"] = _ends(
            bootstrap_aucs(labels, {"a": scores}, groups, replicates=400)
        )
        found["AUC, patches treated as independent"] = auc(labels, scores)
        found["specificity, patches treated as independent"] = wilson(
            counts.true_negatives, counts.true_negatives + counts.false_positives
        )
        called = scores >= threshold
        kinds = [called & (labels == 1), called & (labels == 0), ~called & (labels == 0), ~called & (labels == 1)]
        by_cluster = np.array([np.bincount(groups, kind) for kind in kinds])
        size = by_cluster.shape[1]
        drawn = by_cluster @ np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), 500).T
    tp, fp, tn, fn = drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        mcc = (tp * tn - fp * fn) / np.sqrt(1.0 * (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        f1 = 2 * tp / (2 * tp + fp + fn)
    found["MCC, bootstrap, percentiles"] = tuple(np.nanquantile(mcc, [0.025, 0.975]))
    found["F1, bootstrap, percentiles"] = tuple(np.nanquantile(f1, [0.025, 0.975]))
    return found


def _ends(drawn):
    return drawn.interval("a").low, drawn.interval("a").high


def _cell(values: list[float] | None) -> str:
    if not values:
        return ""
    mean = np.mean(values)
    mark = "" if 93 <= mean <= 97 else "**"
    return f"{mark}{mean:.1f}{mark} ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    main()
