"""Options and output that several commands share."""

import argparse
import contextlib
import json
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.errors import OutputError, SentinodeError, first_line
from sentinode.foreign.files import OUTPUTS
from sentinode.inference.engines import PRECISIONS
from sentinode.machine import keep_freed_memory
from sentinode.samples import DEFAULT_MODEL, PRETRAINED
from sentinode.serialize import to_json
from sentinode.storage import check_output_file, check_output_folder

if TYPE_CHECKING:
    from sentinode.data.patchset import PatchSet
    from sentinode.inference.predictor import Predictor

DATA_HELP = "a folder, zip, PCam _x.h5, .npy, .npz, a csv that lists images, or pcam-mini, the sample in the package"
# Exit status of a command that succeeded without some patches.
SKIPPED_STATUS = 3
_SKIPPED_SHOWN = 20
_MODEL_HELP = (
    "a run directory, a model file (.keras, .h5, .onnx, …), or pretrained weights "
    f"({', '.join(PRETRAINED)}; default: {DEFAULT_MODEL})"
)


# Options


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
        help="size of a pixel of the images in µm; resamples them to 0.972 µm, the scale of PatchCamelyon, before "
        "--resize applies",
    )
    parser.add_argument(
        "--flatten",
        choices=("error", "white"),
        default="error",
        help="partly transparent images: report an error, or put them on white (default: error)",
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
        "not named are left out (default: 0 and 1, normal and tumour, and similar words)",
    )
    parser.add_argument(
        "--patient-from",
        metavar="REGEX",
        help="regular expression that is searched in each id (its path in DATA); its first group is the patient",
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


def add_model(parser: argparse.ArgumentParser, purpose: str = "") -> None:
    """Add ``--model``: one trained model."""
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="RUN", help=f"{purpose}{_MODEL_HELP}")
    add_interpretation(parser)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``: a trained model, or several as an ensemble."""
    parser.add_argument(
        "--model",
        action="append",
        metavar="RUN",
        help=f"{_MODEL_HELP}; give it several times for an ensemble, which averages the calibrated log-odds of its "
        "runs, and their thresholds on the logit scale",
    )
    add_interpretation(parser)


def add_interpretation(parser: argparse.ArgumentParser) -> None:
    """Add ``--input-scale`` and ``--output``: how a model of other origin is used."""
    parser.add_argument(
        "--input-scale",
        metavar="SCALE",
        help="for a model file of other origin: the scaling of gray levels 0 to 255, such as 1, 1/255, 1/127.5-1 or "
        "imagenet (default: from the file, or probed on pcam-mini)",
    )
    parser.add_argument(
        "--output",
        choices=OUTPUTS,
        help="for a model file of other origin: the meaning of its outputs; softmax and tumour-first are two numbers "
        "per patch (default: from the file, or from the values)",
    )


def add_tta(parser: argparse.ArgumentParser) -> None:
    """Add ``--tta``: test-time augmentation."""
    parser.add_argument(
        "--tta",
        choices=("none", "d4"),
        default="none",
        help="test-time augmentation; d4 averages the log-odds over the eight orientations of a patch, at eight times "
        "the cost; networks that are symmetric by construction run once; calibration and threshold stay as fitted "
        "without it (default: none)",
    )


def add_precision(parser: argparse.ArgumentParser, with_engines: bool = True) -> None:
    """Add ``--precision``: the number format of the arithmetic."""
    int8 = "; int8 is faster on all, with --engine onnxruntime or openvino" if with_engines else ""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS if with_engines else PRECISIONS[:2],
        default="float32",
        help=f"arithmetic; bfloat16 is faster on processors that support it{int8}; slightly less accurate; "
        "calibration and threshold stay as fitted in float32 (default: float32)",
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
        raise OutputError("-: this command cannot write to standard output; name a file")
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


# Steps of a command


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


def open_data(arguments: argparse.Namespace, quiet: bool = False) -> "PatchSet":
    """Open DATA with the options of `add_data`, and print what was recognized unless `quiet`."""
    from sentinode.data.open import open_patches

    patches = open_patches(
        arguments.data, table=arguments.table, skip_bad=arguments.skip_bad, **read_options(arguments)
    )
    if not quiet:
        print(patches.describe())
    return patches


def load_models(arguments: argparse.Namespace) -> "Predictor":
    """Open the model or models of ``--model``."""
    from sentinode.foreign.files import is_keras_file
    from sentinode.training.load import load_predictor

    models = [arguments.model] if isinstance(arguments.model, str) else arguments.model or [DEFAULT_MODEL]
    if any(map(is_keras_file, models)):
        start_keras()
    return load_predictor(models, input_scale=arguments.input_scale, output=arguments.output)


def start_logging() -> logging.Handler:
    """Print the package's log messages on standard error; return the handler that does it."""
    log = logging.getLogger("sentinode")
    handler = logging.StreamHandler(sys.stderr)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # The root logger may have a handler of its own.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # What it notes of damaged files, errors say.
    return handler


def start_keras() -> None:
    """Import Keras and its backend without the messages that TensorFlow's libraries print meanwhile.

    They print to standard error before they read their log level, so the file descriptor is redirected.

    Raises
    ------
    SentinodeError
        The backend cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    keep_freed_memory()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as messages, contextlib.ExitStack() as stack:
        stderr = os.dup(2)
        stack.callback(os.close, stderr)
        stack.callback(os.dup2, stderr, 2)
        os.dup2(messages.fileno(), 2)
        try:
            import keras  # noqa: F401
        except Exception as error:  # A broken backend may raise anything.
            settings = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
            of_file = f"the backend that {settings} names" if settings.is_file() else "the default backend"
            backend = os.environ.get("KERAS_BACKEND") or of_file
            raise SentinodeError(
                f"Keras cannot start {backend} ({first_line(error)}); run `sentinode doctor` to see what is missing"
            ) from error


# Output


@contextlib.contextmanager
def file_or_stdout(name: str) -> Iterator[Path]:
    """Yield the path of an output file; for ``-`` print what is written to it on standard output.

    In that case everything else that the block prints goes to standard error.

    Parameters
    ----------
    name : str
        See `output_file_or_stdout`.

    Yields
    ------
    Path
        The path, or that of a temporary file.
    """
    if name != "-":
        yield Path(name)
        return
    output = sys.stdout
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        file = Path(folder) / "output.csv"
        yield file
        output.flush()
        with contextlib.suppress(BrokenPipeError):
            if hasattr(output, "buffer"):
                output.buffer.write(file.read_bytes())
            else:  # A stream of text only, such as that of a notebook.
                output.write(file.read_text(encoding="utf-8", errors="surrogateescape"))


def print_json(content: Any) -> None:
    """Print a dataclass or plain values as indented JSON."""
    print(json.dumps(to_json(content), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    rows: Sequence[tuple[str, ...]], header: tuple[str, ...] | None = None, text_columns: Sequence[int] = (0,)
) -> None:
    """Print rows in columns, `text_columns` aligned left and the others right."""
    lines = [header, *rows] if header else rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.ljust(width) if column in text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())


def report_skipped(skipped: Sequence[Mapping[str, str]], quiet: bool = False) -> int:
    """Print the patches that `--skip-bad` left out, unless `quiet`, and return the exit status."""
    if skipped and not quiet:
        more = len(skipped) > _SKIPPED_SHOWN
        print(f"\nskipped: {len(skipped):,}" + (f" (the first {_SKIPPED_SHOWN} are shown)" if more else ""))
        shown = [(each["id"], each["reason"]) for each in skipped[:_SKIPPED_SHOWN]]
        print_table(shown, header=("id", "reason"), text_columns=(0, 1))
    return SKIPPED_STATUS if skipped else 0


def command_line(*words: object) -> str:
    """Return a command of the package, quoted so that it can be pasted into a shell.

    Examples
    --------
    >>> command_line("evaluate", "my data", "--model", "runs/first")
    "sentinode evaluate 'my data' --model runs/first"
    """
    return shlex.join(["sentinode", *map(str, words)])


def print_next_steps(files: Mapping[Path, str], *commands: str) -> None:
    """Print the files that a command wrote and the commands that are useful next.

    Parameters
    ----------
    files : mapping of Path to str
        What each file holds.
    *commands : str
        See `command_line`.
    """
    print("\nfiles:")
    width = max(len(str(file)) for file in files)
    for file, content in files.items():
        print(f"  {str(file).ljust(width)}  {content}")
    if commands:
        print("next:", *commands, sep="\n  ")


def red(text: str) -> str:
    """Return text that a terminal shows in red; unchanged elsewhere, and where NO_COLOR is set."""
    return f"\033[31m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text
