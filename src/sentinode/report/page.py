"""Pages of HTML: the parts that they are made of, and one function that writes them.

A page is one file that works without a network, in light and dark, on a phone and on paper.
"""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from sentinode.data.types import UInt8Array
from sentinode.storage import write_text
from sentinode.version import __version__


@dataclass(frozen=True)
class Note:
    """A paragraph of secondary text."""

    template: ClassVar[str] = "blocks/note.html"
    text: str


@dataclass(frozen=True)
class Findings:
    """A list of findings.

    Attributes
    ----------
    items : iterable of tuple of str
        For each finding ``"good"``, ``"warn"`` or ``"bad"``, and a sentence.
    """

    template: ClassVar[str] = "blocks/findings.html"
    items: Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table, which readers can download as csv and copy as LaTeX.

    Attributes
    ----------
    header : sequence of str
        The names of the columns.
    rows : iterable of sequence of str
        Cells: text, or markup from `sentinode.report.formatting`.
    name : str
        The name of the downloaded file, without its ending.
    long_text : bool
        Whether the second and the last column hold text that may wrap.
    """

    template: ClassVar[str] = "blocks/table.html"
    header: Sequence[str]
    rows: Iterable[Sequence[str]]
    name: str = "table"
    long_text: bool = False


@dataclass(frozen=True)
class Definitions:
    """Names with their values."""

    template: ClassVar[str] = "blocks/definitions.html"
    rows: Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Gallery:
    """Patches with captions.

    Attributes
    ----------
    items : iterable of tuple
        For each figure its patches, each uint8 of shape ``(96, 96, 3)``, and its caption.
    pairs : bool
        Whether each figure holds two patches.
    marked : bool
        Whether a square marks the central 32 × 32 px, to which the label refers.
    """

    template: ClassVar[str] = "blocks/gallery.html"
    items: Iterable[tuple[Sequence[UInt8Array], str]]
    pairs: bool = False
    marked: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure with a title and a sentence on how to read it.

    Attributes
    ----------
    title : str
        The title.
    svg : str
        What `sentinode.report.figures.to_svg` returned.
    reading : str
        Text below the figure.
    """

    title: str
    svg: str
    reading: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures side by side, as many as fit.

    Attributes
    ----------
    items : iterable of Figure
        The figures.
    small : bool
        Whether three of them instead of two fit into a row on a wide screen.
    """

    template: ClassVar[str] = "blocks/figures.html"
    items: Iterable[Figure]
    small: bool = False


@dataclass(frozen=True)
class Subheading:
    """A heading within a section."""

    template: ClassVar[str] = "blocks/subheading.html"
    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    template: ClassVar[str] = "blocks/bullets.html"
    items: Iterable[str]


class Fragment:
    """A part of a page with a template of its own.

    Parameters
    ----------
    template : str
        The name of a file in ``report/templates``.
    values : Any
        What the template reads from ``block``.
    """

    def __init__(self, template: str, **values: Any) -> None:
        self.template = template
        vars(self).update(values)


@dataclass(frozen=True)
class Section:
    """A heading and the parts below it.

    Attributes
    ----------
    heading : str
        The heading.
    parts : sequence of Part
        The parts; a string is a paragraph.
    anchor : str
        The name that links refer to; a section with one is listed in the table of contents.
    """

    template: ClassVar[str] = "blocks/section.html"
    heading: str
    parts: Sequence["Part"]
    anchor: str = ""


Part = str | Note | Subheading | Bullets | Findings | Table | Definitions | Gallery | Figures | Fragment | Section


def write_page(
    path: str | Path,
    title: str,
    lead: Iterable[str],
    parts: Sequence[Part],
    *,
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write a page, whole or not at all.

    The page's content security policy forbids requests, and scripts other than the page's own.

    Parameters
    ----------
    path : str or Path
        The HTML file.
    title : str
        The heading.
    lead : iterable of str
        Paragraphs below the heading.
    parts : sequence of Part
        The content.
    scripts : sequence of str
        Names of files in ``report/static``, which run one after the other as one script.
    data : mapping, optional
        Values for the scripts, which read them from the element ``data``.
    """
    script = "".join(static(name) for name in (*scripts, "tables.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment().get_template("page.html")
    write_text(
        path,
        page.render(
            title=title,
            lead=lead,
            parts=parts,
            contents=[part for part in parts if isinstance(part, Section) and part.anchor],
            policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
            style=static("page.css"),
            script=script,
            data=data,
            version=__version__,
        ),
    )


@cache
def environment() -> Environment:
    """Return the templates of this package; they escape every value that is not `markupsafe.Markup`."""
    loaded = Environment(
        loader=PackageLoader("sentinode.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    loaded.filters["data_uri"] = data_uri
    return loaded


def static(name: str) -> str:
    """Return the text of a style sheet or script in ``report/static``."""
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def data_uri(patch: UInt8Array) -> str:
    """Return a patch as a JPEG (quality 85) in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(patch).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
