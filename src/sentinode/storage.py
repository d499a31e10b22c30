"""Files that appear whole or not at all: write beside, flush to disk, rename."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from sentinode.errors import DataError
from sentinode.serialize import from_json, to_json

T = TypeVar("T")

# What a process that is killed while it writes leaves behind can be told by it.
BESIDE = ".sentinode-"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path`, on error it goes.

    Parameters
    ----------
    path
        The final path. Its folder is made when missing.

    Yields
    ------
    Path
        A path with the same ending, to be written by the caller.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with whole_file(folder / "note.txt") as beside:
    ...     _ = beside.write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['note.txt']
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, since Keras and Matplotlib choose the format by it.
    ending = "".join(final.suffixes[-2:])
    handle, name = tempfile.mkstemp(prefix=f"{BESIDE}{final.name[:40]}-", suffix=ending, dir=final.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.chmod(0o666 & ~_umask())
        beside.replace(final)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(beside)):
            raise
        # The user knows nothing of the temporary name, and some libraries have many lines for a full disk.
        raise OSError(error.errno, os.strerror(error.errno), str(final)) from error
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it takes its place, on error it goes.

    Parameters
    ----------
    path
        The final folder. Its parent is made when missing; a folder that is there is replaced.

    Yields
    ------
    Path
        An empty folder, to be filled by the caller.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with whole_folder(folder / "notes") as beside:
    ...     _ = (beside / "note.txt").write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['notes']
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{BESIDE}{final.name[:40]}-", dir=final.parent))
    new, old = work / "new", work / "old"
    new.mkdir()  # With the rights that the umask gives, where mkdtemp's own are for this user alone.
    try:
        yield new
        for file in new.iterdir():
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        if final.exists():
            final.rename(old)
        new.rename(final)
    finally:
        if old.exists() and not final.exists():
            old.rename(final)
        shutil.rmtree(work, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote into `folder` left; nobody may be writing there."""
    for beside in folder.glob(f"{BESIDE}*"):
        shutil.rmtree(beside) if beside.is_dir() else beside.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, whole or not at all."""
    with whole_file(path) as beside:
        # A path may be no text; in json what stands in its place is read back as it was.
        beside.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, content: Any) -> None:
    """Write a dataclass or plain values as indented JSON, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file.
    content : object
        See `sentinode.serialize.to_json`.
    """
    write_text(path, json.dumps(to_json(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@overload
def read_json(path: str | Path) -> Any: ...
@overload
def read_json(path: str | Path, kind: type[T], **given: Any) -> T: ...
def read_json(path: str | Path, kind: type[Any] | None = None, **given: Any) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : str or Path
        The file.
    kind : type, optional
        A dataclass to build from it. Without one, plain values are returned.
    **given : object
        Values of fields that are not in the file.

    Raises
    ------
    DataError
        The file is not valid JSON, or does not hold what `kind` needs. The message names the file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return content if kind is None else from_json(kind, content, **given)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); restore the file or delete it") from error
    except DataError as error:
        raise DataError(f"{path}: {error}; restore the file or delete it") from error


def _umask() -> int:
    # There is no way to read the umask without setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
