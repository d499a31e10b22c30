"""Write a report of a run: one HTML page with its results, data, training and limitations."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import DATA_HELP, add_cache, add_read_options, add_skip_bad, add_table, data_words
from sentinode.cli.common.output import command_line, print_next_steps, report_skipped
from sentinode.cli.common.start import open_data, start_keras
from sentinode.errors import ConfigError
from sentinode.samples import PRETRAINED, SAMPLES

FILES = {".html": "the report; open it in a browser", ".md": "the model card; README.md on Hugging Face"}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("report", help="write one page with all results of a run", description=__doc__)
    parser.add_argument(
        "model", metavar="RUN", help=f"a run directory, or pretrained weights ({', '.join(PRETRAINED)})"
    )
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help=f"{DATA_HELP} (default: the data that the run was trained on)"
    )
    add_table(parser)
    add_cache(parser)
    add_read_options(parser)
    add_skip_bad(parser)
    parser.add_argument(
        "--split", metavar="NAME", help="split to report on (default: test if it is labeled, otherwise valid)"
    )
    parser.add_argument(
        "--model-card", action="store_true", help="also write RUN/model-card.md, with metadata for Hugging Face"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sentinode.training.load import load_run

    loaded = load_run(arguments.model)
    if arguments.data is None:
        use_training_data(arguments, loaded.config["data"])
    patches = open_data(arguments)
    start_keras()
    from sentinode.report.data import load_report_data
    from sentinode.report.report import write_report_files

    data = load_report_data(loaded, patches, arguments.split, arguments.cache)
    written = write_report_files(data, model_card=arguments.model_card)
    print_next_steps(
        {file: FILES[file.suffix] for file in written},
        command_line("stress", *data_words(arguments), "--model", arguments.model),
    )
    return report_skipped([vars(each) for each in data.patches.skipped])


def use_training_data(arguments: argparse.Namespace, data: dict[str, Any]) -> None:
    """Read the data that the run was trained on, with the options that it was read with unless others are given.

    Raises
    ------
    ConfigError
        The data were not found.
    """
    arguments.data = data["path"]
    if arguments.data not in SAMPLES and not Path(arguments.data).exists():
        raise ConfigError(
            f"{arguments.model}: its training data, {arguments.data}, were not found; choose the patches to report on: "
            f"{command_line('report', arguments.model, 'DATA')}"
        )
    options = data.get("options", [])
    for flag, value in zip(options[::2], options[1::2], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if getattr(arguments, name) in (None, "error"):
            setattr(arguments, name, float(value) if name == "mpp" else value)
