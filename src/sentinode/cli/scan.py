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
from sentinode.errors import ConfigError, DataError, SentinodeError, plural
from sentinode.inference.engines import REGION_ENGINES, check_options
from sentinode.slides.results.files import HEATMAP, LESIONS, OVERVIEW, SUMMARY

if TYPE_CHECKING:
    from sentinode.slides.scanning.estimate import DurationEstimate
    from sentinode.slides.scanning.queue import Rows
    from sentinode.slides.scanning.scanner import Scanner
    from sentinode.slides.slide import Slide
    from sentinode.slides.tissue import Tissue


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
        "named like the slides; none: the whole slide (default: detect the tissue)",
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
    from sentinode.output_paths import check_output_folder
    from sentinode.slides.find import check_names_differ, find_slides
    from sentinode.slides.grid import check_step
    from sentinode.slides.isolation import IsolatedWorker, map_isolated
    from sentinode.slides.scanning.cluster import map_on_dask
    from sentinode.slides.scanning.queue import Rows, SlideQueue

    # Loading the model takes longer than all of these checks.
    check_step(arguments.step)
    check_options(arguments.engine, "none", arguments.precision)
    paths = find_slides(arguments.slide)
    if not any(path.exists() for path in paths):
        raise DataError(f"{paths[0]}: no such file; check the name")
    check_names_differ(paths, "scan them one by one, with different --out")
    if arguments.tissue not in (None, "none"):
        if not Path(arguments.tissue).exists():
            raise ConfigError(f"--tissue {arguments.tissue}: no such file or folder; check the name")
        if len(paths) > 1 and not Path(arguments.tissue).is_dir():
            raise ConfigError(
                f"--tissue {arguments.tissue}: one file, but {len(paths)} slides; use a folder with a file for each"
            )
    spacings = Spacings(arguments.mpp)
    out = None if arguments.dry_run else check_output_folder(arguments.out)
    queue = SlideQueue(paths, out, divide=arguments.dask is not None)
    summaries: list[dict[str, Any]] = []
    scan_each = map_isolated if arguments.dask is None else partial(map_on_dask, where=arguments.dask)
    if arguments.engine != "keras":
        with IsolatedWorker(partial(_exporter, arguments)) as worker:
            worker.call(arguments.engine)
    with queue:
        for job, result in scan_each(partial(_prepare, arguments, spacings), queue):
            if isinstance(job, Rows):
                continue  # Another worker reports the result of its slide, even if this job failed.
            queue.done(job, result if isinstance(result, SentinodeError) else None)
            if not isinstance(result, SentinodeError):
                summaries.append(result)
                if not arguments.json:
                    place = f"{len(queue.finished)}/{len(paths)} " if len(paths) > 1 else ""
                    print(f"{place}{_line(result)}", flush=True)
    failures, elsewhere = queue.failures, queue.elsewhere
    if arguments.json:
        listed = [{"slide": name, "reason": reason} for name, reason in failures]
        print_json({"slides": summaries, "failures": listed, "scanned_by_other_processes": elsewhere})
    else:
        if elsewhere:
            print(f"Being scanned by other processes: {', '.join(elsewhere)}")
        if failures:
            print(f"\nNot scanned: {len(failures)} of {len(paths)}")
            print_table(failures, ("slide", "reason"), text_columns=(0, 1))
        if summaries and not arguments.dry_run:
            first = Path(summaries[0]["folder"])
            print_next_steps(
                {
                    first / OVERVIEW: "the slide with probabilities and lesions",
                    first / LESIONS: "lesions, for QuPath",
                    first / HEATMAP: "probabilities, for QuPath and OpenSlide",
                    first / SUMMARY: "score, lesions, warnings, settings",
                },
                command_line("view", *arguments.slide, arguments.out),
            )
    if failures and not summaries:
        return 1
    return SKIPPED_STATUS if failures else 0


def _prepare(arguments: argparse.Namespace, spacings: "Spacings") -> Callable[[Any], dict[str, Any]]:
    """Load what all slides share, in the process that reads them; return the function that scans one."""
    from sentinode.slides.scanning.estimate import DurationEstimate
    from sentinode.slides.scanning.scanner import load_scanner

    start_logging()
    model = load_models(arguments)
    if model.needs_keras(arguments.engine, arguments.precision):
        start_keras()
    scanner = load_scanner(model, arguments.step, engine=arguments.engine, precision=arguments.precision)
    if arguments.dry_run:
        return partial(_describe, arguments, spacings, DurationEstimate(scanner))
    return partial(_scan, arguments, spacings, scanner)


def _exporter(arguments: argparse.Namespace) -> Callable[[str], None]:
    """Return what exports the model for an engine; in a process of its own, since Keras takes half a gigabyte."""

    def export(engine: str) -> None:
        model = load_models(arguments)
        if model.needs_keras(engine, arguments.precision):
            start_logging()
            start_keras()
        model.session(engine, precision=arguments.precision)

    return export


def _scan(
    arguments: argparse.Namespace, spacings: "Spacings", scanner: "Scanner", job: "Path | Rows"
) -> dict[str, Any]:
    from sentinode.slides.scanning.folder import help_scan, scan_to_folder
    from sentinode.slides.scanning.queue import Rows
    from sentinode.slides.slide import open_slide

    path = job.path if isinstance(job, Rows) else job
    with open_slide(path, spacing_um_px=spacings(path), force=arguments.force) as slide:
        folder, tissue, force = Path(arguments.out) / path.stem, _tissue(arguments.tissue, slide), arguments.force
        if isinstance(job, Rows):
            help_scan(slide, scanner, folder, job.start, tissue=tissue, force=force)
            return {}
        result = scan_to_folder(slide, scanner, folder, tissue=tissue, force=force, tables=arguments.tables)
    return {**result.summary, "folder": str(result.folder)}


def _tissue(given: str | None, slide: "Slide") -> "Tissue | None":
    """Return the tissue that ``--tissue`` states; None where it is to be found."""
    from sentinode.slides.annotations.read import find_annotations, read_annotations
    from sentinode.slides.tissue import tissue_in

    if given is None:
        return None
    if given == "none":
        return tissue_in(slide)
    file = find_annotations(slide.path, given) if Path(given).is_dir() else Path(given)
    if file is None:
        raise DataError(f"{given}: contains no file named like {slide.path.name}; add one, or leave out --tissue")
    return tissue_in(slide, read_annotations(file, slide, classes=(("*", 1),)).tumour)


def _describe(
    arguments: argparse.Namespace, spacings: "Spacings", duration: "DurationEstimate", path: Path
) -> dict[str, Any]:
    from sentinode.slides.scanning.estimate import bytes_needed
    from sentinode.slides.slide import open_slide
    from sentinode.slides.tissue import find_tissue

    with open_slide(path, spacing_um_px=spacings(path), force=arguments.force) as slide:
        tissue = _tissue(arguments.tissue, slide) or find_tissue(slide)
        return {
            "estimated_s": duration(slide, tissue),
            "mb_needed": bytes_needed(slide, tissue, arguments.step) / 1e6,
            "slide": path.name,
            "spacing_um_px": slide.spacing_um_px,
            "spacing_source": slide.spacing_source,
            "tissue_mm2": tissue.area_mm2,
            "pen_mm2": tissue.pen_mm2,
        }


def _line(summary: Mapping[str, Any]) -> str:
    start = f"{summary['slide']}: {summary['tissue_mm2']:.3g} mm² tissue"
    if "lesions" not in summary:
        needed = f"about {summary['estimated_s']:,.0f} s, at most {summary['mb_needed']:,.0f} MB on disk"
        return f"{start}, {summary['spacing_um_px']:.4g} µm/px ({summary['spacing_source']}), {needed}"
    count = len(summary["lesions"])
    largest = f", the largest {summary['largest_lesion_mm']:.2g} mm" if count else ""
    return f"{start}, score {summary['slide_score']:.3f}, {plural(count, 'lesion')}{largest}"
