"""Write ``docs/commands.md`` from the command line's own parser, so that it cannot be wrong.

python scripts/make_commands_page.py
"""

import argparse
import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from sentinode.cli.main import build_parser
from sentinode.models.build import MODELS, ModelEntry

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

Made by `scripts/make_commands_page.py` from the command line's own parser.

DATA is a folder, a zip, a file or `pcam-mini`: see [your data](data.md). A trained model is a run directory, after
`--model` where there are patches too. What writes files ends by naming those to look at; with `--json` it prints values
for machines.

The exit status is 0 when done; 1 when refused, with one line on the error stream that says why and how to go on; 2 for
a call that does not parse; 3 when done without some patches, as `--skip-bad` allows; 130 after Ctrl-C and 143 after
SIGTERM.
"""


def page() -> str:
    """Return the page as text."""
    parts = [HEAD]
    for words, parser in _commands(build_parser(), ("sentinode",)):
        usage = " ".join([*words, *(_usage(action) for action in _positional(parser))])
        parts += [f"\n## {' '.join(words[1:])}\n", f"    {usage} [options]\n", f"{parser.description}\n"]
        rows = [action for action in parser._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
        parts += ["| argument | what it is |", "|---|---|", *(_row(action) for action in rows)]
        if words[-1] == "train":
            parts += ["", "Models, and the options that `--option` and `build_model` take:\n"]
            parts += ["| model | what it is | options |", "|---|---|---|"]
            parts += [f"| `{name}` | {entry.summary} | {_options(entry)} |" for name, entry in MODELS.items()]
    return "\n".join(parts) + "\n"


def _options(entry: ModelEntry) -> str:
    module, function = entry.builder.split(":")
    known = inspect.signature(getattr(import_module(module), function)).parameters
    return ", ".join(f"`{name}={json.dumps(about.default)}`".replace('"', "") for name, about in known.items())


def _commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for action in below:
        for name, child in action.choices.items():
            yield from _commands(child, (*words, name))


def _positional(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def _usage(action: argparse.Action) -> str:
    shown = {"+": f"{action.metavar} [{action.metavar} …]", "?": f"[{action.metavar}]"}
    return shown.get(str(action.nargs), str(action.metavar))


def _row(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings) or str(action.metavar)
    if action.choices:
        names += f" {{{','.join(map(str, action.choices))}}}"
    elif action.option_strings and action.metavar:
        names += f" {action.metavar}"
    needed = " (needed)" if action.option_strings and action.required else ""
    return f"| `{names}`{needed} | {(action.help or '').replace('|', '/')} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
