"""The files below a folder, or listed one by one."""

import os
import stat
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from sentinode.data.io.files import JUNK_FOLDERS, MAX_WHOLE_BYTES, Files, check_whole, is_image, is_junk, shorten
from sentinode.errors import DataError

# More folders behind links than this are an endless maze.
MAX_LINKED_FOLDERS = 10_000
# A folder below that of the data is one of results, not of patches, when it holds one of these files.
RESULTS = {"model.json", "metrics.json", "stress.json", "compare.json", "audit.json", "trials.csv", "explanations.csv"}


class FolderFiles(Files):
    """The files below a folder.

    Parameters
    ----------
    folder : str or Path
        The folder.
    """

    # A pipe inside a folder would be waited for without end.
    takes_pipes = False
    # Whether folders that hold results are left out; see RESULTS.
    skips_results = True

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
        if base and self.skips_results and any(entry.name in RESULTS for entry in listed):
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
            if entry.name in JUNK_FOLDERS:
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
            raise DataError(f"{path}: expected a file; this is a folder, pipe or device; remove it")
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
