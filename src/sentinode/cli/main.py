"""The command ``sentinode``: parse the command line, run one command, print an error as one line."""

import argparse
import difflib
import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NoReturn, TextIO

from sentinode.cli import (
    audit,
    compare,
    cross_validate,
    demo,
    doctor,
    embed,
    evaluate,
    evaluate_slides,
    explain,
    export,
    extract,
    models,
    predict,
    report,
    scan,
    serve,
    stress,
    train,
    tune,
    view,
    watch,
)
from sentinode.cli.common.start import start_logging
from sentinode.cli.data import data
from sentinode.errors import SentinodeError, TrainingStopped
from sentinode.version import __version__

COMMANDS = (
    demo,
    train,
    tune,
    watch,
    evaluate,
    cross_validate,
    compare,
    stress,
    explain,
    report,
    audit,
    predict,
    scan,
    view,
    evaluate_slides,
    extract,
    serve,
    embed,
    export,
    models,
    data,
    doctor,
)


class Parser(argparse.ArgumentParser):
    """An argument parser that prints help when a command is missing and suggests the nearest name for a wrong one."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message with a suggestion, and exit with status 2."""
        wrong = re.match(r"argument (?:COMMAND|\S*): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if wrong:
            message += _suggestion([wrong[1]], wrong[2].replace("'", "").split(", "))
        super().error(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; report unknown options here, where the options of the command are known."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_suggestion(unknown, options)}")
        return parsed, unknown


def _suggestion(wrong: Sequence[str], known: Sequence[str]) -> str:
    for word in wrong:
        if nearest := difflib.get_close_matches(word.partition("=")[0], known, n=1):
            return f"; did you mean {nearest[0]}?"
    return ""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, without importing what the commands need."""
    parser = Parser(
        prog="sentinode",
        description="Detect breast-cancer metastases in lymph-node patches and slides. Start with: sentinode demo",
        epilog="Research use only: not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"sentinode {__version__}")
    parser.set_defaults(run=lambda arguments: parser.print_help())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and print a refusal as one line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program's name; by default that of this process.

    Returns
    -------
    int
        Exit status: 0 success; 1 refused, with one line on standard error; 3 success with some patches left out by
        `--skip-bad`; 130 interrupted, 143 terminated.

    Raises
    ------
    SystemExit
        The command line is invalid (status 2) or asks for help (status 0).
    """
    for stream in (sys.stdout, sys.stderr):  # A file name that the terminal cannot show must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ["PYTHONSAFEPATH"] = "1"  # Processes that it starts take no module from the folder of the data.
    os.environ["MPLBACKEND"] = "agg"  # A notebook's shell hands down its own, which fails outside of it.
    output, errors = (UnreadStream(stream or nowhere()) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(output), redirect_stderr(errors), messages_on_stderr(), exit_on_sigterm():
        try:
            return _run(arguments)
        finally:
            output.flush()


def _run(arguments: Sequence[str] | None) -> int:
    try:
        parsed = build_parser().parse_args(arguments)
        return int(parsed.run(parsed) or 0)
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signal_number
    except SentinodeError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 1


class UnreadStream:
    """A text stream that drops what is written after its reader has closed the pipe.

    A command writes all its results even when nobody reads its summary, as in ``sentinode predict … | head -1``.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def flush(self) -> None:
        """Flush the stream, or drop what it holds."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def _drop(self) -> None:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - The interpreter flushes the stream again at exit.
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def nowhere() -> TextIO:
    """Return a stream for a process whose standard output or error is closed."""
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - It is open as long as the process.


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Make SIGTERM end the block like Ctrl-C, so that slides are given back and temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():  # Python cannot catch signals there.
        yield
        return

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def messages_on_stderr() -> Iterator[None]:
    """Print the package's log messages on standard error while the block runs."""
    log = logging.getLogger("sentinode")
    before = log.level, log.propagate
    handler = start_logging()
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
