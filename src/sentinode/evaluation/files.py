"""Folders and tables of results."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinode.errors import DataError
from sentinode.metrics import Interval
from sentinode.storage import read_json


def default_folder(home: Path, name: str, fingerprint: str, file: str) -> Path:
    """Return the folder of a result inside a run.

    Parameters
    ----------
    home : Path
        The folder of the run.
    name : str
        The name of the result, which may contain the name of a split. Characters that are no part of a file name on
        some system, and leading dots, become hyphens.
    fingerprint : str
        The fingerprint of the evaluated patches.
    file : str
        The JSON file of such a result, which records its provenance.

    Returns
    -------
    Path
        ``home/evaluations/name``, with a part of the fingerprint appended if a result of other patches is there.
    """
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]|^\.+', "-", name)
    folder = home / "evaluations" / name
    if not (folder / file).is_file():
        return folder
    try:
        found = read_json(folder / file)["made_by"]["fingerprint"]
    except (DataError, KeyError, TypeError):
        found = None  # A damaged file may be of other patches, so it is kept.
    return folder if found == fingerprint else folder.with_name(f"{name}-{fingerprint[:8]}")


def interval_columns(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Return three columns for each interval: its name, and its name with ``_low`` and ``_high``.

    Parameters
    ----------
    values : mapping of str to object
        Intervals, or None, by name; other values are ignored.

    Returns
    -------
    dict of str to float or None
        The columns.

    Examples
    --------
    >>> interval_columns({"auc": Interval(0.9, 0.8, 0.95, "Wilson", 10), "threshold": 0.5})
    {'auc': 0.9, 'auc_low': 0.8, 'auc_high': 0.95}
    """
    columns: dict[str, float | None] = {}
    for name, value in values.items():
        if value is None or isinstance(value, Interval):
            for end, attribute in (("", "estimate"), ("_low", "low"), ("_high", "high")):
                columns[f"{name}{end}"] = getattr(value, attribute, None)
    return columns
