"""The commands that reproduce a report, and the limitations of its results."""

from dataclasses import replace

from sentinode.evaluation.evaluate import PREVALENCE
from sentinode.report.data import ReportData
from sentinode.report.formatting import fixed, percent, shareable, shareable_command
from sentinode.training.command import train_command
from sentinode.training.provenance import Provenance


def commands(data: ReportData) -> list[tuple[str, str]]:
    """Return the commands of a report, each with its purpose.

    Parameters
    ----------
    data : ReportData
        The run and its results.

    Returns
    -------
    list of tuple of str
        Purpose and command, quoted for a shell; paths are shown without absolute folders.
    """
    run = data.run.name if data.run.pretrained else str(data.run.path)
    patches = data.patches.to_arguments()
    split = ["--split", data.evaluation.split] if data.evaluation.split != "all" else []
    chosen = [name for name in data.evaluation.operating_points if name not in ("0.5", "validation")]
    options = [word for name in chosen for word in ("--point", name)]
    chosen_on = data.evaluation.made_by.get("points_chosen_on")
    if isinstance(chosen_on, dict):  # Not on the validation patches of the run.
        options += ["--point-split", chosen_on["split"]]
    stated = [each.prevalence for each in data.point.at_prevalence]
    if stated != [PREVALENCE]:
        options += [word for each in stated for word in ("--prevalence", f"{each:g}")]
    found = [("Evaluation", ["sentinode", "evaluate", *patches, "--model", run, *split, *options])]
    if trained := train_command(data.run, run):
        found.insert(0, ("Training", trained))
    if data.robustness is not None:
        quick = ["--quick"] if data.robustness.made_by["quick"] else []
        found.append(("Robustness test", ["sentinode", "stress", *patches, "--model", run, *split, *quick]))
    found.append(("This page", ["sentinode", "report", run, *patches, *split]))
    return [(purpose, shareable_command(command)) for purpose, command in found]


def provenance(data: ReportData) -> list[str]:
    """Return one sentence on each step that led to the weights, the last step first."""
    return _shareable(data.run.provenance).sentences()


def _shareable(step: Provenance) -> Provenance:
    start = step.starting_weights
    return replace(
        step,
        model=shareable(step.model),
        data=shareable(step.data),
        starting_weights=_shareable(start) if start else None,
        teachers=tuple(map(_shareable, step.teachers)),
    )


def limitations(data: ReportData) -> list[str]:
    """Return sentences on what the results do not show."""
    soup = data.run.provenance.soup
    found = [
        "Research use only: not a medical device, and not for decisions about people. The model was not compared with "
        "pathologists.",
        f"The prevalence of tumour is {percent(data.prevalence, 0)} among these patches. PPV, NPV, accuracy, average "
        "precision and net benefit depend on it; on whole slides a few percent of the patches contain tumour.",
        "A patch is 96 × 96 px, and its label refers to the central 32 × 32 px. Results on patches are not results on "
        "slides or patients.",
        f"The weights are the mean of {len(soup) + 1} training runs; the mean of other runs would give other results."
        if soup
        else "The results are those of one training run; another seed gives another network.",
        *warnings(data),
    ]
    if not data.evaluation.subgroups:
        found.append("It is not known whether the model works equally well on every slide and in every centre.")
    if data.robustness is None:
        found.append("The robustness to other stains and scanners was not measured.")
    else:
        found.append(
            f"Perturbations lower the AUC from {fixed(data.robustness.unperturbed.auc.estimate)} to "
            f"{fixed(data.robustness.perturbed_auc.estimate)} on average; {data.robustness.worst} lowers it most. "
            "Simulated perturbations do not replace data from another laboratory."
        )
    return found


def warnings(data: ReportData) -> list[str]:
    """Return sentences on sources of optimistic bias; empty where none is known."""
    found = [f"{text[0].upper()}{text[1:]}." for text in data.overlap.warnings]
    if data.evaluation.clusters is None:
        found.append(
            "The slides of the patches are unknown, so the confidence intervals treat patches as independent. For "
            "other slides they are too narrow."
        )
    return found
