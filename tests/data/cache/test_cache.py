"""The cache of decoded patches: exact, built once, whole or not there."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.cache.store import clear_cache, list_cache
from sentinode.errors import OutputError


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 40))


@pytest.fixture
def source(few, tmp_path) -> Path:
    """Images without labels: one split, so one entry."""
    return forms.write(forms.images(few)[0], tmp_path / "source")


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def change_unseen(path: Path) -> None:
    """Break a file and leave its size and time as they were: only who reads it can tell."""
    state = path.stat()
    path.write_bytes(bytes(state.st_size))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("container", ["folder", "deflated"])
@pytest.mark.parametrize("form", ["splits of jpg", "kaggle", "pcam_hdf5_gz", "npz", "images"])
def test_what_comes_out_is_what_went_in(few, form, container, tmp_path, cache):
    opened = open_patches(forms.write(forms.FORMS[form](few)[0], tmp_path / "source", container))
    cached = opened.cached(cache)
    straight = opened.read()
    assert cached.read().dtype == np.uint8
    assert np.array_equal(cached.read(), straight)
    assert cached.table.drop(columns="sha1").equals(opened.table)
    assert cached.table["sha1"].tolist() == [forms.sha1(pixels) for pixels in straight]
    rows = np.random.default_rng(0).integers(len(opened), size=60)
    assert np.array_equal(cached.read(rows), straight[rows])
    assert np.array_equal(cached.select(rows).read(), straight[rows])
    for name in opened.split_names:
        assert np.array_equal(cached.split(name).read(), opened.split(name).read())


def test_the_second_call_decodes_nothing(source, cache):
    first = open_patches(source).cached(cache)
    for path in source.iterdir():
        change_unseen(path)
    second = open_patches(source).cached(cache)
    assert np.array_equal(second.read(), first.read())
    assert second.fingerprint == first.fingerprint
    assert len(list_cache(cache)) == 1


def test_all_splits_and_one_of_them_are_decoded_once(few, tmp_path, cache):
    source = forms.write(forms.class_folders(few, "png")[0], tmp_path / "source")
    whole = open_patches(source).cached(cache)
    for path in source.rglob("*.png"):
        change_unseen(path)
    train = open_patches(source, split="train").cached(cache)
    assert np.array_equal(train.read(), whole.split("train").read())
    assert len(list_cache(cache)) == 3


def test_a_cached_set_is_not_cached_again(source, cache, tmp_path):
    cached = open_patches(source).cached(cache)
    assert cached.cached(tmp_path / "other") is cached
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("container", ["folder", "deflated", "tar"])
@pytest.mark.parametrize("form", ["images", "pcam_hdf5"])
def test_a_changed_file_makes_a_new_entry(few, form, container, tmp_path, cache):
    train = few.split("train")
    before = forms.write(forms.FORMS[form](train)[0], tmp_path / "source", container)
    first = open_patches(before).cached(cache)
    old = first.read()
    # Another order of the same patches: as many files, and in HDF5 of the same size.
    forms.write(forms.FORMS[form](train.select(range(len(train))[::-1]))[0], tmp_path / "source", container)
    second = open_patches(before).cached(cache)
    assert np.array_equal(second.read(), old[::-1])
    assert np.array_equal(first.read(), old), "who still reads the old entry reads the old pixels"
    assert len(list_cache(cache)) == 2


def test_a_moved_zip_is_the_same_source(few, tmp_path, cache):
    path = forms.write(forms.images(few)[0], tmp_path / "source", "stored")
    open_patches(path).cached(cache)
    path.rename(tmp_path / "moved.zip")
    open_patches(tmp_path / "moved.zip").cached(cache)
    assert len(list_cache(cache)) == 1


@pytest.mark.parametrize(
    ("part", "harm"),
    [("pixels.npy", "cut"), ("pixels.npy", "gone"), ("sha1.npy", "cut"), ("sha1.npy", "gone"), ("entry.json", "gone")],
)
def test_a_damaged_entry_is_built_again(source, cache, part, harm):
    straight = open_patches(source).cached(cache).read()
    file = list_cache(cache)[0].path / part
    if harm == "gone":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2)
    again = open_patches(source).cached(cache)
    assert np.array_equal(again.read(), straight)
    assert again.table["sha1"].tolist() == [forms.sha1(pixels) for pixels in straight]
    assert len(list_cache(cache)) == 1


def test_the_list_says_what_is_there_the_last_used_first(few, source, tmp_path, cache):
    assert list_cache(cache) == []
    other = forms.write(forms.images(few.select(range(5)))[0], tmp_path / "other")
    for path in (source, other):
        open_patches(path).cached(cache)
    for entry in list_cache(cache):
        os.utime(entry.path / "entry.json", (1e9, 1e9))
    open_patches(source).cached(cache)
    used, unused = list_cache(cache)
    assert (used.source, used.patches) == (str(source), len(few))
    assert (unused.source, unused.patches) == (str(other), 5)
    assert used.last_used > unused.last_used == 1e9
    for entry in (used, unused):
        assert entry.size_bytes == sum(path.stat().st_size for path in entry.path.iterdir())
        assert entry.size_bytes > entry.patches * 96 * 96 * 3


def test_clear_deletes_all_and_says_how_much(few, source, tmp_path, cache):
    assert clear_cache(cache) == 0
    straight = open_patches(source).cached(cache).read()
    open_patches(forms.write(forms.class_folders(few, "jpg")[0], tmp_path / "other")).cached(cache)
    size = sum(entry.size_bytes for entry in list_cache(cache))
    assert clear_cache(cache) == size > 0
    assert list_cache(cache) == [] and not any((cache / "patches").iterdir())
    assert np.array_equal(open_patches(source).cached(cache).read(), straight)


def test_clear_that_is_killed_leaves_no_entry_that_passes_for_a_whole_one(source, cache, monkeypatch):
    open_patches(source).cached(cache)

    def killed(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        clear_cache(cache)
    assert [path.suffix for path in (cache / "patches").iterdir() if path.is_dir()] == [".part"]
    assert clear_cache(cache) > 0
    assert not any((cache / "patches").iterdir())


def test_clear_leaves_what_is_no_entry(source, tmp_path):
    """Whoever names the wrong folder must not lose what is in it."""
    mine = forms.write({"letter.txt": b"mine", "photos/a.txt": b"mine"}, tmp_path / "patches" / "mine")
    open_patches(source).cached(tmp_path)
    clear_cache(tmp_path)
    assert list_cache(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["patches", "source"]
    assert (mine / "letter.txt").exists() and (mine / "photos" / "a.txt").exists()


def test_a_file_in_place_of_the_cache_is_refused_and_stays(source, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        forms.refused(lambda folder=folder: open_patches(source).cached(folder), str(folder), "--cache")
    assert file.read_text() == "mine"


def test_a_disk_without_room_is_refused_beforehand(source, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    order = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if mount is None or subprocess.run(order, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        words = (str(disk), "1.2 MB may be needed", "1.0 MB are free", "--cache")
        forms.refused(lambda: open_patches(source).cached(disk), *words, error=OutputError)
        assert list_cache(disk) == []
        assert not any(path.is_dir() for path in disk.glob("patches/*"))
        few = open_patches(source).select(range(5))
        assert np.array_equal(few.cached(disk).read(), few.read())
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_the_fingerprint_is_that_of_the_patches_in_any_form_and_place(mini, tmp_path):
    # Normal patches of low hash, then tumour ones of high hash: every form keeps this order.
    table = mini.split("train").table.sort_values("sha1")
    low, high = table.iloc[: len(table) // 2], table.iloc[len(table) // 2 :]
    rows = [*low.index[low["label"] == 0][:9], *high.index[high["label"] == 1][:9]]
    patches = mini.split("train").select(rows)
    lossless = ("splits of png", "splits of tif", "classes of png", "classes of tif", "kaggle", "pcam_hdf5")
    places = [
        forms.write(forms.FORMS[form](patches)[0], tmp_path / form / container, container)
        for form in lossless
        for container in forms.CONTAINERS
    ]
    assert {open_patches(path).cached().fingerprint for path in places} == {patches.fingerprint}
    moved = shutil.move(places[0], tmp_path / "moved")
    assert open_patches(moved).cached().fingerprint == patches.fingerprint


def test_the_fingerprint_tells_other_pixels_labels_and_orders_apart(few, tmp_path):
    files, _ = forms.class_folders(few, "png", splits=False)
    names = sorted(files)
    one_pixel = few.read([0])[0].copy()
    one_pixel[0, 0, 0] ^= 1
    moved = {("1" if name[0] == "0" else "0") + name[1:] if name == names[0] else name: files[name] for name in names}
    sources = [files, files | {names[0]: forms.encode(one_pixel)}, moved, {n: files[n] for n in names[1:]}]
    found = [open_patches(forms.write(f, tmp_path / str(n))).cached() for n, f in enumerate(sources)]
    found.append(found[0].select(range(len(few))[::-1]))
    assert len({patches.fingerprint for patches in found}) == 5
