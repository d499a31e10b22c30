"""Scan whole slides: probability of tumour on a 7.8 µm grid, outlined lesions, and a score for each slide."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.options import add_json, add_model, add_precision
from sentinode.cli.common.output import SKIPPED_STATUS, command_line, print_json, print_next_steps, print_table
from sentinode.cli.common.slide_options import Spacings, add_force, add_mpp, add_slides
from sentinode.cli.common.start import load_models, start_keras, start_logging
from sentinode.errors import plural
from sentinode.inference.engines import REGION_ENGINES, check_options
from sentinode.slides.results.files import HEATMAP, LESIONS, OVERVIEW, SUMMARY

if TYPE_CHECKING:
    from sentinode.slides.scanning.scanner import Scanner


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("scan", help="scan whole slides for metastases", description=__doc__)
    add_slides(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results, one folder for each slide")
    add_model(parser)
    add_mpp(parser)
    parser.add_argument(
        "--step",
        type=int,
        default=8,
        metavar="PX",
        help="distance between neighboring patches in pixels of 0.972 µm, a multiple of 8 (default: 8)",
    )
    parser.add_argument(
        "--engine",
        choices=REGION_ENGINES,
        default="keras",
        help="inference engine; openvino starts faster and needs less memory; the model is exported to the cache on "
        "first use (default: keras)",
    )
    add_precision(parser, int8_engines="openvino")
    parser.add_argument(
        "--tissue",
        metavar="FILE|DIR|none",
        help="regions to scan: a QuPath GeoJSON, ASAP XML or mask TIFF file for one slide, or a folder of such files "
        "named like the slides, without what is drawn as Ignore*, Exclusion, _2 or negative; none: the whole slide "
        "(default: detect the tissue)",
    )
    parser.add_argument(
        "--tables",
        type=_tables,
        default=(),
        metavar="NAME,…",
        help="additional tables to write: parquet, wsinfer, clam, tiles (GeoJSON of the probable patches, for QuPath)",
    )
    add_force(parser, ", and scan slides with many out-of-distribution patches")
    parser.add_argument(
        "--dask",
        nargs="?",
        const="",
        metavar="ADDRESS|N",
        help="scan on the workers of a Dask cluster: address of its scheduler, or number of workers to start on this "
        "machine (default: one per four processors)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="scan nothing; compute a few blocks, and show scale, tissue, and the time and disk space needed",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def _tables(text: str) -> tuple[str, ...]:
    from sentinode.slides.results.tables import check_tables

    names = tuple(text.split(","))
    check_tables(names)
    return names


def run(arguments: argparse.Namespace) -> int:
    """Scan each slide, skip those that fail, and list them at the end."""
    from sentinode.slides.find import find_slides
    from sentinode.slides.grid import check_step
    from sentinode.slides.isolation import IsolatedWorker
    from sentinode.slides.scanning.scan_slides import check_scans, estimate_scans, scan_slides

    # Loading the model takes longer than all of these checks.
    check_step(arguments.step)
    check_options(arguments.engine, "none", arguments.precision)
    paths = find_slides(arguments.slide)
    check_scans(paths, None if arguments.dry_run else arguments.out, arguments.tissue)
    spacings = Spacings(arguments.mpp)
    spacings.check(paths)
    if arguments.engine != "keras":
        with IsolatedWorker(partial(_exporter, arguments)) as worker:
            worker.call(arguments.engine)

    def report(summary: Mapping[str, Any], finished: int) -> None:
        if not arguments.json:
            place = f"{finished}/{len(paths)} " if len(paths) > 1 else ""
            print(f"{place}{_line(summary)}", flush=True)

    run_all = estimate_scans if arguments.dry_run else partial(scan_slides, out=arguments.out, tables=arguments.tables)
    scans = run_all(
        paths,
        load=partial(_load, arguments),
        spacing_um_px=spacings,
        tissue=arguments.tissue,
        force=arguments.force,
        dask=arguments.dask,
        progress=report,
    )
    if arguments.json:
        listed = [{"slide": name, "reason": reason} for name, reason in scans.failures]
        print_json({"slides": scans.summaries, "failures": listed, "scanned_by_other_processes": scans.elsewhere})
    else:
        if scans.elsewhere:
            print(f"Being scanned by other processes: {', '.join(scans.elsewhere)}")
        if scans.failures:
            print(f"\nNot scanned: {len(scans.failures)} of {len(paths)}")
            print_table(scans.failures, ("slide", "reason"), text_columns=(0, 1))
        if scans.summaries and not arguments.dry_run:
            first = Path(scans.summaries[0]["folder"])
            print_next_steps(
                {
                    first / OVERVIEW: "the slide with probabilities and lesions",
                    first / LESIONS: "lesions, for QuPath",
                    first / HEATMAP: "probabilities, for QuPath and OpenSlide",
                    first / SUMMARY: "score, lesions, warnings, settings",
                },
                command_line("view", *arguments.slide, arguments.out),
            )
    if scans.failures and not scans.summaries:
        return 1
    return SKIPPED_STATUS if scans.failures else 0


def _load(arguments: argparse.Namespace) -> "Scanner":
    """Load the scanner, in the process that reads the slides."""
    from sentinode.slides.scanning.scanner import load_scanner

    start_logging()
    model = load_models(arguments)
    if model.needs_keras(arguments.engine, arguments.precision):
        start_keras()
    return load_scanner(model, arguments.step, engine=arguments.engine, precision=arguments.precision)


def _exporter(arguments: argparse.Namespace) -> Callable[[str], None]:
    """Return what exports the model for an engine; in a process of its own, since Keras takes half a gigabyte."""

    def export(engine: str) -> None:
        model = load_models(arguments)
        if model.needs_keras(engine, arguments.precision):
            start_logging()
            start_keras()
        model.session(engine, precision=arguments.precision)

    return export


def _line(summary: Mapping[str, Any]) -> str:
    start = f"{summary['slide']}: {summary['tissue_mm2']:.3g} mm² tissue"
    if "lesions" not in summary:
        needed = f"about {summary['estimated_s']:,.0f} s, at most {summary['mb_needed']:,.0f} MB on disk"
        return f"{start}, {summary['spacing_um_px']:.4g} µm/px ({summary['spacing_source']}), {needed}"
    count = len(summary["lesions"])
    largest = f", the largest {summary['largest_lesion_mm']:.2g} mm" if count else ""
    return f"{start}, score {summary['slide_score']:.3f}, {plural(count, 'lesion')}{largest}"
