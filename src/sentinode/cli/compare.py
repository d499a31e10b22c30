"""Compare models on the same labeled patches: ROC curves, paired tests, agreement and cost."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import add_data, add_figures, add_interpretation, add_json, data_words, output_folder
from sentinode.cli.common.output import command_line, print_json, print_next_steps, report_skipped
from sentinode.cli.common.start import open_data, start_keras
from sentinode.cli.evaluate import POINT_HELP, POINT_SPLIT_HELP, SPLIT_HELP
from sentinode.samples import PRETRAINED


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("compare", help="compare models on the same patches", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="MODEL",
        help=f"model to compare, at least two: a run directory, a model file (.keras, .onnx, …), a pretrained model "
        f"({', '.join(PRETRAINED)}) or a csv "
        "file of predictions with the columns id, and probability or logit; NAME=MODEL sets its name; "
        "NAME=RUN,RUN,RUN or NAME=runs/cnn-* are several seeds of one recipe",
    )
    parser.add_argument("--split", metavar="NAME", help=SPLIT_HELP)
    parser.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--point",
        metavar="RULE",
        help=f"operating point of all models: {POINT_HELP} (default: the threshold of each run; for a csv file, the "
        "threshold in the accompanying JSON file if there is one, otherwise 0.5)",
    )
    parser.add_argument("--point-split", metavar="NAME", help=POINT_SPLIT_HELP)
    add_figures(parser)
    add_interpretation(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sentinode.evaluation.candidates import open_candidates
    from sentinode.external.files import is_keras_file

    if any(is_keras_file(model.rpartition("=")[2]) for model in arguments.model):
        start_keras()
    candidates = open_candidates(
        arguments.model, input_scale=arguments.input_scale, model_output=arguments.model_output
    )
    patches = open_data(arguments, quiet=arguments.json)
    if any(candidate.runs for candidate in candidates):
        start_keras()
    from sentinode.evaluation.compare import compare
    from sentinode.evaluation.comparison import COMPARISON
    from sentinode.evaluation.formatting import format_comparison
    from sentinode.report.compare_page import write_compare_page

    folder = Path(arguments.out)
    found = compare(
        candidates,
        patches,
        arguments.split,
        point=arguments.point,
        point_split=arguments.point_split,
        cache=arguments.cache,
    )
    found.save(folder, arguments.figures)
    write_compare_page(found, folder / "compare.html")
    skipped = found.made_by.get("skipped", ())
    if arguments.json:
        print_json(found)
        return report_skipped(skipped, quiet=True)
    print(format_comparison(found))
    print_next_steps(
        {
            folder / "compare.html": "report; open it in a browser",
            folder / f"compare.{arguments.figures}": "ROC curves, areas and differences",
            folder / "compare.csv": "one row for each model",
            folder / COMPARISON: "all metrics",
        },
        command_line("stress", *data_words(arguments), "--model", "RUN", "--quick"),
    )
    return report_skipped(skipped)
