"""The sections of a report on subgroups of patches and on robustness."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from sentinode.errors import plural
from sentinode.metrics import Subgroup
from sentinode.plots.forest import COLOR_AND_MARKER, forest_height, plot_subgroup_metric
from sentinode.plots.robustness import LINES, lowest_limit, plot_perturbation
from sentinode.plots.style import new_axes
from sentinode.report.data import ReportData
from sentinode.report.figures import SMALL_SIZE, VARIABLES, to_svg
from sentinode.report.formatting import fixed, with_limits
from sentinode.report.page import Figure, Figures, Fragment, Note, Part, Subheading, Table


def groups(data: ReportData) -> list[Part]:
    """Return the parts of the section on subgroups."""
    if not data.evaluation.subgroups:
        return [
            "No column with 2 to 30 values names the slide, patient or centre of these patches, so it is not known "
            "whether the results hold for each of them."
        ]
    overall = {
        "AUC": data.evaluation.ranking.auc,
        "sensitivity": data.point.sensitivity,
        "specificity": data.point.specificity,
    }
    reference = {name: interval.estimate for name, interval in overall.items() if interval}
    parts: list[Part] = [
        f"At the run's threshold of {fixed(data.threshold, 4)}, with 95 % confidence intervals. The dotted line is the "
        "value of all patches together."
    ]
    for column, found in data.evaluation.subgroups.items():
        parts += [
            Subheading(f"By {column}, lowest AUC first"),
            _forest(column, found, reference),
            _table(column, found),
        ]
        parts += [Note(f"{group.name}: {group.note}") for group in found if group.note]
    return parts


def _forest(column: str, found: Sequence[Subgroup], reference: Mapping[str, float]) -> Figures:
    figures = []
    for metric in COLOR_AND_MARKER:
        ax = new_axes(size=(SMALL_SIZE[0], forest_height(len(found))))[0]
        plot_subgroup_metric(found, metric, reference=reference.get(metric), ax=ax)
        alt = f"{metric} of each {column} with 95 % confidence intervals; the table below has the numbers."
        figures.append(Figure(metric, to_svg(ax, alt, f"{metric}-by-{column}".replace(" ", "-"))))
    return Figures(figures, small=True)


def _table(column: str, found: Sequence[Subgroup]) -> Table:
    header = [column, "normal", "tumour", "AUC", "sensitivity", "specificity"]
    rows = [
        [
            group.name,
            f"{group.normal:,}",
            f"{group.tumour:,}",
            *map(with_limits, (group.auc, group.point.sensitivity, group.point.specificity)),
        ]
        for group in found
    ]
    return Table(header, rows, f"by-{column}")


def robustness(data: ReportData) -> list[Part]:
    """Return the parts of the section on robustness."""
    found = data.robustness
    if found is None:
        return [
            "There is no robustness test of this run on this split. Run “sentinode stress”, the robustness test, then "
            "write the report again."
        ]
    quick = " Only the extreme levels of each perturbation were tested (--quick)." if found.made_by["quick"] else ""
    text = Markup(
        "{} with perturbations of stain, focus, scanner and file format, at the unchanged threshold of {}.{} AUC {} "
        "without perturbation, {} on average over perturbations; {} lowers it most."
    ).format(
        plural(found.normal + found.tumour, "patch"),
        fixed(found.threshold, 4),
        quick,
        with_limits(found.unperturbed.auc),
        with_limits(found.perturbed_auc),
        found.worst,
    )
    levels = {
        name: [(point.level, (point.auc, point.sensitivity, point.specificity)) for point in found.points_of(name)]
        for name in found.perturbations
    }
    lowest = lowest_limit(levels.values())
    figures = []
    for name, curve in found.perturbations.items():
        ax = new_axes(size=SMALL_SIZE)[0]
        plot_perturbation(curve.description, curve.neutral, levels[name], ax=ax).set_ylim(lowest, 1.01)
        worst = fixed(curve.worst.auc.estimate)
        alt = f"AUC, sensitivity and specificity by level of {name}; the lowest AUC is {worst}."
        figures.append(Figure(name, to_svg(ax, alt, f"perturbation-{name}".replace(" ", "-"))))
    legend = [(name, f"stroke: var(--{VARIABLES[COLOR_AND_MARKER[name][0]]})", dash) for name, dash in LINES.items()]
    return [text, Fragment("legend.html", lines=legend), Figures(figures, small=True)]
