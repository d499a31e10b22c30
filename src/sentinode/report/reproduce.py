"""What has to be typed to come to the same numbers, and what they do not say."""

import shlex
from collections.abc import Callable

from sentinode.evaluation.evaluate import PREVALENCE
from sentinode.report.data import Facts
from sentinode.report.formatting import fixed, percent
from sentinode.training.command import train_command


def commands(facts: Facts, shown: Callable[[str], str] = str) -> list[tuple[str, str]]:
    """Return what each command is for, and the command; `shown` says what is shown of a path."""
    run, data = shown(facts.run.name if facts.run.pretrained else str(facts.run.path)), shown(facts.patches.path)
    split = ["--split", facts.metrics["split"]] if facts.metrics["split"] != "all" else []
    points = facts.metrics["operating_points"]
    asked = [word for name in points if name not in ("0.5", "validation") for word in ("--point", name)]
    stated = [f"{each['prevalence']:g}" for each in facts.point["at_prevalence"]]
    if stated != [f"{PREVALENCE:g}"]:
        asked += [word for each in stated for word in ("--prevalence", each)]
    told = [("the training", shlex.join(made))] if (made := train(facts, run, shown)) else []
    told.append(("the evaluation", shlex.join(["sentinode", "evaluate", data, "--model", run, *split, *asked])))
    if facts.stress is not None:
        quick = ["--quick"] if facts.stress.made_by["quick"] else []
        told.append(("the stress test", shlex.join(["sentinode", "stress", data, "--model", run, *split, *quick])))
    return [*told, ("this page", shlex.join(["sentinode", "report", run, data, *split]))]


def train(facts: Facts, out: str, shown: Callable[[str], str] = str) -> list[str]:
    """Return the command that trained the run; nothing where one command did not do it."""
    start = facts.run.provenance.starting_weights
    return train_command(facts.run, shown(facts.run.provenance.data), out, shown(start.model) if start else None) or []


def limitations(facts: Facts) -> list[str]:
    """Return sentences on what the figures do not say."""
    counts = facts.metrics
    share = counts["tumour"] / (counts["normal"] + counts["tumour"])
    told = [
        "Research use only: not a medical device, and not for decisions about people. It was not compared with "
        "pathologists.",
        f"The share of tumour is {percent(share, 0)} among these patches. PPV, NPV, accuracy, average precision and "
        "net benefit depend on it; on a slide a few patches in a hundred hold tumour.",
        "A patch is 96 × 96 px, and its label is about the central 32 × 32 px. What a slide looks like around it, and "
        "whether a patient has metastases, is another question.",
        f"The weights are the mean of those of {len(averaged) + 1} trainings; the mean of others is another network."
        if (averaged := facts.run.provenance.soup)
        else "The numbers are of this one training; another seed gives another network.",
    ]
    told += warnings(facts)
    if not facts.metrics["subgroups"]:
        told.append("Whether it works equally well on every slide and in every centre is not known.")
    if facts.stress is None:
        told.append("What is left of it under other stains and scanners was not measured.")
    else:
        told.append(
            f"Other stains and scanners cost it: AUC falls from {fixed(facts.stress.unperturbed.auc.estimate)} to "
            f"{fixed(facts.stress.perturbed_auc.estimate)} on the mean over shifts, the worst being "
            f"{facts.stress.worst}. Made-up shifts are no other laboratory."
        )
    return told


def warnings(facts: Facts) -> list[str]:
    """Return sentences on what flatters the figures; none where nothing is known to."""
    told = []
    if facts.trained_on:
        told.append(f"{facts.trained_on:,} of the evaluated patches were trained on: figures on them flatter.")
    if facts.chosen_on:
        told.append(
            f"Calibration, {facts.run.validation_choices}: chosen on {facts.chosen_on:,} of the evaluated patches, "
            "which makes them a development set. Figures flatter a little, those of calibration more."
        )
    if facts.independent:
        told.append(
            "Slides of the patches are not known, so the limits take patches as independent. They are too narrow for "
            "any other slides."
        )
    return told
