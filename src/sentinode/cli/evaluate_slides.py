"""Evaluate scanned slides against the ground truth: slide AUC, a logistic model of several features, pN stages."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import add_json, check_not_an_input, output_file
from sentinode.cli.common.output import print_json, print_next_steps, print_table
from sentinode.errors import plural
from sentinode.output_paths import check_ending

_MOST_NAMES = 50


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate-slides", help="evaluate scanned slides, and stage patients", description=__doc__
    )
    parser.add_argument("scans", metavar="SCANS", help="output folder of `sentinode scan`")
    parser.add_argument(
        "--truth",
        metavar="CSV",
        help="columns slide and label (0 or 1, normal or tumour, negative, itc, micro or macro), or CAMELYON17's "
        "patient and stage",
    )
    parser.add_argument(
        "--out", type=output_file, metavar="CSV", help="table to write: features and scores of each slide"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print."""
    from sentinode.serialize import to_json
    from sentinode.slides.evaluation import evaluate_slides, read_scans
    from sentinode.storage import write_csv

    if arguments.out:
        check_ending(arguments.out, ".csv", "--out")
        check_not_an_input(arguments.out, [arguments.truth or ""])
    found = evaluate_slides(read_scans(arguments.scans), arguments.truth)
    if arguments.out:
        write_csv(found.slides, arguments.out)
    if arguments.json:
        stages = found.stages.astype(object).where(found.stages.notna(), None)
        print_json({"out": arguments.out, **to_json(found), "stages": stages.to_dict("records")})
        return 0
    counts = found.slides["label"].value_counts()
    print(
        f"{plural(len(found.slides), 'scanned slide')}; {counts.get(1.0, 0)} with tumour, {counts.get(0.0, 0)} "
        f"without, {found.slides['label'].isna().sum()} without a label"
    )
    if found.score_auc is not None:
        print(f"AUC of the slide score: {found.score_auc}")
    elif arguments.truth:
        print("An AUC needs slides with tumour and slides without tumour, from at least two patients.")
    if found.model_auc is not None:
        print(f"AUC of the logistic model, out of fold: {found.model_auc}")
    elif arguments.truth:
        print("The logistic model needs 10 slides with tumour and 10 without, from at least 5 patients.")
    if len(found.stages):
        columns = tuple(found.stages.columns)
        rows = [tuple(map(str, row)) for row in found.stages.fillna("").to_numpy().tolist()]
        print_table(rows, columns, text_columns=(0, 3, 4))
    if found.kappa is not None:
        patients = f"{found.kappa_patients} of {plural(found.true_patients, 'patient')}"
        print(f"Quadratic kappa of the stages of {patients}: {found.kappa:.3f}")
    elif found.true_patients:
        print("The kappa of the stages needs a patient all of whose slides in the truth are scanned.")
    if found.not_scanned:
        more = len(found.not_scanned) - _MOST_NAMES
        rest = f" and {more} more, see --json" if more > 0 else ""
        print(f"In the truth, but not scanned: {', '.join(found.not_scanned[:_MOST_NAMES])}{rest}")
    if arguments.out:
        print_next_steps({Path(arguments.out): "features and probabilities, one row per slide"})
    return 0
