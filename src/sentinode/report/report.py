"""The report of a run: one page that shows what it is worth, on what, why, and how to make it again."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sentinode.data.patchset import PatchSet
from sentinode.report.attribution_overlays import attribution_overlays
from sentinode.report.curves import curves
from sentinode.report.data import Facts, gather
from sentinode.report.examples import Overlays, examples
from sentinode.report.formatting import code
from sentinode.report.groups import groups, stress
from sentinode.report.model_card import write_model_card
from sentinode.report.old_html import definitions, paragraph
from sentinode.report.operating import operating, values
from sentinode.report.page import Fragment, Note, Section, write_page
from sentinode.report.reproduce import commands, limitations, train
from sentinode.report.summary import summary
from sentinode.report.training import training

if TYPE_CHECKING:
    from sentinode.training.run import Run

REPORT, CARD = "report.html", "model-card.md"
QUESTION = "Does the central 32 × 32 px of a 96 × 96 px patch of lymph node, stained with H&E, hold metastatic tumour?"


def write_report(
    run: "Run",
    patches: PatchSet,
    split: str | None = None,
    *,
    cache: str | Path | None = None,
    model_card: bool = False,
) -> list[Path]:
    """Write ``RUN/report.html``; evaluate first if nothing is there.

    Parameters
    ----------
    run
        From `train` or `load_run`; of one that ships the report goes into a folder of its name where one works.
    patches
        Any labelled set.
    split
        The split to report on; when left out that of `evaluate`.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.
    model_card
        Write ``RUN/model-card.md`` from the same facts too.

    Returns
    -------
    list
        The files that were written.

    Raises
    ------
    DataError
        No such split, no labels, or only one class; or files of the evaluation are damaged.

    Examples
    --------
    >>> import shutil, tempfile
    >>> from sentinode import load_run, open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> run = load_run(shutil.copytree(load_run("d4net-m").path, tempfile.mkdtemp() + "/run"))
    >>> [path.name for path in write_report(run, few)]
    ['report.html']
    """
    facts = gather(run, patches, split, cache)
    written = [run.results_folder / REPORT]
    write_facts(facts, written[0], lambda pixels: attribution_overlays(run, pixels))
    if model_card:
        written.append(run.results_folder / CARD)
        write_model_card(facts, written[1])
    return written


def write_facts(facts: Facts, path: Path, overlays: Overlays | None = None) -> None:
    """Write the page of what is known of a run; see `sentinode.report.examples.examples` for `overlays`."""
    sections: dict[str, tuple[str, Sequence[str]]] = {
        "summary": ("In short", summary(facts)),
        "operating": ("Operating point", operating(facts)),
        "curves": ("Ranking, calibration, decisions", curves(facts)),
        "groups": ("Groups of patches", groups(facts)),
        "stress": ("Other stains and scanners", stress(facts)),
        "patches": ("Patches to look at", examples(facts, overlays)),
        "training": ("What was trained on what", training(facts)),
        "limits": ("What it does not say", _list(limitations(facts))),
        "again": ("How to make it again", _again(facts)),
    }
    write_page(
        path,
        facts.run.name,
        [],
        [
            Fragment("blocks/html.html", html=f'<p class="question">{QUESTION}</p>'),
            Note(_about(facts)),
            Fragment("blocks/html.html", html='<p class="use"><b>Research use only.</b> Not a medical device.</p>'),
            *(
                Section(heading, [Fragment("blocks/html.html", html="".join(parts))], f"s-{name}")
                for name, (heading, parts) in sections.items()
            ),
        ],
        scripts=["operating.js", "roc.js", "gallery.js"],
        data=values(facts),
    )


def _about(facts: Facts) -> str:
    model, data, counts = facts.run.config["model"], facts.run.config["data"], facts.metrics
    trained = data["train"]["normal"] + data["train"]["tumour"]
    return (
        f"A network of {model['parameters']:,} parameters, trained on {trained:,} patches of {data['path']}; "
        f"measured on {counts['normal'] + counts['tumour']:,} patches of {facts.metrics['data']}."
    )


def _again(facts: Facts) -> list[str]:
    told = [definitions([(what, code(each)) for what, each in commands(facts)])]
    if not train(facts, ""):
        told.append(paragraph("No one command makes the training again: see its settings, and what it started from."))
    return told


def _list(sentences: Sequence[str]) -> list[str]:
    return [f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>"]
