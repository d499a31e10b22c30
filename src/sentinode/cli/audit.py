"""Find labels that are probably wrong, and unusual patches, by what a network makes of them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    add_model,
    command_line,
    open_data,
    output_folder,
    print_json,
    print_next_steps,
    print_table,
    report_skipped,
    start_keras,
)

if TYPE_CHECKING:
    from sentinode.auditing.audit import Audit

SHOWN = 10


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "audit", help="labels that are probably wrong, unusual patches; a page", description=__doc__
    )
    add_data(parser)
    add_model(parser, "whose features are used, best one that was trained on other patches: ")
    parser.add_argument(
        "--split", action="append", metavar="NAME", help="split to look at; may be given several times (default: all)"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="parts for cross-validation (default: 5)")
    parser.add_argument(
        "--out", type=output_folder, metavar="DIR", help="where to write (default: RUN/evaluations/audit-SPLIT)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Audit, write, and show the first of what was found."""
    from sentinode.training.load import load_run

    loaded = load_run(arguments.model)
    patches = open_data(arguments, quiet=arguments.json)
    if not arguments.json:
        print(f"model: {loaded.describe()}")
    start_keras()
    from sentinode.auditing.audit import audit
    from sentinode.evaluation.evaluate import folder_of
    from sentinode.report.audit_page import AUDIT, PAGE, SUSPECTS, check_place, write_audit

    if arguments.out:
        check_place(Path(arguments.out))  # Before the minutes of embedding.
    splits = arguments.split or []
    found = audit(loaded, patches, splits, folds=arguments.folds, cache=arguments.cache)
    name = f"audit-{'-'.join(splits) or 'all'}"
    fingerprint = found.made_by["fingerprint"]
    folder = Path(arguments.out) if arguments.out else folder_of(loaded.results_folder, name, fingerprint, AUDIT)
    write_audit(found, folder)
    skipped = found.made_by.get("skipped", ())
    if arguments.json:
        print_json({"out": str(folder), **found.to_json()})
        return report_skipped(skipped, quiet=True)
    show_audit(found)
    print_next_steps(
        {
            folder / PAGE: "doubtful labels and unusual patches as pictures, and the quality of the set",
            folder / SUSPECTS: "one row a patch, the least probable label first",
            folder / AUDIT: "all numbers",
        },
        command_line("evaluate", arguments.data, "--model", arguments.model),
    )
    return report_skipped(skipped)


def show_audit(found: "Audit") -> None:
    """Print how many there are of each kind, and the labels that are doubted most."""
    doubted, table = found.doubted(), found.table
    count = doubted["normal"] + doubted["tumour"]
    print(
        f"doubtful labels: {count:,} of {len(table):,} ({doubted['normal']:,} normal that look like tumour, "
        f"{doubted['tumour']:,} tumour that look normal; {doubted['copies_disagree']:,} have a copy with the other "
        "label)"
    )
    if count:
        first = found.suspects.head(min(SHOWN, count))
        rows = [
            (str(row.id), str(row.split), ("normal", "tumour")[int(str(row.label))], f"{float(str(row.p_tumour)):.3f}")
            for row in first.itertuples()
        ]
        print_table(rows, header=("id", "split", "label", "P(tumour)"), text_columns=(0, 1, 2))
    kinds = ", ".join(f"{kind} {many:,}" for kind, many in found.unusual().items() if many) or "none"
    print(f"unusual: {int((table['unusual'] != '').sum()):,} ({kinds})")
    print(
        f"AUC of the probabilities, {found.folds[0]} folds that keep {', '.join(found.folds[1])} together: "
        f"{found.auc:.3f} against the labels as they are"
    )
