"""Run the command line: within the tests' process, or in a process of its own where that is what is tested."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from sentinode.cli.main import main

Done = subprocess.CompletedProcess[str]


def sentinode(*arguments: Any, **environment: str) -> Done:
    """Run a command within this process; what it logs and prints is returned, an unexpected exception is raised."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    words = [str(argument) for argument in arguments]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        for name in ("MPLBACKEND", "PYTHONSAFEPATH"):  # Commands set them; what they were is restored afterwards.
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            status = main(words)
        except SystemExit as exited:  # argparse: help, or a command line that does not parse.
            status = int(exited.code or 0)
    return Done(words, status, _text(output), _text(errors))


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def command(*arguments: Any) -> list[str]:
    """Return the command line that runs a command in a process of its own."""
    return [sys.executable, "-m", "sentinode", *map(str, arguments)]


def sentinode_process(*arguments: Any, timeout_s: float = 180, **environment: str) -> Done:
    """Run a command in a process of its own."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        timeout=timeout_s,
    )


def succeeded(done: Done) -> str:
    """Check that a command succeeded; return its standard output."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(done: Done, *facts: str) -> str:
    """Check that a command was refused in one line that names the facts; return the line."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert all(fact in line for fact in facts), line
    return line
