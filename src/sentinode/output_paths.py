"""Check output paths before the work that fills them."""

import os
import re
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

from sentinode.errors import ConfigError, OutputError

# Files that desktops leave in every folder they show.
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFREG: "a file",
}


def check_output_file(path: str | Path) -> Path:
    """Check that a regular file can be written, before the work that fills it.

    Parameters
    ----------
    path : str or Path
        The file to write. Symbolic links are resolved first.

    Returns
    -------
    Path
        The path that will be written, with links resolved.

    Raises
    ------
    OutputError
        Something other than a regular file is there, or its folder cannot be made or written.

    Examples
    --------
    >>> check_output_file("/dev/null")
    Traceback (most recent call last):
        ...
    sentinode.errors.OutputError: /dev/null: is a device; choose another output file
    """
    final, kind = _resolved(path)
    if kind not in (None, stat.S_IFREG):
        raise OutputError(f"{path}: is {_KINDS.get(kind, 'not a file')}; choose another output file")
    check_parent(path, final.parent)
    return final


def check_ending(path: str | Path, ending: str, option: str = "") -> None:
    """Check that the name of an output file has the ending of what is written.

    Parameters
    ----------
    path : str or Path
        The file.
    ending : str
        Such as ``".csv"``; upper case counts as lower case.
    option : str, optional
        The option of a command that named the file, for the message.

    Raises
    ------
    ConfigError
        The name ends otherwise.

    Examples
    --------
    >>> check_ending("predictions.txt", ".csv", "--out")
    Traceback (most recent call last):
        ...
    sentinode.errors.ConfigError: --out predictions.txt: use a name that ends in .csv
    """
    if Path(path).suffix.lower() != ending:
        raise ConfigError(f"{option} {path}: use a name that ends in {ending}".lstrip())


def check_free_space(folder: str | Path, needed_bytes: int, remedy: str) -> None:
    """Check that a disk has room for what is to be written.

    Parameters
    ----------
    folder : str or Path
        The folder; it need not exist yet.
    needed_bytes : int
        What will be written at the most.
    remedy : str
        How to go on, for the message.

    Raises
    ------
    OutputError
        Less is free.
    """
    nearest = next(each for each in (Path(folder), *Path(folder).absolute().parents) if each.is_dir())
    free = shutil.disk_usage(nearest).free
    if free < needed_bytes:
        raise OutputError(
            f"{folder}: {needed_bytes / 1e6:,.1f} MB may be needed, and {free / 1e6:,.1f} MB are free; {remedy}"
        )


def check_output_folder(path: str | Path) -> Path:
    """Check that a folder can be made or is there and can be written, before the work that fills it.

    Parameters
    ----------
    path : str or Path
        The folder to write to. Symbolic links are resolved first.

    Returns
    -------
    Path
        The path that will be written, with links resolved.

    Raises
    ------
    OutputError
        Something other than a folder is there, or it cannot be made or written.

    Examples
    --------
    >>> check_output_folder("/dev/null")
    Traceback (most recent call last):
        ...
    sentinode.errors.OutputError: /dev/null: is a device; choose another output folder
    """
    final, kind = _resolved(path)
    if kind not in (None, stat.S_IFDIR):
        raise OutputError(f"{path}: is {_KINDS.get(kind, 'not a folder')}; choose another output folder")
    check_parent(path, final)
    return final


def check_no_other_files(folder: Path, names: Collection[str]) -> None:
    """Check that a folder that will be replaced holds only files of these names; it may be missing.

    Raises
    ------
    OutputError
        It holds another file, which would be lost.
    """
    found = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(found.difference(names, SYSTEM_FILES))
    if others:
        raise OutputError(
            f"{folder}: contains {others[0]}, which would be deleted with the earlier results; move it, or write to "
            "another folder"
        )


def check_parent(path: str | Path, folder: Path) -> None:
    """Check that a folder can be made or written.

    Parameters
    ----------
    path : str or Path
        The output as the user specified it, for the message.
    folder : Path
        Its folder, with links resolved.

    Raises
    ------
    OutputError
        A file is in the way, or there is no write access.
    """
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        raise OutputError(f"{path}: {nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot be written; there is no write access to the folder {nearest}")


def _resolved(path: str | Path) -> tuple[Path, int | None]:
    if path == "":
        raise OutputError("the output path is empty; specify one (unset shell variable?)")
    # Standard output may be a regular file, which must not be replaced under the shell that opened it.
    if re.match(r"/dev/(std|fd/)|/proc/[^/]+/fd/", str(Path(path).absolute())):
        raise OutputError(
            f"{path}: is an open file of the process; choose a file on disk (`sentinode predict --out -` prints)"
        )
    try:
        final = Path(path).resolve()
        return final, stat.S_IFMT(final.stat().st_mode)
    except FileNotFoundError:
        return final, None
    except NotADirectoryError:
        return final, None  # A parent is a file; `check_parent` names it.
    except (OSError, RuntimeError) as error:  # A circle of links, a name that is too long, a folder without access.
        raise OutputError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from error
