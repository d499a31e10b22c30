"""Access the files of a source: in a folder or listed one by one."""

import glob
import os
import posixpath
import re
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
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
# More folders behind links than this are an endless maze.
MAX_LINKED_FOLDERS = 10_000
# Images and tables are read into memory whole; the csv of a million patches has a tenth of this.
MAX_WHOLE_BYTES = 1 << 28
# A folder below that of the data is one of results, not of patches, when it holds one of these files.
_RESULTS = {"model.json", "metrics.json", "stress.json", "compare.json", "audit.json", "explanations.csv"}
_LEADS_OUT = re.compile(r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)")
_JUNK_FOLDERS = {"__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir"}


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
    """Tell whether the name of a member leads out of its archive."""
    return _LEADS_OUT.search(name) is not None


def is_junk(name: str) -> bool:
    """Tell whether an operating system or a tool left this file."""
    # macOS writes ._NAME beside every NAME of a zip; it ends in .tif and is not an image.
    parts = PurePosixPath(name).parts
    return not parts or parts[-1].startswith(".") or any(part in _JUNK_FOLDERS for part in parts)


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
            raise DataError(f"{self.locate(name)}: truncated; fetch the source again")
        return content

    def peek(self, name: str) -> BinaryIO:
        """Open a file to read its head; nothing is verified, and no more is unpacked than is read."""
        return self.open(name)

    @cached_property
    def _name_set(self) -> set[str]:
        return set(self.names)


class FolderFiles(Files):
    """The files below a folder.

    Parameters
    ----------
    folder : str or Path
        The folder.
    """

    # A pipe inside a folder would be waited for without end.
    takes_pipes = False

    def __init__(self, folder: str | Path) -> None:
        self.where = str(folder)
        self.ignored_links: list[str] = []
        self.result_folders: list[str] = []
        self._folder = Path(folder)
        self._linked_folders = 0

    @cached_property
    def names(self) -> list[str]:
        """Sorted names relative to the folder; links are followed, but for circles.

        Raises
        ------
        DataError
            The folder cannot be read, or its links lead to more than 10,000 folders.
        """
        try:
            return sorted(self._walk("", (self._root,)))
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

    def _walk(self, base: str, chain: tuple[str, ...]) -> Iterator[str]:
        """Yield the names of the files below a folder; `chain` has the real paths of the folders that lead to it."""
        with os.scandir(chain[-1]) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        if base and any(entry.name in _RESULTS for entry in listed):
            self.result_folders.append(base.rstrip("/"))
            return
        for entry in listed:
            name = f"{base}{entry.name}"
            if not _is_folder(entry):
                if entry.is_symlink() and not is_image(name) and not Path(entry.path).exists():
                    self.ignored_links.append(name)
                elif not is_junk(name):
                    yield name
                continue
            if entry.name in _JUNK_FOLDERS:
                continue
            real_path = f"{chain[-1]}/{entry.name}"
            if entry.is_symlink():
                real_path = os.path.realpath(real_path)
                self._linked_folders += 1
                if real_path in chain:
                    self.ignored_links.append(name)
                    continue
                if self._linked_folders > MAX_LINKED_FOLDERS:
                    raise DataError(
                        f"{self.where}: links lead to more than {MAX_LINKED_FOLDERS:,} folders; remove some"
                    )
            yield from self._walk(f"{name}/", (*chain, real_path))

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self._folder / name

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return self.path(name).is_file()

    def list_folder(self, folder: str) -> list[str]:
        """Return the names of the files in a folder; none where there is no such folder."""
        path = self.path(folder.rstrip("/"))
        return sorted(each.name for each in path.iterdir() if each.is_file()) if path.is_dir() else []

    def locate(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.path(name))

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        DataError
            The file cannot be read or is too large.
        """
        with self.open(name) as file:
            try:
                state = os.fstat(file.fileno())
                size_bytes = state.st_size if stat.S_ISREG(state.st_mode) else MAX_WHOLE_BYTES
                return file.read(check_whole(size_bytes, self.locate(name)))
            except OSError as error:
                raise DataError(f"{self.path(name)}: cannot be read ({error.strerror})") from error

    def open(self, name: str) -> BinaryIO:
        """Open a file for random access.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        path = self.path(name)
        if not self.takes_pipes and path.exists() and not path.is_file():
            raise DataError(f"{path}: a folder, pipe or device, where a file is expected; remove it")
        try:
            return path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def stamp(self, name: str) -> str:
        """Return absolute path, size and modification time; a missing file is reported when it is read."""
        try:
            state = self.path(name).stat()
        except OSError as error:
            return f"{self._absolute(name)} {error.strerror}"
        return f"{self._absolute(name)} {state.st_size} {state.st_mtime_ns}"

    @cached_property
    def _root(self) -> str:
        return os.path.realpath(self._folder)

    def _absolute(self, name: str) -> str:
        return f"{self._root}/{name}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


class ListedFiles(FolderFiles):
    """Files that were listed one by one.

    Names are the paths as they were given; of absolute paths without the folder that they share.

    Parameters
    ----------
    paths : sequence of str or Path
        The files.
    """

    takes_pipes = True

    def __init__(self, paths: Sequence[str | Path]) -> None:
        super().__init__(".")
        self.where = str(paths[0]) if len(paths) == 1 else f"{len(paths):,} files"
        self._paths = dict(zip(shorten(paths), map(Path, paths), strict=True))
        self._shared = next((str(path)[: -len(name)] for name, path in self._paths.items()), "")

    @cached_property
    def names(self) -> list[str]:
        """The names, in the order given."""
        return list(self._paths)

    def path(self, name: str) -> Path:
        """Return the path of a listed file, or of a file beside one."""
        return self._paths.get(name) or Path(self._shared) / name

    def _absolute(self, name: str) -> str:
        return os.path.realpath(self.path(name))
