"""HTML summaries of objects, which notebooks show for the last value of a cell."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

TEMPLATE = """\
<div><strong>{{ title }}</strong>
<table>{% for name, value in rows.items() %}<tr><th style="text-align: left">{{ name }}</th>
<td style="text-align: left">{{ value }}</td></tr>{% endfor %}</table>
{% if table is not none %}{{ table.to_html(border=0)|safe }}{% endif %}</div>"""


def summary_html(title: str, rows: Mapping[str, Any], table: "pd.DataFrame | None" = None) -> str:
    """Return a summary of an object as HTML.

    Parameters
    ----------
    title : str
        The kind of object, and its name.
    rows : mapping
        Names and values, shown one below the other.
    table : pandas.DataFrame, optional
        A table below them.

    Returns
    -------
    str
        HTML in which every text is escaped.

    Examples
    --------
    >>> "a &lt; b" in summary_html("Run", {"name": "a < b"})
    True
    """
    return _template().render(title=title, rows=rows, table=table)


@cache
def _template() -> "jinja2.Template":
    import jinja2  # Only notebooks need it.

    return jinja2.Environment(autoescape=True).from_string(TEMPLATE)
