"""Arguments and prints that several commands have in common."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.errors import SentinodeError, first_line
from sentinode.inference.engines import PRECISIONS
from sentinode.machine import keep_freed_memory
from sentinode.samples import DEFAULT_MODEL, PRETRAINED

if TYPE_CHECKING:
    from sentinode.data.patchset import PatchSet

DATA_HELP = "folder, zip, PCam _x.h5, .npy, .npz, a csv that names images, or pcam-mini, the sample that ships with it"
SHOWN_SKIPPED = 20
# What scripts can tell by: it is done, but not with everything.
SOME_SKIPPED = 3


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add DATA and where it is cached."""
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    add_table(parser)
    add_cache(parser)
    add_resize(parser)
    add_skip_bad(parser)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Add what is known of the patches."""
    parser.add_argument(
        "--table",
        metavar="CSV",
        help="what is known of the images in DATA: path (inside DATA), label, split, slide, patient, centre, x, y",
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the cache folder."""
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="where decoded patches are kept (default: $SENTINODE_CACHE, else the user's cache folder)",
    )


def add_resize(parser: argparse.ArgumentParser) -> None:
    """Add what to do with patches of another size."""
    parser.add_argument(
        "--resize",
        choices=("error", "crop", "resample"),
        default="error",
        help="images that are not 96 × 96 px: report an error, crop the center, or resample (default: error)",
    )


def add_skip_bad(parser: argparse.ArgumentParser) -> None:
    """Add what to do with what cannot be used."""
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="go on without files and rows that cannot be used, list them at the end, and exit with "
        f"{SOME_SKIPPED} if there were any (default: refuse the first)",
    )


def add_run(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Add one trained model, and what it is for."""
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="RUN",
        help=f"{what}a run directory, or one that ships ({', '.join(PRETRAINED)}; default: {DEFAULT_MODEL})",
    )


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the trained model, or several of them."""
    parser.add_argument(
        "--model",
        action="append",
        metavar="RUN",
        help=f"a run directory, or one that ships ({', '.join(PRETRAINED)}; default: {DEFAULT_MODEL}); given several "
        "times, an ensemble, for the work of all together: the mean of the runs' calibrated log-odds, and of their "
        "thresholds on the logit scale",
    )


def add_tta(parser: argparse.ArgumentParser) -> None:
    """Add test-time augmentation."""
    parser.add_argument(
        "--tta",
        choices=("none", "d4"),
        default="none",
        help="test-time augmentation; d4: the mean of the log-odds over a patch's eight orientations, for eight times "
        "the work; networks that are symmetric by construction gain nothing and are run once; calibration and "
        "threshold stay those chosen without it (default: none)",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the precision that is predicted in."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the arithmetic; bfloat16 is faster where the processor has it, for a small loss of accuracy; not with "
        "onnxruntime; calibration and threshold stay those chosen in float32 (default: float32)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add machine-readable output."""
    parser.add_argument("--json", action="store_true", help="print json on the output stream")


def open_data(arguments: argparse.Namespace, quiet: bool = False) -> "PatchSet":
    """Open DATA as the options of `add_data` say; say what was recognised."""
    from sentinode.data.open import open_patches

    patches = open_patches(arguments.data, resize=arguments.resize, table=arguments.table, skip_bad=arguments.skip_bad)
    if not quiet:
        print(patches.describe())
    return patches


def report_skipped(skipped: Sequence[Mapping[str, str]], quiet: bool = False) -> int:
    """List the patches that were left out; return the exit status that follows."""
    if skipped and not quiet:
        more = len(skipped) - SHOWN_SKIPPED
        print(f"\nleft out: {len(skipped):,}" + (f", of which {SHOWN_SKIPPED} are shown" if more > 0 else ""))
        print_table([(each["id"], each["reason"]) for each in skipped[:SHOWN_SKIPPED]], ("id", "reason"), (0, 1))
    return SOME_SKIPPED if skipped else 0


def start_keras() -> None:
    """Import Keras and its backend before anything needs them.

    TensorFlow's libraries greet on the error stream before they read their log level, so that stream goes to a file
    meanwhile.

    Raises
    ------
    SentinodeError
        The backend cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    keep_freed_memory()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as stack:
        stderr = os.dup(2)
        stack.callback(os.close, stderr)
        stack.callback(os.dup2, stderr, 2)
        os.dup2(said.fileno(), 2)
        try:
            import keras  # noqa: F401
        except Exception as error:  # A broken backend raises whatever it likes.
            backend = os.environ.get("KERAS_BACKEND", "the default backend")
            raise SentinodeError(
                f"Keras cannot start {backend} ({first_line(error)}); sentinode doctor says what is missing"
            ) from error


def print_json(content: Any) -> None:
    """Print indented json."""
    print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    rows: Sequence[tuple[str, ...]], header: tuple[str, ...] | None = None, words: Sequence[int] = (0,)
) -> None:
    """Print rows in columns; those of words to the left, numbers to the right."""
    everything = [header, *rows] if header else rows
    widths = [max(len(row[column]) for row in everything) for column in range(len(everything[0]))]
    for row in everything:
        cells = [
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())


def red(text: str) -> str:
    """Return a text that a terminal shows in red; elsewhere, and where NO_COLOR is set, as it is."""
    return f"\033[31m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def print_next_steps(files: dict[Path, str], *then: str) -> None:
    """End a command: name the files to look at and the next commands that make sense."""
    print("\nlook at")
    width = max(len(str(file)) for file in files)
    for file, what in files.items():
        print(f"  {str(file).ljust(width)}  {what}")
    if then:
        print("then", *then, sep="\n  ")
