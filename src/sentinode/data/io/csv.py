"""Read csv files as text, since an id is not a number."""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sentinode.errors import DataError, first_line

SEPARATORS = ",;\t"
# Number of the first data row, as an editor counts: row 1 is the header.
FIRST_ROW = 2


def read_csv(source: str | Path | bytes, columns: Sequence[str] = (), where: str | None = None) -> pd.DataFrame:
    r"""Read a csv file with every field as text, without surrounding spaces.

    Parameters
    ----------
    source : str, Path or bytes
        The file, or its content. UTF-8, with or without a byte-order mark; fields separated by commas, semicolons or
        tabs.
    columns : sequence of str
        Columns that must exist.
    where : str, optional
        Name of the file in error messages; `source` by default.

    Returns
    -------
    DataFrame
        Row `i` is row ``i + 2`` in an editor; an empty line is a row of empty fields.

    Raises
    ------
    DataError
        The file cannot be read, is not UTF-8, has rows longer than the header, or lacks a column.

    Examples
    --------
    >>> read_csv(b"path;label\na.png; 1\n", ["path"], "patches.csv").to_dict("records")
    [{'path': 'a.png', 'label': '1'}]
    """
    where = where or str(source)
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        header = content.split(b"\n", 1)[0].decode("utf-8", "replace")
        table = pd.read_csv(
            io.BytesIO(content),
            sep=max(SEPARATORS, key=header.count),
            dtype="str",
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,
        )
    except (ValueError, OverflowError, OSError) as error:
        way_out = "save it as UTF-8" if isinstance(error, UnicodeError) else "copy or save it again"
        raise DataError(f"{where}: not a readable csv file ({first_line(error)}); {way_out}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{where}: its rows have more fields than its header; add the missing column names")
    table.columns = [str(column).strip() for column in table.columns]
    if not table.columns.is_unique:  # pandas renames those that are equal to the last space.
        raise DataError(f"{where}: has two columns {table.columns[table.columns.duplicated()][0]!r}; rename one")
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(missing)} (columns: {', '.join(table.columns)}); "
            f"{' and '.join(columns)} must exist"
        )
    return table.fillna("").apply(lambda column: column.str.strip())
