"""Stain-normalized patches on disk: what is kept, what is refused, reproducible bytes."""

import errno
import hashlib
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.commands import sentinode

from sentinode import open_patches
from sentinode.data.stain import normalize
from sentinode.data.stain.normalize import METHODS, read_target, write_normalized
from sentinode.data.stain.normalizers import Macenko
from sentinode.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 60))


@pytest.fixture(scope="module")
def purple(mini):
    """A target of another stain: the same tissue, all densities half as strong again."""
    return np.clip(256 * (mini.read(range(0, len(mini), 40)) / 256) ** 1.5, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_written_patches_are_the_normalized_ones_with_their_columns(method, few, purple, tmp_path):
    normalizer = METHODS[method]().fit(purple)
    write_normalized(few, normalizer, tmp_path / "out.csv")
    back = open_patches(tmp_path / "out.csv").cached(tmp_path / "cache")
    assert np.array_equal(back.read(), normalizer.transform(few.read()))
    columns = ["label", "split", "slide", "patient", "centre", "x", "y"]
    pd.testing.assert_frame_equal(back.table[columns], few.table[columns])
    written = pd.read_csv(tmp_path / "out.csv")
    assert written["original"].tolist() == few.table["id"].tolist()


def test_ids_that_are_no_file_names_are_written_and_read(few, purple, tmp_path):
    strange = ["../../a.png", "/etc/b", "train 12", "ü/…", "x" * 300, "a/c.png", "b/c.png", "con", ""]
    patches = few.select(range(len(strange)))
    patches.table["id"] = strange
    write_normalized(patches, Macenko().fit(purple), tmp_path / "out.csv")
    assert len(open_patches(tmp_path / "out.csv")) == len(strange)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert all("/" not in name and name.isascii() for name in archive.namelist())


def test_the_same_patches_give_the_same_bytes(few, purple, tmp_path):
    digests = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_normalized(few, Macenko().fit(purple), tmp_path / name / "out.csv")
        digests.append(
            [hashlib.sha256((tmp_path / name / f"out.{end}").read_bytes()).digest() for end in ("csv", "zip")]
        )
    assert digests[0] == digests[1]


def test_a_target_is_an_image_of_any_size_or_patches(purple, tmp_path):
    Image.fromarray(purple[0]).resize((250, 31)).save(tmp_path / "tile.png")
    assert read_target(tmp_path / "tile.png").shape == (31, 250, 3)
    assert read_target("pcam-mini").shape == (64, 96, 96, 3)
    Image.new("RGB", (4100, 8)).save(tmp_path / "wide.png")
    with pytest.raises(DataError, match=r"wide.png: 4100 × 8 px is larger than 4096 px a side"):
        read_target(tmp_path / "wide.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "tile.png").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut.png: unreadable image"):
        read_target(tmp_path / "cut.png")


@pytest.mark.parametrize("ending", ["csv", "zip"])
def test_existing_files_are_not_overwritten(ending, few, purple, tmp_path):
    there = tmp_path / f"out.{ending}"
    there.write_bytes(b"the user's own")
    with pytest.raises(ConfigError, match=f"out.{ending} exists; use another name"):
        write_normalized(few, Macenko().fit(purple), tmp_path / "out.csv")
    assert there.read_bytes() == b"the user's own" and len(list(tmp_path.iterdir())) == 1


def test_no_zip_remains_if_the_table_cannot_be_written(few, purple, tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(normalize, "write_patch_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_normalized(few, Macenko().fit(purple), tmp_path / "out.csv")
    assert not list(tmp_path.iterdir())


def test_the_command_reports_unchanged_patches_and_refuses_in_one_line(tmp_path):
    blank = Image.new("RGB", (96, 96), (244, 244, 244))
    (tmp_path / "slides").mkdir()
    blank.save(tmp_path / "slides" / "glass.png")
    for row, pixels in enumerate(open_patches("pcam-mini").read([0, 5])):
        Image.fromarray(pixels).save(tmp_path / "slides" / f"{row}.png")
    done = sentinode("data", "normalize", tmp_path / "slides", "--out", tmp_path / "out.csv", "--json")
    assert json.loads(done.stdout) == {"table": str(tmp_path / "out.csv"), "patches": 3, "unchanged": 1}
    done = sentinode("data", "normalize", tmp_path / "slides", "--out", tmp_path / "other.csv", "--method", "reinhard")
    assert "normalized 2 patches to the stain of pcam-mini (reinhard)\nunchanged: 1" in done.stdout
    for arguments, said in {
        ("--out", "."): "is a folder",
        ("--out", tmp_path / "x.zip"): "use a name that ends in .csv",
        ("--out", tmp_path / "x.csv", "--target", tmp_path / "slides" / "glass.png"): "too little tissue",
        ("--out", tmp_path / "x.csv", "--target", tmp_path / "none.png"): "none.png",
    }.items():
        done = sentinode("data", "normalize", tmp_path / "slides", *arguments)
        assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("x*"))
