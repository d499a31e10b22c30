"""The building blocks of a page: one html file without network, light and dark, for phone and paper."""

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from sentinode.data.patchset import Uint8
from sentinode.storage import write_text
from sentinode.version import __version__


def write_page(
    path: str | Path,
    title: str,
    lead: Iterable[str],
    sections: Iterable[str],
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Any = None,
    contents: Sequence[tuple[str, str]] = (),
) -> None:
    """Write a page, whole or not at all.

    Its policy forbids the browser any request, and any script but those that are named here.

    Parameters
    ----------
    path
        The html file.
    title
        Its heading, as text.
    lead
        Paragraphs below it, as text.
    sections
        What `section`, `findings`, `table` and `gallery` return.
    styles
        Files of this folder beside ``page.css``, by name.
    scripts
        Files of this folder, by name; they run one after the other as one script.
    data
        Plain values that scripts read from the element ``data``.
    contents
        A table of contents: the anchor and the heading of each section.
    """
    style = "".join(part(name) for name in ("page.css", *styles))
    script = "".join(part(name) for name in scripts)
    allowed = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" if script else "'none'"
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
    body = "\n".join([*(paragraph(each, soft=True) for each in lead), *sections])
    write_text(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{_contents(contents)}<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n"
        f"<footer>Made by Sentinode {escape(__version__)}. Research use only: not a medical device.</footer>\n"
        f"{_data(data)}{f'<script>{script}</script>' if script else ''}</body>\n</html>\n",
    )


def part(name: str) -> str:
    """Return a style sheet or a script of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _contents(headings: Sequence[tuple[str, str]]) -> str:
    if not headings:
        return ""
    links = "".join(f'<li><a href="#{anchor}">{escape(heading)}</a></li>' for anchor, heading in headings)
    return f'<nav aria-label="Contents"><ol>{links}</ol></nav>\n'


def _data(data: Any) -> str:
    if data is None:
        return ""
    # Whatever text there is, it cannot end the element.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="data">{text}</script>\n'


def section(heading: str, *parts: str, anchor: str = "") -> str:
    """Return a heading and what belongs to it; with an anchor as an element that can be linked to."""
    inner = "\n".join([f"<h2>{escape(heading)}</h2>", *parts])
    return f'<section id="{anchor}">\n{inner}\n</section>' if anchor else inner


def paragraph(text: str, soft: bool = False) -> str:
    """Return a paragraph of plain text.

    Examples
    --------
    >>> paragraph("0 < 1")
    '<p>0 &lt; 1</p>'
    """
    return f'<p class="soft">{escape(text)}</p>' if soft else f"<p>{escape(text)}</p>"


def findings(items: Iterable[tuple[str, str]]) -> str:
    """Return a list of findings: each ``"good"``, ``"warn"`` or ``"bad"``, and a sentence."""
    words = {"good": "fine", "warn": "look", "bad": "error"}
    rows = (f'<li class="{kind}"><b>{words[kind]}</b><span>{escape(text)}</span></li>' for kind, text in items)
    return "\n".join(['<ul class="findings">', *rows, "</ul>"])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts; a cell that `swatch` made stays as it is."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' if cell else "<td></td>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    # Where it is wider than the page it can be moved, by keys too.
    around = '<div class="wide" tabindex="0" role="group" aria-label="table">'
    return f"{around}<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and what belongs to them; a text that is `Html` stays as it is."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{_cell(value)}</dd></div>" for name, value in rows)
    return f'<dl class="facts">{cells}</dl>'


class Html(str):
    """A text that is html already."""

    __slots__ = ()


def _cell(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)


def swatch(red: float, green: float, blue: float) -> Html:
    """Return a small field of a colour, 0–255 a channel."""
    colour = f"rgb({red:.0f}, {green:.0f}, {blue:.0f})"
    return Html(f'<span class="swatch" style="background: {colour}" role="img" aria-label="{colour}"></span>')


def gallery(items: Iterable[tuple[Sequence[Uint8], str]], pairs: bool = False, marked: bool = False) -> str:
    """Return figures: patches, uint8 ``(96, 96, 3)``, each group with its caption as text.

    With `marked` a square shows the central 32 × 32 px, which the label is about.
    """
    figures = []
    for pixels, caption in items:
        images = "".join(f'<img src="{data_uri(patch)}" alt="{escape(caption)}" loading="lazy">' for patch in pixels)
        images = f'<span class="patch">{images}</span>' if marked else images
        figures.append(f"<figure>{images}<figcaption>{escape(caption)}</figcaption></figure>")
    kind = f"gallery{' pairs' if pairs else ''}{' marked' if marked else ''}"
    return "\n".join([f'<div class="{kind}">', *figures, "</div>"])


def data_uri(patch: Uint8) -> str:
    """Return a patch as a JPEG (quality 85) that stands in the page itself."""
    buffer = io.BytesIO()
    Image.fromarray(patch).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
