"""An evaluation in words and columns, for a terminal."""

from typing import TYPE_CHECKING

from sentinode.metrics.interval import Interval

if TYPE_CHECKING:
    from sentinode.evaluation.evaluation import Evaluation

RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy", "f1", "mcc")
RATIOS = ("positive_likelihood_ratio", "negative_likelihood_ratio")


def format_evaluation(found: "Evaluation") -> str:
    """Return what a reader needs, in lines of a terminal."""
    lines = [f"{found.data}: {found.normal:,} normal, {found.tumour:,} tumour"]
    if found.clusters:
        count = found.ranking["auc"].clusters
        lines.append(f"95 % intervals over {count:,} {found.clusters}s")
    else:
        lines.append(
            "95 % intervals that take patches as independent: their slides are not known, so they are too narrow"
        )
    ranking = found.ranking
    lines += [
        "",
        f"AUC                                     {ranking['auc']}",
        f"mean sensitivity above specificity 0.9  {ranking['partial_auc']}",
        f"average precision                       {ranking['average_precision']}",
        "",
        *_points(found),
        "",
        *_calibration(found),
        "",
        *_selective(found),
    ]
    for column, groups in found.subgroups.items():
        lines += ["", f"by {column}, the lowest AUC first"]
        rows = [
            (
                group.name,
                f"{group.normal + group.tumour:,}",
                _short(group.auc),
                _short(group.rates.sensitivity),
                _short(group.rates.specificity),
                group.note,
            )
            for group in groups
        ]
        lines += columns([(column, "patches", "AUC", "sensitivity", "specificity", ""), *rows])
    return "\n".join(lines)


def _points(found: "Evaluation") -> list[str]:
    points = found.points
    header = ("at a threshold of", *(f"{point.point.threshold:.4f} ({name})" for name, point in points.items()))
    names = (*RATES, *RATIOS)
    rows = [header, *((_words(name), *(_short(getattr(point, name)) for point in points.values())) for name in names)]
    # A point that calls all patches alike has none.
    stated = {each.prevalence for point in points.values() for each in point.at_prevalence}
    for prevalence in sorted(stated):
        for name in ("ppv", "npv"):
            there = [{each.prevalence: each for each in point.at_prevalence} for point in points.values()]
            values = (_short(getattr(each.get(prevalence), name, None)) for each in there)
            rows.append((f"{name.upper()} where {prevalence:.3g} are tumour", *values))
    return columns(rows)


def _calibration(found: "Evaluation") -> list[str]:
    error, brier, line = found.calibration_error, found.brier, found.recalibration
    right = f"of right probabilities below {error.if_perfect_95:.4f} (p = {error.p_value:.3f})"
    return columns(
        [
            ("calibration error", f"{error.estimate:.4f}; {right}"),
            ("slope, 1 is right", _short(line.slope)),
            ("intercept, 0 is right", _short(line.intercept)),
            ("Brier score", f"{_short(brier.score)}, {brier.miscalibration:.4f} of it by calibration"),
        ]
    )


def _selective(found: "Evaluation") -> list[str]:
    lines = [f"calls with a {each}" for each in found.coverage_at_risk]
    if found.conformal:
        sets = found.conformal
        lines.append(
            f"prediction sets meant to hold {sets.asked:.0%} of labels hold {_short(sets.coverage)}; "
            f"{sets.one_label:.1%} say one label, {sets.both_labels:.1%} both"
        )
    return lines


def _words(name: str) -> str:
    upper = {"ppv": "PPV", "npv": "NPV", "f1": "F1", "mcc": "MCC"}
    return upper.get(name) or name.replace("_", " ")


def _short(interval: Interval | None) -> str:
    """Return an interval with as many digits as a table has room for."""
    if interval is None:
        return "–"
    return f"{interval.estimate:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows with their cells one below the other."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
