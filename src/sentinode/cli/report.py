"""Write one page that shows a run: what it is worth, on what, why, and how to make it again."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.shared import (
    DATA_HELP,
    add_cache,
    add_read_options,
    add_skip_bad,
    add_table,
    command_line,
    data_words,
    open_data,
    print_next_steps,
    report_skipped,
    start_keras,
)
from sentinode.errors import ConfigError
from sentinode.samples import PRETRAINED, SAMPLES


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report", help="one page that shows a run and lets you look into it", description=__doc__
    )
    parser.add_argument("model", metavar="RUN", help=f"a run directory, or one that ships ({', '.join(PRETRAINED)})")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help=f"{DATA_HELP} (default: what the run was trained and validated on)"
    )
    add_table(parser)
    add_cache(parser)
    add_read_options(parser)
    add_skip_bad(parser)
    parser.add_argument(
        "--split", metavar="NAME", help="split to report on (default: test if it has labels, else valid)"
    )
    parser.add_argument(
        "--model-card", action="store_true", help="write RUN/model-card.md too, with the metadata of Hugging Face"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate if need be, and write the page."""
    from sentinode.training.load import load_run

    loaded = load_run(arguments.model)
    if arguments.data is None:
        arguments.data = loaded.config["data"]["path"]
        if arguments.data not in SAMPLES and not Path(arguments.data).exists():
            raise ConfigError(
                f"{arguments.model}: the patches that it was made from, {arguments.data}, are not here; name some: "
                f"sentinode report {arguments.model} DATA"
            )
    patches = open_data(arguments)
    start_keras()
    from sentinode.report.report import write_report

    written = write_report(loaded, patches, arguments.split, cache=arguments.cache, model_card=arguments.model_card)
    words = {".html": "the report; open it in a browser", ".md": "the model card; README.md on Hugging Face"}
    print_next_steps(
        {file: words[file.suffix] for file in written},
        command_line("stress", *data_words(arguments), "--model", arguments.model),
    )
    return report_skipped([vars(each) for each in patches.skipped])
