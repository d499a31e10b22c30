"""What commands print: tables, JSON, skipped patches, next steps."""

import contextlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinode.serialize import to_json

# Exit status of a command that succeeded without some patches.
SKIPPED_STATUS = 3
_SKIPPED_SHOWN = 20


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


def print_table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...], text_columns: Sequence[int] = (0,)) -> None:
    """Print rows in columns, `text_columns` aligned left and the others right."""
    lines = [header, *rows]
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
