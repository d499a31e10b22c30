"""The report of a run: one page with its results, data, training and limitations."""

from pathlib import Path
from typing import TYPE_CHECKING

from sentinode.data.patchset import PatchSet
from sentinode.errors import plural
from sentinode.report.attribution_overlays import attribution_overlays
from sentinode.report.data import ReportData, load_report_data
from sentinode.report.formatting import code
from sentinode.report.model_card import write_model_card
from sentinode.report.page import Bullets, Definitions, Fragment, Note, Part, Section, write_page
from sentinode.report.sections.curves import curves
from sentinode.report.sections.examples import Explainer, examples
from sentinode.report.sections.groups import groups, robustness
from sentinode.report.sections.reproduce import commands, limitations, provenance
from sentinode.report.sections.summary import summary
from sentinode.report.sections.thresholds import thresholds
from sentinode.report.sections.training import training

if TYPE_CHECKING:
    from sentinode.training.run import Run

REPORT, CARD = "report.html", "model-card.md"


def write_report(
    run: "Run",
    patches: PatchSet,
    split: str | None = None,
    *,
    cache: str | Path | None = None,
    model_card: bool = False,
) -> list[Path]:
    """Write ``RUN/report.html``; evaluate the run first where no evaluation exists.

    Parameters
    ----------
    run : Run
        From `train` or `load_run`. The report of pretrained weights goes into a folder of their name in the current
        directory.
    patches : PatchSet
        Any labeled set.
    split : str, optional
        The split to report on; when left out that of `evaluate`.
    cache : str or Path, optional
        Where decoded patches are kept; see `PatchSet.cached`.
    model_card : bool
        Write ``RUN/model-card.md`` from the same data too.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    DataError
        No such split, no labels, or only one class; or files of the evaluation are damaged.

    Examples
    --------
    >>> import os, tempfile
    >>> from sentinode import load_run, open_patches
    >>> os.chdir(tempfile.mkdtemp())
    >>> patches = open_patches("pcam-mini", split="test")
    >>> [path.name for path in write_report(load_run("d4net-m"), patches.select(range(0, 400, 100)))]
    ['report.html']
    """
    return write_report_files(load_report_data(run, patches, split, cache), model_card=model_card)


def write_report_files(data: ReportData, *, model_card: bool = False) -> list[Path]:
    """Write the report from its data; see `write_report`."""
    run = data.run
    written = [run.results_folder / REPORT]
    write_report_page(data, written[0], lambda pixels: attribution_overlays(run, pixels))
    if model_card:
        written.append(run.results_folder / CARD)
        write_model_card(data, written[1])
    return written


def write_report_page(data: ReportData, path: Path, explain: Explainer | None = None) -> None:
    """Write the page of a report.

    Parameters
    ----------
    data : ReportData
        The run and its results.
    path : Path
        The HTML file.
    explain : callable, optional
        See `sentinode.report.sections.examples.examples`.
    """
    movable, values = thresholds(data)
    evaluation = data.evaluation
    parts: list[Part] = [
        Fragment("question.html"),
        Note(
            f"{plural(data.run.config['model']['parameters'], 'parameter')}. Evaluated on "
            f"{plural(evaluation.normal + evaluation.tumour, 'patch')} of {data.source}. {provenance(data)[0]}"
        ),
        Section("Summary", summary(data), "s-summary"),
        Section("Operating point", movable, "s-thresholds"),
        Section("Precision, calibration, decisions", curves(data), "s-curves"),
        Section("Subgroups", groups(data), "s-groups"),
        Section("Robustness", robustness(data), "s-robustness"),
        Section("Example patches", examples(data, explain), "s-examples"),
        Section("Data and training", training(data), "s-training"),
        Section("Limitations", [Bullets(limitations(data))], "s-limits"),
        Section("Reproduce", _reproduce(data), "s-reproduce"),
    ]
    write_page(path, data.run.name, [], parts, scripts=["thresholds.js", "examples.js"], data=values)


def _reproduce(data: ReportData) -> list[Part]:
    found = dict(commands(data))
    parts: list[Part] = [Definitions([(purpose, code(command)) for purpose, command in found.items()])]
    if "Training" not in found:
        parts.append(
            "No single command reproduces the training; see the provenance of the weights and the settings above."
        )
    return parts
