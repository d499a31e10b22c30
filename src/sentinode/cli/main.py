"""``sentinode``: parse, run one command, and turn every refusal into one line."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence

from sentinode.cli import (
    audit,
    compare,
    data,
    demo,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    models,
    predict,
    report,
    stress,
    train,
    tune,
    watch,
)
from sentinode.errors import SentinodeError, TrainingStopped
from sentinode.version import __version__

COMMANDS = (
    demo,
    train,
    tune,
    watch,
    evaluate,
    compare,
    stress,
    explain,
    report,
    audit,
    predict,
    embed,
    export,
    models,
    data,
    doctor,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(
        prog="sentinode",
        description="Finds breast-cancer metastases in patches of lymph nodes. Start with: sentinode demo",
        epilog="Research use only: not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"sentinode {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 done; 1 refused, with one line on the error stream; 2 a call that does not parse; 3 done without some patches,
        which `--skip-bad` allowed to leave out; 130 interrupted.
    """
    parsed = build_parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # A name that the terminal cannot show is no reason to end.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("sentinode").setLevel(logging.INFO)
    try:
        return int(parsed.run(parsed) or 0)
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signal_number
    except SentinodeError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:
        # The reader, such as head, has seen enough; nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
