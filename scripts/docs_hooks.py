"""Hooks of the documentation site: pages that live outside ``docs/``, and links that leave it.

MkDocs calls these functions by name (``hooks`` in ``mkdocs.yml``).
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# File in the repository: its page on the site.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "src/sentinode/samples/d4net-m/README.md": "models/d4net-m.md",
    "src/sentinode/samples/pcam-mini.md": "models/pcam-mini.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# The metadata block of a model card.
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def on_config(config: Any) -> Any:
    """Expand entries of the navigation such as ``decisions/*`` to the pages of that folder."""
    config.nav = [_expanded(entry) for entry in config.nav]
    return config


def _expanded(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(below) for title, below in entry.items()}
    if isinstance(entry, list):
        return [_expanded(below) for below in entry]
    if entry.endswith("/*"):
        pages = sorted((DOCS / entry[:-2]).glob("*.md"), key=lambda page: (page.name != "README.md", page.name))
        return [page.relative_to(DOCS).as_posix() for page in pages]
    return entry


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that live outside ``docs/``."""
    for source, page in PAGES.items():
        text = FRONT_MATTER.sub("", (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to files of the repository at their page on the site; drop links to other files outside ``docs/``."""
    here = page.file.src_uri
    origin = next((ROOT / source for source, target in PAGES.items() if target == here), DOCS / here)
    return LINK.sub(lambda link: _resolve(link, origin, here), markdown)


def _resolve(link: re.Match[str], origin: Path, here: str) -> str:
    image, text, target = link.groups()
    path, _, anchor = target.partition("#")
    if image or not path or "://" in path or path.startswith("mailto:"):
        return link[0]
    file = (origin.parent / path).resolve()
    name = file.relative_to(ROOT).as_posix()
    if name in PAGES:
        name = f"docs/{PAGES[name]}"
    elif not name.startswith("docs/"):
        return text
    elif file.is_dir():
        name += "/README.md"
    relative = os.path.relpath(name, Path("docs", here).parent)
    return f"[{text}]({relative}{'#' + anchor if anchor else ''})"
