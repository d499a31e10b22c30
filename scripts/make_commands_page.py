"""Write ``docs/commands.md`` from the argument parser of the command line.

python scripts/make_commands_page.py
"""

import argparse
import dataclasses
import inspect
import json
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from sentinode.cli.main import build_parser
from sentinode.models.build import MODELS, ModelEntry
from sentinode.training.config import TrainConfig

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

This page is generated from the argument parser by `scripts/make_commands_page.py`.

DATA is a folder, a zip, a file or `pcam-mini`: see [your data](data.md). A trained model is a run directory or the name
of pretrained weights. Commands that write files list them at the end and suggest the next command. `--json` prints
values for other programs.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | failed, with the reason and a remedy on standard error, or no slide could be processed (`scan`, `extract`) |
| 2 | the command line is invalid |
| 3 | done, but some patches were skipped (`--skip-bad`), or some slides failed (`scan`, `extract`) |
| 130, 143 | stopped by Ctrl-C or SIGTERM |
"""
OPTIONS_HEAD = ("| option | description |", "|---|---|")
# Options of at least so many commands are listed once.
SHARED_BY = 3


def page() -> str:
    """Return the page as text."""
    commands = {" ".join(words): parser for words, parser in _commands(build_parser(), ())}
    rows = {name: [_row(action) for action in _visible(parser)] for name, parser in commands.items()}
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    settings = [_row(action) for action in _visible(commands["train"]) if action.dest in fields]
    trainings = [name for name, own in rows.items() if set(settings) <= set(own)]
    uses = Counter(row for own in rows.values() for row in own)
    commands_with = Counter(_name(row) for own in rows.values() for row in own)
    # A name with several meanings is explained where it is used, unless most commands give it the same one.
    common = [row for row in uses if uses[row] >= max(SHARED_BY, commands_with[_name(row)] / 2) and row not in settings]
    parts = [HEAD, "| command | what it does |", "|---|---|"]
    parts += [f"| [`{name}`](#{_anchor(name)}) | {_summary(parser)} |" for name, parser in commands.items()]
    parts += [
        "\n## Common options\n",
        "These options have the same meaning in all commands that refer to this table.\n",
    ]
    parts += [*OPTIONS_HEAD, *common]
    for name, parser in commands.items():
        parts += [f"\n## {name}\n", f"    {_usage(name, parser)}\n", f"{str(parser.description).strip()}\n"]
        own = [row for row in rows[name] if row not in common and row not in settings]
        if own:
            parts += [*OPTIONS_HEAD, *own, ""]
        if names := ", ".join(f"`{_name(row)}`" for row in rows[name] if row in common):
            parts.append(f"[Common options](#common-options): {names}.")
        if name in trainings:
            parts.append("\nAll [training settings](#training-settings) are options as well.")
    *others, last = (f"`{name}`" for name in trainings)
    parts += ["\n## Training settings\n"]
    parts += [f"Options of {', '.join(others)} and {last}, and fields of `TrainConfig`.\n"]
    parts += [*OPTIONS_HEAD, *settings]
    parts += ["\n## Networks\n", "Names for `--model`, and the options that `--option` and `build_model` take.\n"]
    parts += ["| network | description | options |", "|---|---|---|"]
    parts += [f"| `{name}` | {entry.summary} | {_options(entry)} |" for name, entry in MODELS.items()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)) + "\n"


def _summary(parser: argparse.ArgumentParser) -> str:
    return str(parser.description).split("\n\n")[0]


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


def _visible(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.help != argparse.SUPPRESS and action.dest != "help"]


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    actions = _visible(parser)
    positional = [_placeholder(action) for action in actions if not action.option_strings]
    required = [f"{action.option_strings[-1]} {_value(action)}" for action in actions if _is_required_option(action)]
    optional = ["[options]"] if any(action.option_strings and not action.required for action in actions) else []
    return " ".join(["sentinode", name, *positional, *required, *optional])


def _placeholder(action: argparse.Action) -> str:
    shown = {
        "+": f"{action.metavar} [{action.metavar} …]",
        "*": f"[{action.metavar} …]",
        "?": f"[{action.metavar}]",
    }
    return shown.get(str(action.nargs), str(action.metavar))


def _is_required_option(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.required


def _row(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings) or str(action.metavar)
    if action.choices or (action.option_strings and action.metavar):
        names += f" {_value(action)}"
    required = "**Required.** " if _is_required_option(action) else ""
    return f"| `{_cell(names)}` | {required}{_cell(action.help or '')} |"


def _value(action: argparse.Action) -> str:
    return f"{{{','.join(map(str, action.choices))}}}" if action.choices else str(action.metavar)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _name(row: str) -> str:
    return row.removeprefix("| `").split("`")[0].split(" ")[0].rstrip(",")


def _anchor(title: str) -> str:
    return title.replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
