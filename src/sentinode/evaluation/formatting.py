"""Format results as text for a terminal."""

from collections.abc import Sequence

from sentinode.errors import plural
from sentinode.evaluation.comparison import ComparedModel, ComparedPair, Comparison
from sentinode.evaluation.evaluation import Evaluation
from sentinode.evaluation.robustness import RobustnessPoint, RobustnessResult
from sentinode.metrics import Interval, OperatingPoint

RATES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "mcc": "MCC",
    "positive_likelihood_ratio": "positive likelihood ratio",
    "negative_likelihood_ratio": "negative likelihood ratio",
}
UNKNOWN = "–"


def format_evaluation(found: Evaluation, full: bool = False) -> str:
    """Format an evaluation.

    Parameters
    ----------
    found : Evaluation
        The results.
    full : bool, default False
        Whether to include all operating points, calibration, selective prediction and groups. By default only the AUC,
        and accuracy, sensitivity, specificity and confusion matrix at the threshold of the model.

    Returns
    -------
    str
        Lines of at most about 120 characters.
    """
    point = found.operating_point
    lines = [*_header(found, found.ranking.auc.clusters), ""]
    if not full:
        rows = [("AUC", _short(found.ranking.auc))]
        rows += [(name, _short(getattr(point, name))) for name in ("accuracy", "sensitivity", "specificity")]
        return "\n".join([*lines, *align(rows), "", *_confusion_matrix(point)])
    ranking = found.ranking
    lines += align(
        [
            ("AUC", _short(ranking.auc)),
            ("mean sensitivity at specificity >= 0.9", _short(ranking.partial_auc)),
            ("average precision", _short(ranking.average_precision)),
        ]
    )
    lines += ["", *_operating_points(found), "", *_confusion_matrix(point), "", *_calibration(found)]
    lines += ["", *_selective(found)]
    for column, groups in found.subgroups.items():
        table = [
            (
                group.name,
                f"{group.normal + group.tumour:,}",
                *(_short(each) for each in (group.auc, group.point.sensitivity, group.point.specificity)),
                group.note,
            )
            for group in groups
        ]
        lines += ["", f"by {column}, lowest AUC first"]
        lines += align([(column, "patches", "AUC", "sensitivity", "specificity", "note"), *table])
    return "\n".join(lines)


def format_comparison(found: Comparison) -> str:
    """Format a comparison: the metrics and the cost of each model, and the tests of each pair."""
    lines = [*_header(found, found.models[0].auc.clusters), ""]
    lines += align(
        [("model", "AUC", "SD over seeds", "sensitivity", "specificity"), *(_metrics(each) for each in found.models)]
    )
    lines += ["", "cost; patches/s is a rough measurement on this machine"]
    lines += align(
        [("model", "parameters", "GFLOP per patch", "patches/s", "MB"), *(_cost(each) for each in found.models)]
    )
    lines += ["", "differences; p-values are adjusted for the number of pairs (Holm)"]
    header = ("pair", "AUC", "p (DeLong)", "p (bootstrap)", "accuracy", "p (McNemar)", "kappa")
    lines += align([header, *(_difference(each) for each in found.pairs)])
    if len(found.models) > 2:
        lines.append(f"p-value for equality of all AUCs: {format_p_value(found.p_value)}")
    return "\n".join(lines)


def format_robustness(found: RobustnessResult) -> str:
    """Format robustness results: every level of every perturbation, and the summary."""
    rows = [("none", "", *_robustness(found.unperturbed))]
    for name, curve in found.perturbations.items():
        rows += [(name, f"{point.level:g}", *_robustness(point)) for point in curve.points]
    means = sorted(found.perturbations.items(), key=lambda each: each[1].mean_auc.estimate)
    worst = found.perturbations[found.worst].worst
    return "\n".join(
        [
            *_header(found, found.unperturbed.auc.clusters),
            "",
            *align([("perturbation", "level", "AUC", "sensitivity", "specificity", "out of distribution"), *rows]),
            "",
            "mean AUC over the levels of each perturbation, lowest first",
            *align([(name, _short(curve.mean_auc)) for name, curve in means]),
            "",
            *align(
                [
                    ("AUC, unperturbed", _short(found.unperturbed.auc)),
                    ("AUC, mean over perturbations", _short(found.perturbed_auc)),
                    ("loss of AUC", _short(found.auc_loss)),
                    ("lowest AUC", f"{_short(worst.auc)} ({found.worst}, level {worst.level:g})"),
                ]
            ),
        ]
    )


def format_p_value(value: float) -> str:
    """Format a p-value.

    Examples
    --------
    >>> format_p_value(0.0004), format_p_value(0.25)
    ('< 0.001', '0.250')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align the cells of rows in columns.

    Examples
    --------
    >>> align([("AUC", "0.95"), ("accuracy", "0.9")])
    ['  AUC       0.95', '  accuracy  0.9']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _header(found: Evaluation | Comparison | RobustnessResult, clusters: int | None) -> list[str]:
    lines = [f"{found.data}: {found.normal:,} normal, {found.tumour:,} tumour"]
    if clusters is not None:
        return [*lines, f"95 % confidence intervals over {clusters:,} {found.clusters}s"]
    narrow = "too narrow because slides are unknown and patches are treated as independent"
    return [*lines, f"95 % confidence intervals, {narrow}"]


def _short(interval: Interval | None) -> str:
    return UNKNOWN if interval is None else f"{interval:.3f}"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _confusion_matrix(point: OperatingPoint) -> list[str]:
    counts = point.counts
    return [
        f"at threshold {point.threshold:.4f}",
        *align(
            [
                ("", "predicted normal", "predicted tumour"),
                ("normal", f"{counts.true_negatives:,}".rjust(16), f"{counts.false_positives:,}".rjust(16)),
                ("tumour", f"{counts.false_negatives:,}".rjust(16), f"{counts.true_positives:,}".rjust(16)),
            ]
        ),
    ]


def _operating_points(found: Evaluation) -> list[str]:
    points = found.operating_points.values()
    header = ("threshold", *(f"{point.threshold:.4f} ({name})" for name, point in found.operating_points.items()))
    rows = [header, *((title, *(_short(getattr(point, name)) for point in points)) for name, title in RATES.items())]
    for prevalence in sorted({each.prevalence for point in points for each in point.at_prevalence}):
        for name in ("ppv", "npv"):
            values = ({each.prevalence: each for each in point.at_prevalence}.get(prevalence) for point in points)
            cells = (_short(getattr(value, name, None)) for value in values)
            rows.append((f"{name.upper()} at {100 * prevalence:.3g} % prevalence", *cells))
    return align(rows)


def _calibration(found: Evaluation) -> list[str]:
    error, brier, line = found.calibration.error, found.calibration.brier, found.calibration.recalibration
    expected = f"below {error.q95_if_calibrated:.4f} if perfectly calibrated (p = {format_p_value(error.p_value)})"
    return align(
        [
            ("calibration error", f"{error.estimate:.4f}; {expected.replace('= <', '<')}"),
            ("calibration slope (ideal: 1)", _short(line.slope)),
            ("calibration intercept (ideal: 0)", _short(line.intercept)),
            ("Brier score", f"{_short(brier.score)}, of which {brier.miscalibration:.4f} miscalibration"),
        ]
    )


def _selective(found: Evaluation) -> list[str]:
    lines = [f"selective prediction with {each}" for each in found.selective.coverage_at_risk]
    sets = found.selective.conformal
    if sets:
        lines.append(
            f"{_percent(sets.nominal, 0)} prediction sets: coverage {_short(sets.coverage)}; "
            f"{_percent(sets.one_label)} with one label, {_percent(sets.both_labels)} with both"
        )
    return lines


def _metrics(model: ComparedModel) -> tuple[str, ...]:
    spread = UNKNOWN if model.auc_sd is None else f"{model.auc_sd:.3f} ({plural(len(model.auc_by_seed), 'seed')})"
    return model.name, _short(model.auc), spread, _short(model.sensitivity), _short(model.specificity)


def _cost(model: ComparedModel) -> tuple[str, ...]:
    cost = model.cost
    values = (
        (cost.parameters, 1, ",.0f"),
        (cost.flops, 1e9, ".3f"),
        (cost.patches_per_s, 1, ",.0f"),
        (cost.size_bytes, 1e6, ".2f"),
    )
    return model.name, *(UNKNOWN if value is None else format(value / unit, spec) for value, unit, spec in values)


def _difference(pair: ComparedPair) -> tuple[str, ...]:
    return (
        f"{pair.auc.first} - {pair.auc.second}",
        _short(pair.auc.difference),
        format_p_value(pair.auc.p_holm),
        format_p_value(pair.bootstrap.p_holm),
        _short(pair.accuracy.difference),
        format_p_value(pair.accuracy_p_holm),
        UNKNOWN if pair.kappa is None else f"{pair.kappa.estimate:.3f}",
    )


def _robustness(point: RobustnessPoint) -> tuple[str, ...]:
    ood_rate = UNKNOWN if point.ood_rate is None else _percent(point.ood_rate)
    return *(_short(each) for each in (point.auc, point.sensitivity, point.specificity)), ood_rate
