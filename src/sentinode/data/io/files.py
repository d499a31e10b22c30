"""The files of a source, and what their names tell."""

import glob
import os
import posixpath
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sentinode.errors import DataError, plural

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".j2k", ".ppm", ".pnm", ".webp"
)  # fmt: skip
# Files beside images that are expected and not worth a note.
_DOCUMENTS = {
    ".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".ini", ".db", ".log",
    ".py", ".ipynb", ".toml", ".cfg", ".xlsx", ".ods", ".zip", ".gz", ".cls", ".lock",
}  # fmt: skip
_DOCUMENTS_WITHOUT_ENDING = {
    "readme", "license", "licence", "copying", "authors", "changelog", "notice", "makefile", "md5sums", "sha1sums",
    "sha256sums", "checksums",
}  # fmt: skip
# Images and tables are read into memory whole; the csv of a million patches has a tenth of this.
MAX_WHOLE_BYTES = 1 << 28
_LEADS_OUT = re.compile(r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)")
JUNK_FOLDERS = {"__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir"}


def is_image(name: str) -> bool:
    """Tell whether a file name has the ending of a patch image."""
    return name.lower().endswith(IMAGE_ENDINGS)


def without_image_ending(name: str) -> str:
    """Return a file name without the ending of an image.

    Examples
    --------
    >>> without_image_ending("a/7f.tif"), without_image_ending("patch.7")
    ('a/7f', 'patch.7')
    """
    return name.rpartition(".")[0] if is_image(name) else name


def image_names(files: "Files") -> tuple[list[str], list[str]]:
    """Return the names of the images of a source, and notes on what is left out.

    Parameters
    ----------
    files : Files
        The source.

    Returns
    -------
    names : list of str
        Images, in the order of the source.
    notes : list of str
        Files of other formats, counted by ending, links that are not followed, and folders of results.
    """
    names = [name for name in files.names if is_image(name)]
    others = Counter(
        PurePosixPath(name).suffix.lower() or "without ending"
        for name in files.names
        if not is_image(name) and PurePosixPath(name).name.lower() not in _DOCUMENTS_WITHOUT_ENDING
    )
    counts = {ending: count for ending, count in others.most_common() if ending not in _DOCUMENTS}
    notes = []
    if counts and names:
        shown = ", ".join(f"{ending} {count:,}" for ending, count in list(counts.items())[:9])
        notes.append(f"{plural(sum(counts.values()), 'file')} of formats that are not read as images: {shown}")
    links = files.ignored_links
    if links:
        notes.append(f"{plural(len(links), 'link')} not followed, circular or broken: {', '.join(links[:5])}")
    if files.result_folders:
        notes.append(f"results of sentinode, left out: {', '.join(files.result_folders[:5])}")
    return names, notes


def shorten(paths: Sequence[str | Path]) -> list[str]:
    """Return paths without the absolute folder that they share.

    Parameters
    ----------
    paths : sequence of str or Path
        Paths of files or folders.

    Returns
    -------
    list of str
        With forward slashes. Unchanged where a path is relative, since it is written as the user gave it.

    Examples
    --------
    >>> shorten(["/home/me/site1", "/home/me/site2"]), shorten(["a/1.png", "/b/2.png"])
    (['site1', 'site2'], ['a/1.png', '/b/2.png'])
    """
    given = [Path(path) for path in paths]
    if not all(path.is_absolute() for path in given) or len({path.anchor for path in given}) != 1:
        return [path.as_posix() for path in given]
    shared = Path(os.path.commonpath([path.parent for path in given]))
    return [path.relative_to(shared).as_posix() for path in given]


def matching_files(pattern: str | Path) -> list[Path]:
    """Return the files that match a pattern, sorted.

    Raises
    ------
    DataError
        No file matches.
    """
    found = sorted(Path(each) for each in glob.glob(str(pattern), recursive=True))  # noqa: PTH207
    if not found:
        raise DataError(f"{pattern}: no file matches this pattern")
    return found


def leads_out(name: str) -> bool:
    """Tell whether the path of a member points outside its archive."""
    return _LEADS_OUT.search(name) is not None


def is_junk(name: str) -> bool:
    """Tell whether an operating system or a tool left this file."""
    # macOS writes ._NAME beside every NAME of a zip; it ends in .tif and is not an image.
    parts = PurePosixPath(name).parts
    return not parts or parts[-1].startswith(".") or any(part in JUNK_FOLDERS for part in parts)


def check_whole(size_bytes: int, where: str) -> int:
    """Return `size_bytes` when so much may be read into memory.

    Raises
    ------
    DataError
        The file is larger than an image or a table can be.
    """
    if size_bytes > MAX_WHOLE_BYTES:
        raise DataError(f"{where}: {size_bytes / 1e6:,.0f} MB is too large for a patch or a table; remove the file")
    return size_bytes


class Files(ABC):
    """The files of a source. Names are relative to the source, with forward slashes.

    Attributes
    ----------
    where : str
        The source, in messages.
    container : str
        What holds the files, to be appended to the name of a format: ``""`` or such as ``" in a zip"``.
    ignored_links : sequence of str
        Links to folders that were not followed, because they are circular or broken.
    result_folders : sequence of str
        Folders of runs, evaluations and other results, whose pictures are no patches; their files are not listed.
    """

    where: str
    container: str = ""
    ignored_links: Sequence[str] = ()
    result_folders: Sequence[str] = ()

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Sorted names of all files, without the junk of operating systems."""

    @abstractmethod
    def locate(self, name: str) -> str:
        """Return the place of a file, for messages."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Open a file for random access; a checksum is verified where there is one.

        Raises
        ------
        DataError
            The file cannot be read.
        """

    @abstractmethod
    def stamp(self, name: str) -> str:
        """Return a text that changes whenever the content of the file may have changed."""

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return name in self._name_set

    def list_folder(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, relative to it; files that were not listed are included."""
        base = posixpath.normpath(folder) if folder else ""
        return [name.rpartition("/")[2] for name in self.names if name.rpartition("/")[0] == base]

    def read(self, name: str) -> bytes:
        """Return the content of a file; a checksum is verified where there is one.

        Raises
        ------
        DataError
            The file cannot be read or is too large.
        """
        with self.open(name) as file:
            size_bytes = check_whole(file.seek(0, 2), self.locate(name))
            file.seek(0)
            content = file.read()
        if len(content) < size_bytes:
            raise DataError(f"{self.locate(name)}: truncated; download or copy the source again")
        return content

    def peek(self, name: str) -> BinaryIO:
        """Open a file to read its head; nothing is verified, and no more is unpacked than is read."""
        return self.open(name)

    @cached_property
    def _name_set(self) -> set[str]:
        return set(self.names)
