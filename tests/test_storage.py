"""Atomic files and folders, and what is refused as a place to write to."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import forms

from sentinode.errors import DataError, OutputError
from sentinode.output_paths import check_output_file, check_output_folder
from sentinode.storage import atomic_file, atomic_folder, read_json, remove_leftovers, write_json, write_text

HALF = """
import sys, time
from sentinode.storage import atomic_file
with atomic_file(sys.argv[1]) as temporary:
    with temporary.open("w") as file:
        file.write("new " * 1000)
        file.flush()
        print("half", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def note(tmp_path) -> Path:
    (tmp_path / "note.txt").write_text("old")
    return tmp_path / "note.txt"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_within_a_folder_names_the_file_that_the_user_knows(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    audit = tmp_path / "audit"
    with (
        pytest.raises(OSError, match="No space left") as raised,
        atomic_folder(audit) as folder,
        atomic_file(folder / "audit.json"),
    ):
        raise full
    assert raised.value.filename == str(audit / "audit.json")
    with pytest.raises(FileNotFoundError) as raised, atomic_folder(audit):
        (tmp_path / "other").read_text()
    assert raised.value.filename == str(tmp_path / "other")
    assert list(tmp_path.iterdir()) == []


def test_a_finished_file_replaces_the_old_one(note):
    with atomic_file(note) as temporary:
        temporary.write_text("new")
        assert note.read_text() == "old"
    assert note.read_text() == "new" and names(note.parent) == ["note.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_no_temporary_one(note, error):
    with pytest.raises(error), atomic_file(note) as temporary:
        temporary.write_text("new")
        raise error
    assert note.read_text() == "old" and names(note.parent) == ["note.txt"]


def test_an_exception_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ValueError), atomic_file(tmp_path / "folder" / "note.txt"):
        raise ValueError
    assert names(tmp_path / "folder") == []


def test_a_killed_process_leaves_the_old_file_whole(note):
    process = subprocess.Popen([sys.executable, "-c", HALF, str(note)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert note.read_text() == "old"
    write_text(note, "new")
    assert note.read_text() == "new"


def test_the_temporary_file_keeps_the_ending_and_lies_in_the_same_folder(tmp_path):
    for name in ("best.weights.h5", "roc.png", "Übersicht.json", "no_ending"):
        with atomic_file(tmp_path / name) as temporary:
            assert temporary.parent == tmp_path and temporary.name.endswith("".join(Path(name).suffixes))
            temporary.write_bytes(b"whole")
        assert (tmp_path / name).read_bytes() == b"whole"


@pytest.mark.parametrize(
    "name", [f"results v1.{'a' * 220}.csv", f"results.{'a' * 240}", f"{'ü' * 120}.{'ü' * 3}.csv", "😀" * 63]
)
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    write_text(tmp_path / name, "text")
    with atomic_folder(tmp_path / "folder" / name) as temporary:
        (temporary / "a").touch()
    assert (tmp_path / name).read_text() == "text" and names(tmp_path / "folder" / name) == ["a"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o000])
def test_a_written_file_is_as_readable_as_any_other_under_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "usual").write_text("")
        write_text(tmp_path / "ours", "")
        assert os.umask(mask) == mask, "the umask is left as it was"
    finally:
        os.umask(before)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_files_of_many_threads_are_as_readable_as_the_umask_says(tmp_path):
    before, interval = os.umask(0o077), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: write_text(tmp_path / str(number), ""), range(400)))
        assert os.umask(0o077) == 0o077, "the umask is left as it was"
    finally:
        sys.setswitchinterval(interval)
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_text_is_utf_8_with_lf_on_every_system(note):
    write_text(note, "µm\n96 × 96\n")
    assert note.read_bytes() == "µm\n96 × 96\n".encode()


def test_json_round_trips_and_a_value_without_json_form_leaves_the_old_file(tmp_path):
    content = {"auc": 0.1 + 0.2, "name": "Prüfung", "none": None}
    write_json(tmp_path / "a.json", content)
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"auc": float("nan")})
    assert read_json(tmp_path / "a.json") == content
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("broken", [b"", b'{"auc": ', b"\xff\xfe{}", b"auc"])
def test_broken_json_is_refused_by_name(tmp_path, broken):
    (tmp_path / "a.json").write_bytes(broken)
    forms.refused(lambda: read_json(tmp_path / "a.json"), str(tmp_path / "a.json"), "not valid JSON", error=DataError)


def test_only_unfinished_files_and_folders_of_killed_processes_are_removed(tmp_path):
    (tmp_path / ".sentinode-onnx-a").mkdir()
    (tmp_path / ".sentinode-onnx-a" / "new").touch()
    (tmp_path / ".sentinode-config.json-b.json").touch()
    (tmp_path / ".theirs").mkdir()
    (tmp_path / "config.json").touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".theirs", "config.json"}


@pytest.fixture(params=["folder", "device", "pipe", "socket", "link to a device", "standard output", "below a file"])
def not_a_file(request, tmp_path) -> Path:
    path = tmp_path / "it"
    if request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        return Path(os.devnull)
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif request.param == "link to a device":
        path.symlink_to(os.devnull)
    elif request.param == "standard output":
        return Path("/dev/stdout")
    else:
        path.touch()
        return path / "file.csv"
    return path


def state(path: Path) -> tuple[int, ...] | None:
    """Return all that the file system says of a file but the time of access: following a link is one."""
    found = path.lstat() if path.exists() else None
    return None if found is None else (*found[: stat.ST_ATIME], *found[stat.ST_ATIME + 1 :])


def test_what_is_not_a_regular_file_is_refused_and_left_alone(not_a_file, tmp_path):
    before = state(not_a_file)
    with pytest.raises(OutputError, match=not_a_file.name):
        check_output_file(not_a_file)
    with pytest.raises(OutputError):
        write_text(not_a_file, "text")
    assert state(not_a_file) == before
    assert not list(tmp_path.glob(".sentinode-*"))


@pytest.mark.parametrize("kind", ["file", "device", "pipe"])
def test_what_is_not_a_folder_is_refused_and_left_alone(tmp_path, kind):
    path = Path(os.devnull) if kind == "device" else tmp_path / "it"
    if kind == "file":
        path.write_text("text")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(OutputError, match=f"is a {kind}"):
        check_output_folder(path)
    with pytest.raises(OutputError), atomic_folder(path):
        pass
    assert path.lstat().st_mode == path.stat().st_mode and not path.is_dir()


def test_a_link_to_a_file_or_folder_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "note.txt")
    (tmp_path / "other").symlink_to(tmp_path / "folder")
    write_text(tmp_path / "link", "text")
    with atomic_folder(tmp_path / "other") as temporary:
        (temporary / "a").touch()
    assert (tmp_path / "link").is_symlink() and (tmp_path / "note.txt").read_text() == "text"
    assert (tmp_path / "other").is_symlink() and names(tmp_path / "folder") == ["a"]


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OutputError, match="cannot be written"):
        check_output_file(tmp_path / "a")


def test_nothing_is_made_by_checking(tmp_path):
    assert check_output_file(tmp_path / "new" / "a.csv") == (tmp_path / "new" / "a.csv").resolve()
    assert check_output_folder(tmp_path / "new" / "run") == (tmp_path / "new" / "run").resolve()
    assert names(tmp_path) == []
