"""Parts of pages as strings of HTML; being replaced by the parts of `sentinode.report.page`."""

from collections.abc import Iterable, Sequence
from html import escape

from markupsafe import Markup


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


Html = Markup


def _cell(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)
