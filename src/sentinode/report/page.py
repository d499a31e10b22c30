"""The building blocks of a page: one html file without scripts or network, light and dark, for phone and paper."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from sentinode.data.patchset import Uint8
from sentinode.storage import write_text
from sentinode.version import __version__

STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #4b5563; --line: #d1d5db; --paper: #ffffff; --card: #f6f7f9;
  --accent: #0072b2; --bad: #b42318; --warn: #8a4b00; --good: #35618f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #a9b1bd; --line: #3b4350; --paper: #14181f;
  --card: #1d232d; --accent: #56b4e9; --bad: #ff8f80; --warn: #f0b45a; --good: #8ab8e6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem 1rem 3rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.soft, figcaption, th { color: var(--soft); }
ul.findings { list-style: none; margin: 1rem 0; padding: 0; }
ul.findings li { display: flex; gap: .7rem; padding: .55rem .8rem; margin: .35rem 0; background: var(--card);
  border-left: 4px solid var(--good); border-radius: 4px; }
ul.findings li.warn { border-color: var(--warn); }
ul.findings li.bad { border-color: var(--bad); }
ul.findings b { flex: 0 0 4.6rem; color: var(--good); }
ul.findings .warn b { color: var(--warn); }
ul.findings .bad b { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; font-size: .9rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.swatch { display: inline-block; width: 1.9rem; height: 1.1rem; border: 1px solid var(--line); border-radius: 3px;
  vertical-align: text-bottom; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: .8rem .6rem;
  margin: .8rem 0; }
.gallery.pairs { grid-template-columns: repeat(auto-fill, minmax(208px, 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { width: 96px; height: 96px; image-rendering: pixelated; border-radius: 3px; display: inline-block;
  margin-right: 4px; outline: 1px solid var(--line); outline-offset: -1px; }
figcaption { font-size: .72rem; line-height: 1.25; overflow-wrap: anywhere; margin-top: .2rem; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line); font-size: .85rem;
  color: var(--soft); }
@media print { body { max-width: none; } figure, li { break-inside: avoid; } }
"""


def write_page(path: str | Path, title: str, lead: Iterable[str], sections: Iterable[str]) -> None:
    """Write a page, whole or not at all.

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
    """
    body = "\n".join([*(paragraph(each, soft=True) for each in lead), *sections])
    write_text(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f"{body}\n</main>\n<footer>Made by Sentinode {escape(__version__)}. Research use only: not a medical device."
        "</footer>\n</body>\n</html>\n",
    )


def section(heading: str, *parts: str) -> str:
    """Return a heading and what belongs to it."""
    return "\n".join([f"<h2>{escape(heading)}</h2>", *parts])


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
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


class Html(str):
    """A text that is html already."""

    __slots__ = ()


def _cell(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)


def swatch(red: float, green: float, blue: float) -> Html:
    """Return a small field of a colour, 0–255 a channel."""
    colour = f"rgb({red:.0f}, {green:.0f}, {blue:.0f})"
    return Html(f'<span class="swatch" style="background: {colour}" role="img" aria-label="{colour}"></span>')


def gallery(items: Iterable[tuple[Sequence[Uint8], str]], pairs: bool = False) -> str:
    """Return figures: patches, uint8 ``(96, 96, 3)``, each group with its caption as text."""
    figures = []
    for pixels, caption in items:
        images = "".join(f'<img src="{data_uri(patch)}" alt="{escape(caption)}" loading="lazy">' for patch in pixels)
        figures.append(f"<figure>{images}<figcaption>{escape(caption)}</figcaption></figure>")
    return "\n".join([f'<div class="gallery{" pairs" if pairs else ""}">', *figures, "</div>"])


def data_uri(patch: Uint8) -> str:
    """Return a patch as a JPEG (quality 85) that stands in the page itself."""
    buffer = io.BytesIO()
    Image.fromarray(patch).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
