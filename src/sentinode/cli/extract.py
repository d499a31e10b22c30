"""Extract labeled patches from annotated slides as training data, with hard negatives from a scan."""

import argparse
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.options import add_interpretation, add_json
from sentinode.cli.common.output import SKIPPED_STATUS, command_line, print_json, print_next_steps, print_table, red
from sentinode.cli.common.slide_options import Spacings, add_force, add_mpp, add_slides
from sentinode.cli.common.start import load_models

if TYPE_CHECKING:
    from sentinode.slides.extraction.extract import Extraction


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("extract", help="extract training patches from annotated slides", description=__doc__)
    add_slides(parser)
    parser.add_argument(
        "--annotations",
        metavar="DIR",
        help="folder of annotation files named like the slides, or the annotation file of a single slide: ASAP XML, "
        "QuPath GeoJSON, or mask TIFF",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="new folder for the patches; open it as DATA")
    parser.add_argument(
        "--classes",
        metavar="NAME=0|1,…",
        help="classes of the annotations, such as Tumor=1,Necrosis=0, or of mask values, such as 3=1,4=1; normal "
        "regions are cut out of tumour, classes that are not named are ignored (default: tumour, metastases, normal "
        "and similar words; CAMELYON's groups; mask values 255, or 1 for normal and 2 for tumour)",
    )
    parser.add_argument(
        "--unannotated-normal",
        action="store_true",
        help="treat slides without annotations as free of tumour (default: list them as failures)",
    )
    parser.add_argument(
        "--annotated-only",
        action="store_true",
        help="take normal patches only from regions annotated as normal, for partly annotated slides, such as those "
        "annotated with `sentinode view` (default: all tissue that is not tumour is normal)",
    )
    add_mpp(parser)
    add_force(parser)
    parser.add_argument(
        "--step",
        type=int,
        default=32,
        metavar="PX",
        help="distance between neighboring candidates in pixels of 0.972 µm (default: 32, the side of the central "
        "square that determines the label)",
    )
    parser.add_argument(
        "--max-per-slide",
        type=int,
        default=1000,
        metavar="N",
        help="maximum number of patches per class and slide (default: 1000)",
    )
    parser.add_argument(
        "--balance",
        choices=("equal", "all"),
        default="equal",
        help="equal: as many normal as tumour patches over all slides; all: up to --max-per-slide of each class "
        "(default: equal)",
    )
    parser.add_argument(
        "--hard-negatives",
        metavar="DIR",
        help="output folder of `sentinode scan` for these slides: normal patches predicted as tumour (false positives) "
        "are preferred",
    )
    parser.add_argument(
        "--hard-fraction",
        type=float,
        default=0.5,
        metavar="FRACTION",
        help="fraction of hard negatives among the normal patches, if enough are available (default: 0.5)",
    )
    parser.add_argument(
        "--hard-threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="normal patches with at least this predicted probability of tumour are hard negatives (default: 0.5)",
    )
    parser.add_argument(
        "--patient-from",
        metavar="REGEX",
        help="regular expression searched in the name of each slide; its first group is the patient (default: names of "
        "CAMELYON17 and TCGA are recognized)",
    )
    parser.add_argument(
        "--model",
        metavar="RUN",
        help="list the slides that this model was trained on, as far as can be determined; do not evaluate it on them",
    )
    add_interpretation(parser)
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of the choice of patches (default: 0)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract the patches and report what was found on each slide."""
    from sentinode.data.labels import parse_classes
    from sentinode.slides.extraction.config import ExtractConfig
    from sentinode.slides.extraction.extract import check_new_folder, extract_patches
    from sentinode.slides.find import find_slides

    config = ExtractConfig(
        step_px=arguments.step,
        max_per_slide=arguments.max_per_slide,
        balance=arguments.balance,
        hard_fraction=arguments.hard_fraction,
        hard_threshold=arguments.hard_threshold,
        unannotated_normal=arguments.unannotated_normal,
        annotated_only=arguments.annotated_only,
        force=arguments.force,
        seed=arguments.seed,
    )
    classes = parse_classes(arguments.classes) if arguments.classes else ()
    check_new_folder(arguments.out)
    paths, spacings = find_slides(arguments.slide), Spacings(arguments.mpp)
    spacings.check(paths)
    extraction = extract_patches(
        paths,
        arguments.out,
        annotations=arguments.annotations,
        classes=classes,
        hard_negatives=arguments.hard_negatives,
        spacing_um_px=spacings,
        patient_from=arguments.patient_from,
        model=load_models(arguments) if arguments.model else None,
        config=config,
        isolated=True,
    )
    if arguments.json:
        failures = [{"slide": name, "reason": reason} for name, reason in extraction.failures]
        print_json(
            {
                "folder": str(extraction.folder),
                "patches": extraction.counts,
                "slides": extraction.slides,
                "failures": failures,
                "known_slides": extraction.known_slides,
            }
        )
    else:
        _print(extraction, arguments)
    return SKIPPED_STATUS if extraction.failures else 0


def _print(extraction: "Extraction", arguments: argparse.Namespace) -> None:
    header = ("slide", "tissue mm²", "tumour mm²", "tumour", "hard negatives", "random normal")
    rows = [
        (
            each["slide"],
            f"{each['tissue_mm2']:.3g}",
            f"{each['tumour_mm2']:.3g}",
            *(f"{count:,}" for count in each["patches"].values()),
        )
        for each in extraction.slides
    ]
    total = ("all", "", "", *(f"{count:,}" for count in extraction.counts.values()))
    print_table([*rows, *([total] if len(rows) > 1 else [])], header)
    for each in extraction.slides:
        for note in each["notes"]:
            print(f"{each['slide']}: {note}")
    if without := [each["slide"] for each in extraction.slides if arguments.hard_negatives and not each["scan"]]:
        print(f"not scanned, so without hard negatives: {', '.join(without)}")
    if extraction.failures:
        print(f"\nNot used: {len(extraction.failures)} of {len(extraction.failures) + len(extraction.slides)}")
        print_table(extraction.failures, ("slide", "reason"), text_columns=(0, 1))
    if arguments.model and extraction.known_slides is None:
        print(f"the training patches of {arguments.model} are unknown; overlap with these slides cannot be checked")
    for slide, reason in (extraction.known_slides or {}).items():
        print(red(f"{arguments.model} was trained on {slide} ({reason}): do not evaluate it on this slide"))
    folder = extraction.folder
    print_next_steps(
        {
            folder / f"{folder.name}_x.h5": "pixels",
            folder / f"{folder.name}_y.h5": "labels: 0 normal, 1 tumour",
            folder / f"{folder.name}_meta.csv": "slide and position of each patch",
            folder / "extract.json": "settings, slides and annotations",
        },
        command_line("data", "split", arguments.out, "--out", "splits.csv"),
    )
