"""The section of a report with precision and recall, calibration, selective prediction and decisions."""

from markupsafe import Markup

from sentinode.plots import plot_decision_curve, plot_precision_recall, plot_reliability, plot_risk_coverage
from sentinode.report.data import ReportData
from sentinode.report.figures import to_svg
from sentinode.report.formatting import fixed, percent, with_limits
from sentinode.report.page import Figure, Figures, Part


def curves(data: ReportData) -> list[Part]:
    """Return the parts of the section."""
    return [Figures([_precision_recall(data), _calibration(data), _selective_prediction(data), _decisions(data)])]


def _precision_recall(data: ReportData) -> Figure:
    found = data.evaluation.ranking.average_precision
    alt = f"Precision against recall. Average precision {fixed(found.estimate)}, by chance {fixed(data.prevalence)}."
    svg = to_svg(plot_precision_recall(data.evaluation.precision_recall), alt, "precision-recall")
    reading = Markup("Average precision {}. It depends on the prevalence of tumour, here {}.")
    return Figure("Precision and recall", svg, reading.format(with_limits(found), percent(data.prevalence, 0)))


def _calibration(data: ReportData) -> Figure:
    points, error = data.evaluation.calibration.reliability, data.evaluation.calibration.error
    alt = f"Observed frequency of tumour against its predicted probability, in {len(points)} bins."
    svg = to_svg(plot_reliability(points), alt, "reliability")
    reading = Markup("Calibration error {}; under perfect calibration it is below {} in {} of samples.").format(
        fixed(error.estimate), fixed(error.q95_if_calibrated), percent(0.95, 0)
    )
    if slope := data.evaluation.calibration.recalibration.slope:
        reading += Markup(" Calibration slope {}, ideally 1.").format(with_limits(slope))
    return Figure("Calibration", svg, reading)


def _selective_prediction(data: ReportData) -> Figure:
    curve, sets = data.evaluation.risk_coverage, data.evaluation.selective.conformal
    overall = percent(float(curve.risk[-1]))
    alt = f"Error rate against coverage, most confident predictions first. At full coverage it is {overall}."
    reading = Markup("Error rate at full coverage: {}.").format(overall)
    for each in data.evaluation.selective.coverage_at_risk:
        covered = "not attainable" if each.coverage is None else f"{percent(each.coverage, 0)} of patches"
        reading += f" Coverage at an error rate of at most {percent(each.risk, 0)}: {covered}."
    if sets:
        reading += Markup(" Conformal prediction sets for {} coverage contain the true class in {}.").format(
            percent(sets.nominal, 0), with_limits(sets.coverage)
        )
    return Figure("Selective prediction", to_svg(plot_risk_coverage(curve), alt, "risk-coverage"), reading)


def _decisions(data: ReportData) -> Figure:
    alt = "Net benefit of the model, of treating all and of treating none, against the threshold probability."
    reading = (
        "Net benefit: true positives per patch minus false positives, weighted by the odds of the threshold "
        "probability. The model is useful where its curve is above both others, at a prevalence of "
        f"{percent(data.evaluation.decision_curve.prevalence, 0)}."
    )
    return Figure(
        "Decision curve", to_svg(plot_decision_curve(data.evaluation.decision_curve), alt, "decision"), reading
    )
