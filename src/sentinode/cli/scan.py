"""Scan whole slides: probability of tumour on a 7.8 µm grid, outlined lesions, and a score for each slide."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.shared import (
    SKIPPED_STATUS,
    add_json,
    add_model,
    load_models,
    print_json,
    print_next_steps,
    print_table,
    start_keras,
)


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("scan", help="scan whole slides for metastases", description=__doc__)
    parser.add_argument("slide", nargs="+", metavar="SLIDE", help="slides: SVS, TIFF, NDPI, MRXS, DICOM, PNG, …")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results, one folder for each slide")
    add_model(parser)
    parser.add_argument(
        "--mpp",
        type=float,
        metavar="UM",
        help="µm per pixel at full resolution, instead of what the files say; needed where they say nothing",
    )
    parser.add_argument(
        "--step",
        type=int,
        default=8,
        metavar="PX",
        help="distance of neighboring patches in pixels of 0.972 µm, a multiple of 8 (default: 8)",
    )
    parser.add_argument(
        "--force", action="store_true", help="scan slides although much of their tissue is unlike the training patches"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="open the slides and find their tissue, but compute nothing"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scan each slide, go past those that fail, and list them at the end."""
    from sentinode.errors import ConfigError, SentinodeError
    from sentinode.slides import load_scanner, open_slide
    from sentinode.slides.results import scan_to_folder
    from sentinode.slides.tissue import find_tissue
    from sentinode.storage import check_output_folder

    paths = [Path(name) for name in arguments.slide]
    stems = [path.stem for path in paths]
    for path in paths:
        if stems.count(path.stem) > 1:
            raise ConfigError(f"{path}: two slides are named {path.stem} and would share a folder; give another --out")
    out = check_output_folder(arguments.out)
    scanner = None
    if not arguments.dry_run:
        start_keras()
        scanner = load_scanner(load_models(arguments), arguments.step)
    summaries: list[dict[str, Any]] = []
    failures: list[tuple[str, str]] = []
    for path in paths:
        try:
            with open_slide(path, spacing_um_px=arguments.mpp) as slide:
                if scanner is None:
                    tissue = find_tissue(slide)
                    summaries.append(
                        {
                            "slide": path.name,
                            "spacing_um_px": slide.spacing_um_px,
                            "spacing_source": slide.spacing_source,
                            "tissue_mm2": tissue.area_mm2,
                            "pen_mm2": tissue.pen_mm2,
                        }
                    )
                else:
                    result = scan_to_folder(slide, scanner, out / path.stem, force=arguments.force)
                    summaries.append({**result.summary, "folder": str(result.folder)})
                if not arguments.json:
                    print(_line(summaries[-1]), flush=True)
        except SentinodeError as error:
            failures.append((path.name, str(error)))
    if arguments.json:
        print_json({"slides": summaries, "failures": [{"slide": name, "reason": reason} for name, reason in failures]})
    else:
        if failures:
            print(f"\nNot scanned: {len(failures)} of {len(paths)}")
            print_table(failures, ("slide", "reason"), text_columns=(0, 1))
        if summaries and scanner is not None:
            first = Path(summaries[0]["folder"])
            print_next_steps(
                {
                    first / "overview.png": "the slide with probabilities and lesions",
                    first / "lesions.geojson": "lesions, for QuPath",
                    first / "heatmap.tif": "probabilities, for QuPath and OpenSlide",
                    first / "summary.json": "score, lesions, warnings, settings",
                }
            )
    if not summaries:
        return 1
    return SKIPPED_STATUS if failures else 0


def _line(summary: dict[str, Any]) -> str:
    start = f"{summary['slide']}: {summary['tissue_mm2']:.3g} mm² tissue"
    if "lesions" not in summary:
        return f"{start}, {summary['spacing_um_px']:.4g} µm/px ({summary['spacing_source']})"
    count = len(summary["lesions"])
    largest = f", the largest {summary['largest_lesion_mm']:.2g} mm" if count else ""
    return f"{start}, score {summary['slide_score']:.3f}, {count} lesion{'' if count == 1 else 's'}{largest}"
