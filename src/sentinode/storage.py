"""Write files and folders atomically: into a temporary one beside the target, flushed to disk, then renamed."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sentinode.errors import DataError
from sentinode.output_paths import check_output_file, check_output_folder, check_parent
from sentinode.serialize import from_json, to_json

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

# Marks temporary files and folders, so that those of a killed process can be removed later.
TEMPORARY_PREFIX = ".sentinode-"

_UMASK_LOCK = threading.Lock()


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Write a file atomically.

    The block writes to a temporary path. On success this file replaces `path`; on an error it is removed, and `path`
    stays as it was.

    Parameters
    ----------
    path : str or Path
        The file to write. Its folder is made when missing. Symbolic links are resolved first.

    Yields
    ------
    Path
        A temporary path with the same ending and in the same folder.

    Raises
    ------
    OutputError
        `path` is a folder, a device, a pipe or a socket, or its folder cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_file(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("complete")
    >>> [path.name for path in folder.iterdir()]
    ['note.txt']
    """
    final = check_output_file(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, since Keras and Matplotlib choose the format by it. A long one is the rest of a name with a dot.
    endings = ("".join(final.suffixes[-2:]), final.suffix)
    ending = next((each for each in endings if len(os.fsencode(each)) <= 40), "")
    handle, name = tempfile.mkstemp(prefix=_temporary_prefix(final), suffix=ending, dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with _errors_name(path, temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _errors_name(path: str | Path, temporary: Path) -> Iterator[None]:
    """Name the target, which the user knows, in errors about the temporary file or folder."""
    try:
        yield
    except OSError as error:
        number = error.errno
        if number is None and "requested and" in str(error):  # NumPy: "800 requested and 224 written".
            number = errno.ENOSPC
        file = temporary if error.filename is None else Path(str(error.filename))
        if number is None or not file.is_relative_to(temporary):
            raise
        # Some libraries raise many lines for a full disk.
        raise OSError(number, os.strerror(number), str(Path(path) / file.relative_to(temporary))) from error


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder atomically.

    The block fills a temporary folder. On success this folder replaces `path`; on an error it is removed, and `path`
    stays as it was.

    Parameters
    ----------
    path : str or Path
        The folder to write. Its parent is made when missing. An existing folder is replaced. Symbolic links are
        resolved first.

    Yields
    ------
    Path
        An empty temporary folder.

    Raises
    ------
    OutputError
        `path` is not a folder, or cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_folder(folder / "notes") as temporary:
    ...     _ = (temporary / "note.txt").write_text("complete")
    >>> [path.name for path in folder.iterdir()]
    ['notes']
    """
    final = check_output_folder(path)
    check_parent(path, final.parent)
    final.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=_temporary_prefix(final), dir=final.parent))
    new, old = work / "new", work / "old"
    new.mkdir()  # Its permissions follow the umask; those of mkdtemp's folder are for this user alone.
    try:
        with _errors_name(path, new):
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


def _temporary_prefix(final: Path) -> str:
    beginning = os.fsencode(final.name)[:40].decode(errors="ignore")  # File systems limit the bytes of a name.
    return f"{TEMPORARY_PREFIX}{beginning}-"


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; no process may be writing to it."""
    for temporary in folder.glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder's files to disk, so that a renamed file outlives a power failure."""
    if os.name == "nt":  # Folders cannot be opened there.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with LF line ends atomically."""
    with atomic_file(path) as temporary:
        # A file name may hold bytes that are not UTF-8; JSON reads the escaped form back unchanged.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_csv(table: "pd.DataFrame", path: str | Path, **options: Any) -> None:
    """Write a table without its index as UTF-8 text with LF line ends, atomically.

    Parameters
    ----------
    table : pandas.DataFrame
        The table.
    path : str or Path
        The csv file.
    **options
        Further options of `pandas.DataFrame.to_csv`.
    """
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", **options)


def write_json(path: str | Path, content: Any) -> None:
    """Write a dataclass or plain values as indented JSON, atomically.

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


def sha256_of(*files: Path) -> str:
    """Compute the SHA-256 of the content of files, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _umask() -> int:
    # There is no way to read the umask without setting it, and it is that of all threads.
    with _UMASK_LOCK:
        mask = os.umask(0o077)
        os.umask(mask)
        return mask
