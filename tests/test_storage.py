"""Files that appear whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests import forms

from sentinode.errors import DataError
from sentinode.storage import read_json, remove_leftovers, whole_file, write_json, write_text

HALF = """
import sys, time
from sentinode.storage import whole_file
with whole_file(sys.argv[1]) as beside:
    with beside.open("w") as file:
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


def test_a_finished_file_replaces_the_old_one(note):
    with whole_file(note) as beside:
        beside.write_text("new")
        assert note.read_text() == "old"
    assert note.read_text() == "new" and names(note.parent) == ["note.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_no_temporary_one(note, error):
    with pytest.raises(error), whole_file(note) as beside:
        beside.write_text("new")
        raise error
    assert note.read_text() == "old" and names(note.parent) == ["note.txt"]


def test_an_exception_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ValueError), whole_file(tmp_path / "folder" / "note.txt"):
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
        with whole_file(tmp_path / name) as beside:
            assert beside.parent == tmp_path and beside.name.endswith("".join(Path(name).suffixes))
            beside.write_bytes(b"whole")
        assert (tmp_path / name).read_bytes() == b"whole"


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


def test_half_files_and_half_folders_that_killed_processes_left_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".sentinode-onnx-a").mkdir()
    (tmp_path / ".sentinode-onnx-a" / "new").touch()
    (tmp_path / ".sentinode-config.json-b.json").touch()
    (tmp_path / ".theirs").mkdir()
    (tmp_path / "config.json").touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".theirs", "config.json"}
