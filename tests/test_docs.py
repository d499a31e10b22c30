import argparse
import contextlib
import dataclasses
import io
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest

import sentinode
from sentinode.cli.main import build_parser
from sentinode.training.config import TrainConfig

ROOT = Path(__file__).parents[1]
CARDS = ROOT.glob("src/sentinode/samples/**/*.md")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *CARDS])
# A command in a code block, or in backticks; what follows a comment, a pipe or a redirection is not part of it.
COMMAND = re.compile(r"^ {4,}(sentinode .*(?:\\\n.*)*)$|`(sentinode [^`\n]*)`", re.MULTILINE)
PLACEHOLDER = re.compile(r"…|\[options\]|\.\.\.")


def pages(paths):
    return pytest.mark.parametrize("page", paths, ids=lambda page: str(page.relative_to(ROOT)))


def commands(text):
    """Return commands of a page as lists of arguments, each with whether it stands in a code block."""
    found = ((block or inline, bool(block)) for block, inline in COMMAND.findall(text))
    lines = ((re.split(r"\s#|\s[|>&]|\s2>", line.replace("\\\n", " "))[0], block) for line, block in found)
    return [(shlex.split(line)[1:], block) for line, block in lines if not PLACEHOLDER.search(line)]


def parsers(parser, words=()):
    """Yield the name and the parser of each command."""
    below = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for word, child in below[0].items() if below else ():
        yield from parsers(child, (*words, word))
    if not below:
        yield " ".join(words), parser


def sections_of_the_commands_page():
    parts = re.split(r"^## (.*)$", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows_of(section):
    """Return the names of the option in each row of the section's table."""
    cells = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    return [re.findall(r"--[\w-]+", cell) or [cell.split(" ")[0]] for cell in cells]


def test_the_commands_page_matches_the_parser():
    made = runpy.run_path(str(ROOT / "scripts" / "make_commands_page.py"))["page"]()
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == made, "run scripts/make_commands_page.py"


def test_the_commands_page_lists_all_options_that_a_command_accepts_and_no_others():
    sections = sections_of_the_commands_page()
    shared = {title: rows_of(sections[title]) for title in ("Common options", "Training settings")}
    for name, parser in parsers(build_parser()):
        listed = rows_of(sections[name])
        if line := re.search(r"^\[Common options\]\(#common-options\): (.*)\.$", sections[name], re.MULTILINE):
            common = {row[0]: row for row in shared["Common options"]}
            listed += [common[option] for option in re.findall(r"`(.*?)`", line[1])]
        if "[training settings](#training-settings)" in sections[name]:
            listed += shared["Training settings"]
        actions = [action for action in parser._actions if action.dest != "help" and action.help != argparse.SUPPRESS]
        accepted = [list(action.option_strings) or [action.metavar] for action in actions]
        assert sorted(listed) == sorted(accepted), name


def test_the_table_of_training_settings_holds_the_fields_of_the_configuration_alone():
    (train,) = (parser for name, parser in parsers(build_parser()) if name == "train")
    settings = {field.name for field in dataclasses.fields(TrainConfig)}
    options = [list(action.option_strings) for action in train._actions if action.dest in settings]
    assert len(options) == len(settings)
    assert rows_of(sections_of_the_commands_page()["Training settings"]) == options


def test_no_row_of_the_commands_page_is_broken():
    tables = re.findall(r"(?:^\|.*\n)+", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    for table in tables:
        columns = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1 and table.splitlines()[1].startswith("|---"), table


def test_the_architecture_lists_packages_in_the_order_of_the_import_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listing = re.search(r"src/sentinode/\n((?: {6,}.*\n)+)", page)[1]
    assert re.findall(r"(?:^ {6}|(?<=py)  )(\w+)(?:/|\.py)", listing, re.MULTILINE) == layers


@pages(PAGES)
def test_every_link_and_picture_of_a_page_exists(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pages([page for page in PAGES if commands(page.read_text(encoding="utf-8")) and page.name != "commands.md"])
def test_every_command_of_a_page_parses(page):
    parser, bad = build_parser(), []
    for arguments, block in commands(page.read_text(encoding="utf-8")):
        if not block and "-" not in "".join(arguments):
            continue  # The name of a command in running text.
        message = io.StringIO()
        try:
            with contextlib.redirect_stderr(message), contextlib.redirect_stdout(io.StringIO()):
                parser.parse_args(arguments)
        except SystemExit as end:
            missing = "the following arguments are required" in message.getvalue()
            if end.code and (block or not missing):  # Running text may leave them out.
                bad.append(f"{shlex.join(arguments)}: {message.getvalue().splitlines()[-1]}")
    assert not bad, "\n".join(bad)


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    assert len(blocks) == 1
    exec(compile(blocks[0], "README.md", "exec"), {})
    assert (tmp_path / "runs" / "first" / "model.keras").is_file()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_public_name_has_an_entry_in_the_api_reference():
    text = "\n".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/api/*.md"))
    listed = re.findall(r"^::: sentinode\.(\w+)$", text, flags=re.MULTILINE)
    packages = {"metrics", "plots"}
    assert sorted(set(listed) - packages) == sorted(sentinode.__all__)
