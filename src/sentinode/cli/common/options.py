"""Options that several commands share, and their values."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentinode.cli.common.output import SKIPPED_STATUS
from sentinode.errors import OutputError
from sentinode.external.files import OUTPUTS
from sentinode.inference.engines import PRECISIONS
from sentinode.output_paths import check_ending, check_output_file, check_output_folder
from sentinode.samples import DEFAULT_MODEL, PRETRAINED

DATA_HELP = "a folder, zip, PCam _x.h5, .npy, .npz, a csv that lists images, or pcam-mini, the sample in the package"
_ALL_FILES, KERAS_FILES = ".keras, .h5, .onnx, …", ".keras, .h5"


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add DATA and the options that say how to read it."""
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    add_table(parser)
    add_cache(parser)
    add_read_options(parser)
    add_skip_bad(parser)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Add ``--table``: labels and metadata of the images."""
    parser.add_argument(
        "--table",
        metavar="CSV",
        help="metadata of the images in DATA; columns: path (inside DATA), label, split, slide, patient, centre, x, y",
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add ``--cache``: the folder of decoded patches."""
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="folder for decoded patches (default: $SENTINODE_CACHE, else the user's cache folder)",
    )


def add_pixel_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide how images become patches."""
    parser.add_argument(
        "--resize",
        choices=("error", "crop", "pad", "resample"),
        default="error",
        help="images that are not 96 × 96 px: report an error, crop the center, pad with white to the size (larger "
        "sides are cropped), or resample the whole image (default: error)",
    )
    parser.add_argument(
        "--mpp",
        type=float,
        metavar="UM",
        help="pixel size of the images in µm; the images are resampled to 0.972 µm, the scale of PatchCamelyon, before "
        "--resize is applied",
    )
    parser.add_argument(
        "--flatten",
        choices=("error", "white"),
        default="error",
        help="partly transparent images: report an error, or put them on a white background (default: error)",
    )
    parser.add_argument(
        "--gray",
        choices=("error", "rgb"),
        default="error",
        help="gray images: report an error, or repeat the channel (default: error)",
    )


def add_read_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide how images become patches, and folders labels and patients."""
    add_pixel_options(parser)
    parser.add_argument(
        "--classes",
        metavar="NAME=0|1,…",
        help="classes of folders and labels, such as TUM=1,NORM=0; *=0 stands for all other names; folders that are "
        "not listed are left out (default: 0 and 1, normal and tumour, and similar words)",
    )
    parser.add_argument(
        "--patient-from",
        metavar="REGEX",
        help="regular expression searched in each id (the path of the image in DATA); its first group is the patient",
    )
    parser.add_argument(
        "--group-by",
        choices=("folder",),
        help="folder: the innermost folder that is neither a class nor a split is the patient",
    )


def add_skip_bad(parser: argparse.ArgumentParser) -> None:
    """Add ``--skip-bad``: continue without unusable files."""
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="skip files and rows that cannot be used, list them at the end, and exit with status "
        f"{SKIPPED_STATUS} if there were any (default: stop at the first)",
    )


def add_model(parser: argparse.ArgumentParser, files: str = _ALL_FILES, purpose: str = "") -> None:
    """Add ``--model``: one trained model."""
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="RUN", help=purpose + _model_help(files))
    add_interpretation(parser)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``: a trained model, or several as an ensemble."""
    parser.add_argument(
        "--model",
        action="append",
        metavar="RUN",
        help=f"{_model_help(_ALL_FILES)}; repeat the option for an ensemble, which averages the calibrated log-odds "
        "of its runs, and their thresholds on the logit scale",
    )
    add_interpretation(parser)


def _model_help(files: str) -> str:
    known = ", ".join(PRETRAINED)
    return f"a run directory, a model file ({files}), or pretrained weights ({known}; default: {DEFAULT_MODEL})"


def add_interpretation(parser: argparse.ArgumentParser) -> None:
    """Add ``--input-scale`` and ``--model-output``: how an external model is used."""
    parser.add_argument(
        "--input-scale",
        metavar="SCALE",
        help="for an external model file: the scaling of gray levels 0 to 255, such as 1, 1/255, 1/127.5-1 or "
        "imagenet (default: from the file, or probed on pcam-mini)",
    )
    parser.add_argument(
        "--model-output",
        choices=OUTPUTS,
        help="for an external model file: the meaning of its outputs; softmax and tumour-first have two numbers "
        "per patch (default: from the file, or from the values)",
    )


def add_tta(parser: argparse.ArgumentParser) -> None:
    """Add ``--tta``: test-time augmentation."""
    parser.add_argument(
        "--tta",
        choices=("none", "d4"),
        default="none",
        help="test-time augmentation; d4 averages the log-odds over the eight orientations of a patch, at eight times "
        "the cost; equivariant networks run once; calibration and threshold are not refitted (default: none)",
    )


def add_precision(parser: argparse.ArgumentParser, int8_engines: str = "onnxruntime or openvino") -> None:
    """Add ``--precision``: the numerical precision."""
    int8 = f"; int8 is faster, with --engine {int8_engines}" if int8_engines else ""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS if int8_engines else PRECISIONS[:2],
        default="float32",
        help=f"numerical precision; bfloat16 is faster on processors that support it{int8}; slightly less accurate; "
        "calibration and threshold are not refitted (default: float32)",
    )


def add_figures(parser: argparse.ArgumentParser) -> None:
    """Add ``--figures``."""
    parser.add_argument(
        "--figures", choices=("png", "svg", "pdf"), default="png", help="format of the figures (default: png)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``: machine-readable output."""
    parser.add_argument("--json", action="store_true", help="print the results as JSON on standard output")


def output_file(text: str) -> str:
    """Check an option that names a file to write; for ``type=`` of `add_argument`.

    Raises
    ------
    OutputError
        No file can be written there.
    """
    if text == "-":
        raise OutputError("-: this command cannot write to standard output; specify a file")
    check_output_file(text)
    return text


def output_file_or_stdout(text: str) -> str:
    """Check an option that names a file to write, or ``-`` for standard output.

    Raises
    ------
    OutputError
        No file can be written there.
    """
    return text if text == "-" else output_file(text)


def output_folder(text: str) -> str:
    """Check an option that names a folder to write to; for ``type=`` of `add_argument`.

    Raises
    ------
    OutputError
        No folder can be written there.
    """
    check_output_folder(text)
    return text


def check_not_an_input(out: str | Path, inputs: Sequence[str | Path]) -> None:
    """Refuse to write over one of the files that a command reads.

    Raises
    ------
    OutputError
        `out` is one of the inputs, or an image in one of them that is a folder.
    """
    from sentinode.data.io.files import is_image

    place = Path(out).resolve()
    for given in (Path(each).resolve() for each in inputs if each):
        if place == given or (is_image(place.name) and place.is_file() and given in place.parents):
            raise OutputError(f"{out}: the command reads this file; choose another output file")


def check_table_out(out: str | Path, arguments: argparse.Namespace) -> None:
    """Refuse to write a patch table over a file that describes the patches.

    Raises
    ------
    ConfigError
        The name does not end in ``.csv``.
    OutputError
        `out` is DATA, ``--table``, or another table in the folder DATA.
    """
    from sentinode.data.tables import is_patch_table

    check_ending(out, ".csv", "--out")
    check_not_an_input(out, [arguments.data, arguments.table or ""])
    place = Path(out).resolve()
    if place.is_file() and Path(arguments.data).resolve() in place.parents and not is_patch_table(place):
        raise OutputError(f"{out}: is a file of {arguments.data} and no patch table; choose another output file")


def read_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `add_read_options` as keyword arguments of `open_patches`."""
    from sentinode.data.labels import parse_classes

    return {
        "resize": arguments.resize,
        "spacing_um_px": arguments.mpp,
        "flatten": arguments.flatten,
        "gray": arguments.gray,
        "classes": dict(parse_classes(arguments.classes)) if arguments.classes else None,
        "patient_from": arguments.patient_from,
        "group_by": arguments.group_by,
    }


def data_words(arguments: argparse.Namespace) -> list[str]:
    """Return DATA and the options of `add_data` that were given, for a command that reads the same patches."""
    words = [arguments.data, *(["--table", arguments.table] if arguments.table else [])]
    for name in ("resize", "mpp", "flatten", "gray", "classes", "patient_from", "group_by"):
        value = getattr(arguments, name)
        if value not in (None, "error"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words + ["--skip-bad"] * arguments.skip_bad
