"""Bombs, links, loops, names, full disks, folders that nobody may write: one line each, or the right result."""

import gzip
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import threading
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from tests import forms
from tests.commands import command, refused, sentinode

from sentinode import PatchSet, open_patches
from sentinode.data.cache.store import list_cache
from sentinode.data.io import files as data_files

LIMIT_S = 10


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 80))


def said_within_limit(path: Path, *named: str, read: bool = True) -> None:
    started = time.monotonic()
    forms.refused(lambda: open_patches(path).read() if read else open_patches(path), path.name, *named)
    assert time.monotonic() - started < LIMIT_S


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


# Bombs


def test_a_gzip_that_inflates_beyond_what_it_says_is_stopped_there(few, tmp_path):
    content = forms.hdf5(x=few.read())
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=9) as file:
        file.write(content)
        for _ in range(300):
            file.write(bytes(1 << 20))
    path = tmp_path / "bomb_x.h5.gz"
    path.write_bytes(bomb.getvalue())
    said_within_limit(path, f"more than the stated {len(content):,} bytes")


def test_a_gzip_that_says_more_than_the_disk_holds_is_refused_at_once(few, tmp_path):
    content = bytearray(forms.hdf5(x=few.read()))
    content[40:48] = struct.pack("<Q", 1 << 50)
    path = tmp_path / "huge_x.h5.gz"
    path.write_bytes(gzip.compress(bytes(content)))
    said_within_limit(path)


def test_gzipped_text_is_no_hdf5(tmp_path):
    path = tmp_path / "text_x.h5.gz"
    path.write_bytes(gzip.compress(b"no patches\n" * 99))
    said_within_limit(path, "not HDF5")


def test_an_hdf5_that_says_a_million_times_what_it_holds_is_refused(tmp_path):
    path = tmp_path / "empty_x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**9, 96, 96, 3), "uint8", chunks=(16, 96, 96, 3))
    said_within_limit(path, "1,000,000,000 rows", read=False)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(few, tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("0/a.png", "w", force_zip64=True) as big:
        for _ in range(data_files.MAX_WHOLE_BYTES // (1 << 20) + 1):
            big.write(bytes(1 << 20))
    before = peak_mb()
    said_within_limit(path, "0/a.png", "too large for a patch")
    assert peak_mb() - before < 50


def test_a_zip_that_lies_about_a_size_is_refused(few, tmp_path):
    path = forms.write_zip(forms.images(few)[0], tmp_path / "lie.zip", zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + struct.pack("<I", 100) + content[at + 4 :])
    said_within_limit(path)


def bomb_of_zeros(width: int, height: int) -> bytes:
    """Return a PNG that says its size and has little in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**7), 9)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("size", [(50_000, 50_000), (4097, 4097), (1, 2**31 - 1)])
def test_an_image_bomb_is_refused_by_its_head(size, tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb_of_zeros(*size))
    before = peak_mb()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said_within_limit(tmp_path / "bomb.png")
    assert peak_mb() - before < 100


def test_a_tif_whose_pages_go_in_a_circle_is_refused(few, tmp_path):
    content = bytearray(forms.encode(few.read([0])[0], "tif"))
    first = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[first : first + 2])[0]
    at = first + 2 + 12 * entries
    content[at : at + 4] = struct.pack("<I", first)
    (tmp_path / "circle.tif").write_bytes(content)
    started = time.monotonic()
    forms.accepted_or_refused(tmp_path / "circle.tif")
    assert time.monotonic() - started < LIMIT_S


def test_a_file_of_gigabytes_with_the_name_of_an_image_is_not_read(tmp_path):
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(20 << 30)
    said_within_limit(tmp_path / "sparse.png", "too large for a patch")


# Names and links


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "0/../../out.png", "C:\\out.png", "..\\out.png"])
def test_a_name_that_climbs_out_of_a_zip_is_refused(few, name, tmp_path):
    path = forms.write_zip(forms.images(few)[0] | {name: forms.encode(few.read([0])[0])}, tmp_path / "climbs.zip")
    said_within_limit(path, "points outside the archive", read=False)
    assert [each.name for each in tmp_path.iterdir()] == ["climbs.zip"]


def test_a_name_that_is_in_a_zip_twice_is_refused(few, tmp_path):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for patch in few.read([0, 1]):
            file.writestr("0/a.png", forms.encode(patch))
    said_within_limit(path, "'0/a.png' is in the zip twice", read=False)


@pytest.mark.parametrize(
    "kind",
    [
        h5py.SoftLink("/elsewhere"),
        h5py.ExternalLink("secret.h5", "/x"),
        h5py.ExternalLink("/etc/passwd", "/x"),
        h5py.SoftLink("/x"),
    ],
    ids=["soft", "external", "external to a file that is none", "to itself"],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_links_of_an_hdf5_are_not_followed(few, kind, gzipped, tmp_path):
    def link(file: h5py.File, key: str) -> None:
        file["elsewhere"] = few.read()
        file[key] = kind

    (tmp_path / "secret.h5").write_bytes(forms.hdf5(x=few.read()))
    content = forms.hdf5(x=link)
    path = tmp_path / ("link_x.h5.gz" if gzipped else "link_x.h5")
    path.write_bytes(gzip.compress(content) if gzipped else content)
    said_within_limit(path, "no data set 'x'", read=False)


def test_links_are_followed_but_not_in_a_circle(few, tmp_path):
    files, rows = forms.class_folders(few, "png")
    folder = forms.write(files, tmp_path / "patches")
    (folder / "train" / "0" / "up").symlink_to(folder)
    (folder / "training").symlink_to(folder / "valid")
    (folder / "testing").symlink_to(folder / "valid")
    (folder / "around").symlink_to(folder / "around")
    found = forms.rows_of(open_patches(folder))
    linked = [row.sha1 for row in rows if row.split == "valid"] * 2
    assert sorted(row.sha1 for row in found) == sorted([row.sha1 for row in rows] + linked)
    forms.refused(lambda: open_patches(folder / "around"), "around")
    (folder / "valid" / "1" / "loop.png").symlink_to(folder / "valid" / "1" / "loop.png")
    said_within_limit(folder, "loop.png", "Too many levels")


def test_a_pipe_that_lies_in_a_folder_is_not_waited_for(few, tmp_path):
    folder = forms.write(forms.class_folders(few, "png")[0], tmp_path / "patches")
    os.mkfifo(folder / "train" / "0" / "pipe.png")
    said_within_limit(folder, "pipe.png", "pipe or device")
    patches = open_patches(folder, skip_bad=True).cached(tmp_path / "cache")
    assert [each.id for each in patches.skipped] == ["train/0/pipe.png"]


NAMES = ["Größe ü", "腫瘍", "рак", "سرطان", "a b  c", "nl\nnl", "'quoted\"", "é", "%s{0}", "-rf", "🔬"]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids some of these")
def test_names_in_any_script_come_back_as_they_are(few, tmp_path):
    patches = few.read(range(len(NAMES)))
    files = {f"{name}/0/{name}.png": forms.encode(patch) for name, patch in zip(NAMES, patches, strict=True)}
    for container in ("folder", "deflated"):
        opened = open_patches(forms.write(files, tmp_path / "patches 腫瘍", container))
        assert sorted(opened.table["id"]) == sorted(files)
        cached = opened.cached(tmp_path / "cache é")
        truth = {f"{name}/0/{name}.png": forms.sha1(patch) for name, patch in zip(NAMES, patches, strict=True)}
        assert dict(zip(cached.table["id"], cached.table["sha1"], strict=True)) == truth
        cached.table.to_csv(tmp_path / "table.csv", index=False)
        assert pd.read_csv(tmp_path / "table.csv")["id"].tolist() == cached.table["id"].tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no names that are no text")
def test_a_name_that_is_no_text_is_read_and_can_be_written(few, tmp_path):
    folder = os.fsencode(tmp_path / "patches") + b"/0"
    os.makedirs(folder)  # noqa: PTH103 - a path of bytes
    with open(folder + b"/\xff\xe9.png", "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(forms.encode(few.read([0])[0]))
    done = sentinode("data", "info", tmp_path / "patches", "--json", "--cache", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    opened = open_patches(tmp_path / "patches")
    opened.table.to_csv(tmp_path / "table.csv")
    assert np.array_equal(opened.read()[0], few.read([0])[0])


# Disks and folders


BUILDER = """
import resource, sys
from sentinode import SentinodeError, open_patches
from sentinode.data.io.folders import FolderFiles
FolderFiles.takes_pipes = True  # By one of them the test holds the process.
if sys.argv[3] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    print(open_patches(sys.argv[1]).cached(sys.argv[2]).fingerprint)
except SentinodeError as error:
    sys.exit(f"error: {error}")
"""


def build(source: Path, cache: Path, largest_file: int = 0) -> subprocess.Popen:
    order = [sys.executable, "-c", BUILDER, str(source), str(cache), str(largest_file)]
    return subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends_in_one_line(builder: subprocess.Popen, *named: str) -> None:
    _, said = builder.communicate(timeout=60)
    assert builder.returncode == 1, said
    assert "Traceback" not in said and said.count("error: ") == 1, said
    assert all(text in said for text in named), said


def test_a_cache_that_may_not_grow_is_refused_in_a_line_and_built_later(few, tmp_path):
    source = forms.write(forms.images(few)[0], tmp_path / "source")
    ends_in_one_line(build(source, tmp_path / "cache", 200_000), "cannot be written (File too large)", "--cache")
    assert list_cache(tmp_path / "cache") == []
    assert not [path for path in (tmp_path / "cache" / "patches").iterdir() if path.is_dir()]
    assert np.array_equal(open_patches(source).cached(tmp_path / "cache").read(), few.read())


def test_a_disk_that_fills_while_the_cache_is_written_ends_in_a_line_and_nothing_is_left(few, small_disk, tmp_path):
    files, rows = forms.images(few)
    source = forms.write(files, tmp_path / "source")
    held = source / rows[-1].id
    held.unlink()
    os.mkfifo(held)  # Whoever reads it waits: there was room when the building began.
    builder = build(source, small_disk / "cache")
    while not list(small_disk.glob("cache/patches/*.part/pixels.npy")):
        assert builder.poll() is None
        time.sleep(0.02)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass

    whole = tmp_path / "whole.png"
    whole.write_bytes(files[rows[-1].id])

    def let_go() -> None:
        with held.open("wb") as waiting:
            whole.replace(held)  # For whoever opens it a second time.
            waiting.write(files[rows[-1].id])

    threading.Thread(target=let_go, daemon=True).start()  # Opening a pipe waits for its reader.
    ends_in_one_line(builder, "cannot be written (No space left on device)", "--cache")
    assert not [path for path in (small_disk / "cache" / "patches").iterdir() if path.is_dir()]
    filler.unlink()
    assert np.array_equal(open_patches(source).cached(small_disk / "cache").read(), few.read())


@pytest.mark.slow
def test_a_disk_too_small_to_unpack_on_is_refused_in_a_line(few, small_disk, tmp_path, monkeypatch):
    many = np.random.default_rng(0).integers(0, 256, (200, 96, 96, 3), np.uint8)
    for name, content in (
        ("x.h5.gz", gzip.compress(forms.hdf5(x=many), 1)),
        ("x.npz", forms.zip_bytes({"x.npy": forms.npy(many)}, zipfile.ZIP_DEFLATED)),
    ):
        (tmp_path / name).write_bytes(content)
        opened = f"import sys; from sentinode import open_patches; p = open_patches({str(tmp_path / name)!r}); "
        read = "\ntry: p.read([0])\nexcept Exception as e: sys.exit(f'error: {e}')"
        order = [sys.executable, "-c", opened + read]
        done = subprocess.run(order, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(small_disk)})
        refused(done, str(small_disk), "$TMPDIR", name)
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_is_only_read_is_read(few, tmp_path):
    # One split alone: the slides of this sample are in several, which ends with an error of its own.
    folder = forms.write(forms.pcam_hdf5_gz(few.split("train"))[0], tmp_path / "source")
    state = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    before = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    power = before if os.geteuid() == 0 and shutil.which("setpriv") else ()
    order = [*power, *command("data", "info", folder, "--json", "--cache", tmp_path / "cache")]
    done = subprocess.run(order, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)["counts"]["train"].values()) == len(few.split("train"))
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == state
    folder.chmod(0o755)


def test_two_processes_that_build_the_same_cache_at_once_end_with_one_entry(few, tmp_path):
    source = forms.write(forms.pcam_hdf5_gz(few.split("train"))[0], tmp_path / "source")
    builders = [build(source, tmp_path / "cache") for _ in range(2)]
    said = [builder.communicate(timeout=60) for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], said
    assert said[0][0] == said[1][0] == f"{open_patches(source).cached(tmp_path / 'cache').fingerprint}\n"
    assert len(list_cache(tmp_path / "cache")) == 1


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a_x.h5", "a_x.h5.gz", "a.npz", "a.zip", "a.csv"])
def test_a_truncated_file_gives_one_line_on_the_command_line(few, name, tmp_path):
    path = tmp_path / name
    whole = {
        "a.jpg": lambda: forms.encode(few.read([0])[0], "jpg"),
        "a.tif": lambda: forms.encode(few.read([0])[0], "tif"),
        "a_x.h5": lambda: forms.hdf5(x=few.read()),
        "a_x.h5.gz": lambda: gzip.compress(forms.hdf5(x=few.read())),
        "a.npz": lambda: forms.npz(few)[0]["patches.npz"],
        "a.zip": lambda: forms.zip_bytes(forms.images(few)[0]),
        "a.csv": lambda: b"path,label\n" * 5,
    }[name]()
    path.write_bytes(whole[: len(whole) // 2])
    refused(sentinode("data", "info", path, "--cache", tmp_path / "cache"), name)


def test_nested_links_terminate(tmp_path):
    """Thirty folders, each with two links to the next, are a thousand million paths."""
    for number in range(30):
        (tmp_path / "maze" / f"{number}").mkdir(parents=True)
        for name in ("a", "b"):
            (tmp_path / "maze" / f"{number}" / name).symlink_to(tmp_path / "maze" / f"{number + 1}")
    said_within_limit(tmp_path / "maze", "more than 10,000 folders", read=False)


def test_a_tar_bomb_is_refused_before_the_disk_is_full(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    said_within_limit(path, "unpacks to more than", read=False)
