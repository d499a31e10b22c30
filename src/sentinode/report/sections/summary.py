"""The summary of a report: key figures and warnings."""

from sentinode.errors import plural
from sentinode.report.data import ReportData
from sentinode.report.formatting import fixed, with_limits
from sentinode.report.page import Findings, Fragment, Note, Part
from sentinode.report.sections.reproduce import warnings

# A loss of AUC below this is no reason for a warning.
SMALL_LOSS = 0.01


def summary(data: ReportData) -> list[Part]:
    """Return the parts of the section."""
    found, error = data.evaluation, data.evaluation.calibration.error
    tiles = [
        ("AUC", with_limits(found.ranking.auc), "probability that a tumour patch scores above a normal one"),
        ("Sensitivity", with_limits(data.point.sensitivity), "share of tumour patches that are detected"),
        ("Specificity", with_limits(data.point.specificity), "share of normal patches predicted normal"),
        (
            "Calibration error",
            fixed(error.estimate),
            f"mean difference of predicted and observed frequency; below {fixed(error.q95_if_calibrated)} is expected "
            "under perfect calibration",
        ),
    ]
    auc = found.ranking.auc
    unit = f"clustered by {plural(auc.clusters, str(found.clusters))}" if auc.clusters else "patches as independent"
    return [
        Fragment("tiles.html", tiles=tiles),
        Note(
            f"On {plural(found.normal, 'normal patch')} and {plural(found.tumour, 'tumour patch')}, at the run's "
            f"threshold of {fixed(data.threshold, 4)}. Values in small type are 95 % confidence intervals ({unit})."
        ),
        Findings(_findings(data)),
    ]


def _findings(data: ReportData) -> list[tuple[str, str]]:
    found = [
        ("bad" if data.overlap.trained_on and not number else "warn", text)
        for number, text in enumerate(warnings(data))
    ]
    error = data.evaluation.calibration.error
    if error.estimate > error.q95_if_calibrated:
        found.append(
            (
                "warn",
                f"The model is miscalibrated: its calibration error is {fixed(error.estimate)}; under perfect "
                f"calibration it would be below {fixed(error.q95_if_calibrated)} in 95 % of samples.",
            )
        )
    if data.robustness is not None:
        lost = data.robustness.auc_loss.estimate
        found.append(
            (
                "warn" if lost > SMALL_LOSS else "good",
                f"Perturbations of stain, focus and scanner lower the AUC by {fixed(lost)} on average; "
                f"{data.robustness.worst} lowers it most.",
            )
        )
    return found or [("good", "No source of optimistic bias was found.")]
