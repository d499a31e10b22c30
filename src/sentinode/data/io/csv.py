"""Tables of patches as csv: read as text, since a label is a label and an id no number."""

import io
from collections.abc import Sequence

import pandas as pd

from sentinode.data.io.files import Files
from sentinode.errors import DataError, first_line

SEPARATORS = ",;\t"
# Row 1 is the header, as an editor counts.
FIRST_ROW = 2


def read_table(files: Files, name: str, needed: Sequence[str]) -> pd.DataFrame:
    r"""Read a csv as it stands, every field a text without spaces around it.

    Parameters
    ----------
    files, name
        Where it is.
    needed
        Columns that have to be there.

    Returns
    -------
    pandas.DataFrame
        Row `n` of it is row ``n + 2`` of an editor; an empty line is a row of empty fields.

    Raises
    ------
    DataError
        Not text in UTF-8, fields that do not fit the header, or a column missing.

    Examples
    --------
    >>> from sentinode.data.io.files import ListedFiles
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "patches.csv"
    >>> _ = file.write_text("path;label\na.png; 1\n")
    >>> read_table(ListedFiles([file]), file.as_posix(), ["path"]).to_dict("records")
    [{'path': 'a.png', 'label': '1'}]
    """
    where = files.locate(name)
    content = files.read(name)
    header = content.split(b"\n", 1)[0].decode("utf-8", "replace")
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            sep=max(SEPARATORS, key=header.count),
            dtype="str",
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,
        )
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: not a readable csv ({first_line(error)}); fetch or save it again") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{where}: its rows have more fields than its header; give every column a name")
    table.columns = [str(column).strip() for column in table.columns]
    missing = [column for column in needed if column not in table]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(missing)} (there are: {', '.join(table.columns)}); "
            f"{' and '.join(needed)} are expected"
        )
    return table.fillna("").apply(lambda column: column.str.strip())
