"""Going on without what is bad: the rest is as it was, and what is left out is listed."""

import os
from pathlib import Path

import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.cache.store import list_cache
from sentinode.data.open import open_sources


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 40))


@pytest.fixture
def source(few, tmp_path) -> Path:
    return forms.write(forms.class_folders(few, "png")[0], tmp_path / "source")


@pytest.fixture
def bad(source) -> list[Path]:
    """Three files that are cut, empty and gone."""
    files = [*sorted(source.glob("train/1/*"))[2:4], sorted(source.glob("test/0/*"))[0]]
    files[0].write_bytes(files[0].read_bytes()[:500])
    files[1].write_bytes(b"")
    files[2].unlink()
    files[2].symlink_to("nowhere.png")
    return files


def names(patches: PatchSet) -> list[str]:
    return [each.id for each in patches.skipped]


def test_the_rest_is_read_and_what_is_bad_is_listed_with_its_reason(few, source, bad, tmp_path):
    ids = [path.relative_to(source).as_posix() for path in bad]
    forms.refused(lambda: open_patches(source).cached(tmp_path / "cache"), "png")
    wanted = [row for row in forms.class_folders(few, "png")[1] if row.id not in ids]
    opened = open_patches(source, skip_bad=True)
    for patches in (opened.cached(tmp_path / "cache"), opened.readable(), opened.cached(tmp_path / "cache")):
        assert sorted(forms.rows_of(patches)) == sorted(wanted)
        assert sorted(names(patches)) == sorted(ids)
        assert all(any(str(path) in each.reason for path in bad) for each in patches.skipped)
    train = opened.split("train").cached(tmp_path / "cache")
    assert sorted(names(train)) == ids[:2]
    assert np.array_equal(train.read(), opened.cached(tmp_path / "cache").split("train").read())
    forms.refused(lambda: open_patches(source).cached(tmp_path / "cache"), "png")


def test_what_can_be_read_again_is_read_again(few, source, tmp_path):
    file = sorted(source.glob("train/1/*"))[2]
    content, state = file.read_bytes(), file.stat()
    file.write_bytes(bytes(len(content)))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    opened = open_patches(source, skip_bad=True)
    assert len(opened.cached(tmp_path / "cache")) == len(few) - 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # As after a change of rights: nothing tells but reading.
    assert len(opened.cached(tmp_path / "cache")) == len(few)
    assert len(open_patches(source).cached(tmp_path / "cache")) == len(few)
    assert len(list_cache(tmp_path / "cache")) == 3


def test_a_source_with_only_bad_files_is_refused(tmp_path):
    folder = forms.write({f"0/{number}.png": b"" for number in range(3)}, tmp_path / "source")
    opened = open_patches(folder, skip_bad=True)
    for reading in (lambda: opened.cached(tmp_path / "cache"), opened.readable):
        forms.refused(reading, str(folder), "none of 3 patches can be read", "0/0.png")


def test_rows_and_files_that_do_not_fit_each_other_are_skipped_as_well(few, tmp_path):
    files, _ = forms.kaggle(few)
    lines = files["train_labels.csv"].decode().splitlines()
    lines[2] = lines[2][:-1] + "2"
    gone = lines[4].split(",")[0]
    del files[f"train/{gone}.tif"]
    stranger = lines.pop(6).split(",")[0]
    files["train_labels.csv"] = "\n".join(lines).encode()
    path = forms.write(files, tmp_path / "kaggle", "stored")
    refusal = forms.refused(lambda: open_patches(path), "row 3: label '2'", "--skip-bad")
    opened = open_patches(path, skip_bad=True)
    assert len(opened) == len(few) - 3
    assert names(opened) == [lines[2].split(",")[0], gone, f"train/{stranger}.tif"]
    assert opened.skipped[0].reason in refusal
    wilds, _ = forms.wilds(few)
    name = next(name for name in wilds if name.endswith(".png"))
    path = forms.write({each: content for each, content in wilds.items() if each != name}, tmp_path / "wilds")
    forms.refused(lambda: open_patches(path), "metadata.csv row 2", name)
    assert names(open_patches(path, skip_bad=True)) == [name]
    folders, _ = forms.class_folders(few, "png")
    path = forms.write(folders | {"train/2/a.png": b""}, tmp_path / "folders")
    forms.refused(lambda: open_patches(path), "train/2/a.png", "--skip-bad")
    assert names(open_patches(path, skip_bad=True)) == ["train/2/a.png"]


def test_sources_together_keep_what_each_left_out(source, bad, few, tmp_path):
    other = forms.write({"a.png": forms.encode(few.read([0])[0]), "b.png": b""}, tmp_path / "other")
    joined = open_sources([source, other], skip_bad=True)
    assert len(joined.readable().skipped) == 4
    assert "other/b.png" in names(joined.readable())
    assert len(joined.readable()) == len(few) + 2 - 4
