"""Find probable label errors and outliers with the features of a trained network."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.options import KERAS_FILES, add_data, add_json, add_model, data_words, output_folder
from sentinode.cli.common.output import command_line, print_json, print_next_steps, print_table, report_skipped
from sentinode.cli.common.start import load_models, open_data, start_keras
from sentinode.errors import ConfigError, plural
from sentinode.output_paths import check_output_folder

if TYPE_CHECKING:
    from sentinode.auditing.audit import Audit

SHOWN = 10


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "audit", help="find probable label errors and outliers; write a page", description=__doc__
    )
    add_data(parser)
    add_model(parser, KERAS_FILES, "model whose features are used; preferably one trained on other patches: ")
    parser.add_argument(
        "--split", action="append", metavar="NAME", help="split to audit; may be repeated (default: all)"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="number of folds (default: 5)")
    parser.add_argument(
        "--out", type=output_folder, metavar="DIR", help="output folder (default: RUN/evaluations/audit-SPLIT)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Audit, write the results, and print a summary."""
    loaded = load_models(arguments)
    if arguments.folds < 2:
        raise ConfigError(f"--folds must be at least 2; got {arguments.folds}")
    check_output_folder(arguments.out or loaded.results_folder or Path())
    patches = open_data(arguments, quiet=arguments.json)
    if not arguments.json:
        print(f"model: {loaded.describe()}")
    start_keras()
    from sentinode.auditing.audit import audit, labeled_patches
    from sentinode.evaluation.files import default_folder
    from sentinode.report.audit_page import AUDIT, ISSUES, PAGE, check_audit_folder, write_audit

    splits = arguments.split or []
    if arguments.out:
        folder = Path(arguments.out)
    else:
        name = f"audit-{'-'.join(splits) or 'all'}"
        fingerprint = labeled_patches(patches, splits, arguments.cache).fingerprint
        folder = default_folder(loaded.results_folder or Path(), name, fingerprint, AUDIT)
    check_audit_folder(folder)  # Before minutes of computation.
    found = audit(loaded, patches, splits, folds=arguments.folds, cache=arguments.cache)
    write_audit(found, folder)
    skipped = found.made_by.get("skipped", ())
    if arguments.json:
        print_json({"out": str(folder), **found.to_json()})
        return report_skipped(skipped, quiet=True)
    print_audit(found)
    print_next_steps(
        {
            folder / PAGE: "label issues, outliers and image quality, with pictures",
            folder / ISSUES: "one row per label issue or outlier, least probable label first",
            folder / AUDIT: "all numbers",
        },
        command_line("evaluate", *data_words(arguments), "--model", arguments.model),
    )
    return report_skipped(skipped)


def print_audit(found: "Audit") -> None:
    """Print the counts, and the labels that are least probable."""
    labels, table = found.label_issue_counts(), found.table
    count = labels["normal"] + labels["tumour"]
    print(
        f"label issues: {count:,} of {plural(len(table), 'patch')} ({labels['normal']:,} labeled normal, "
        f"{labels['tumour']:,} labeled tumour; {labels['duplicate_conflicts']:,} with a duplicate of the other label)"
    )
    if count:
        first = found.issues.head(min(SHOWN, count))
        rows = [
            (str(row.id), str(row.split), ("normal", "tumour")[int(str(row.label))], f"{float(str(row.p_tumour)):.3f}")
            for row in first.itertuples()
        ]
        print_table(rows, header=("id", "split", "label", "P(tumour)"), text_columns=(0, 1, 2))
    kinds = ", ".join(f"{kind} {many:,}" for kind, many in found.outlier_counts().items() if many) or "none"
    print(f"outliers: {int((table['outlier'] != '').sum()):,} ({kinds})")
    print(
        f"out-of-fold AUC against the given labels: {found.auc:.3f} ({found.folds} folds, grouped by "
        f"{', '.join(found.grouped_by)})"
    )
