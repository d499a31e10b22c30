"""The top of a report: what it comes to, and what speaks against it."""

from html import escape

from sentinode.report.data import Facts
from sentinode.report.formatting import fixed, plural, with_limits
from sentinode.report.old_html import findings
from sentinode.report.reproduce import warnings


def summary(facts: Facts) -> list[str]:
    """Return the key figures and the findings."""
    counts, point = facts.metrics, facts.point
    error = facts.metrics["calibration"]["error"]
    tiles = [
        ("AUC", with_limits(facts.metrics["ranking"]["auc"]), "how often tumour scores above normal"),
        ("Sensitivity", with_limits(point["sensitivity"]), "tumour patches called tumour"),
        ("Specificity", with_limits(point["specificity"]), "normal patches called normal"),
        (
            "Calibration error",
            f'{fixed(error["estimate"])} <span class="limits">'
            f"below {fixed(error['q95_if_calibrated'])} if calibrated</span>",
            "how far probabilities are from what happens",
        ),
    ]
    shown = "".join(
        f'<div><dt>{name}</dt><dd>{value}</dd><dd class="soft">{meaning}</dd></div>' for name, value, meaning in tiles
    )
    unit = "patches taken as independent"
    if not facts.independent:
        unit = plural(facts.metrics["ranking"]["auc"]["clusters"], str(facts.metrics["clusters"]))
    return [
        f'<dl class="tiles">{shown}</dl>',
        f'<p class="soft">On {plural(counts["normal"], "normal patch")} and '
        f"{plural(counts['tumour'], 'patch')} with tumour, at the run's threshold of "
        f"{fixed(facts.threshold, 4)}. Small figures are 95 % limits, over {escape(unit)}.</p>",
        findings(_findings(facts)),
    ]


def _findings(facts: Facts) -> list[tuple[str, str]]:
    told = [("bad" if facts.trained_on and not place else "warn", each) for place, each in enumerate(warnings(facts))]
    error = facts.metrics["calibration"]["error"]
    if error["estimate"] is not None and error["estimate"] > error["q95_if_calibrated"]:
        told.append(
            (
                "warn",
                f"Probabilities are not what happens: the calibration error of {fixed(error['estimate'])} is more than "
                f"the {fixed(error['q95_if_calibrated'])} that chance would leave of right ones.",
            )
        )
    if facts.stress is not None:
        lost = facts.stress.auc_loss.estimate
        told.append(
            (
                "warn" if lost > 0.01 else "good",
                f"Under shifts of stain, focus and scanner {fixed(lost)} of the AUC is lost "
                f"on the mean; the worst is {facts.stress.worst}.",
            )
        )
    return told or [("good", "Nothing is known that flatters these figures.")]
