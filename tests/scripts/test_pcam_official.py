"""The scripts that work on PatchCamelyon's official files, on small files of the same layout."""

import runpy
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from sentinode import open_patches

ROOT = Path(__file__).parents[2]
NAME = "camelyonpatch_level_2_split_{}_{}"


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Real patches in the layout of PatchCamelyon: x, y of shape (n, 1, 1, 1), and a csv of slides."""
    folder = tmp_path_factory.mktemp("official")
    sample = open_patches("pcam-mini")
    for split in ("train", "valid", "test"):
        patches = sample.split(split)
        rows = np.concatenate([np.flatnonzero(patches.labels == label)[:30] for label in (0, 1)])
        rows = np.random.default_rng(0).permutation(rows)
        with h5py.File(folder / (NAME.format(split, "x") + ".h5"), "w") as file:
            file["x"] = patches.read(rows)
        with h5py.File(folder / (NAME.format(split, "y") + ".h5"), "w") as file:
            file["y"] = patches.labels[rows].reshape(-1, 1, 1, 1).astype(np.uint8)
        slides = [f"camelyon16_{split}_{row // 10:03d}" for row in range(len(rows))]
        meta = pd.DataFrame({"coord_y": 0, "coord_x": np.arange(len(rows)), "tumor_patch": False, "wsi": slides})
        meta.assign(center_tumor_patch=patches.labels[rows] == 1).to_csv(folder / (NAME.format(split, "meta") + ".csv"))
    return folder


def script(name):
    return runpy.run_path(str(ROOT / name))


def test_the_committed_rows_are_balanced_sets_of_the_documented_sizes():
    make = script("scripts/make_pcam_small.py")
    rows = make["read_rows"](make["ROWS"])
    assert {split: (len(values), values.min(), values.max()) for split, values in rows.items()} == {
        "train": (20_000, 0, 20_099),
        "valid": (3_000, 29_612, 32_767),
    }
    assert all(len(np.unique(values)) == len(values) for values in rows.values())


def test_rows_become_jpeg_files_in_class_folders_with_their_row_as_name(official, tmp_path):
    labels = open_patches(official, split="valid").labels
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:5] for label in (0, 1)]))
    script("scripts/make_pcam_small.py")["make_pcam_small"](official, tmp_path / "small.zip", {"valid": rows})
    names = {f"valid/{labels[row]}/patch{row:07d}.jpg" for row in rows}
    assert set(zipfile.ZipFile(tmp_path / "small.zip").namelist()) == names
    made = open_patches(tmp_path / "small.zip")
    order = [int(name[-11:-4]) for name in made.table["id"]]
    exact = open_patches(official, split="valid").read(order).astype(float)
    assert np.sqrt(np.square(made.read(slice(None)) - exact).mean()) < 10


@pytest.mark.parametrize(("rows", "message"), [([0, 1_000], "row 1000 is wanted"), (None, "both should be equal")])
def test_files_that_are_not_the_official_ones_are_refused(official, tmp_path, rows, message):
    if rows is None:
        rows = np.flatnonzero(open_patches(official, split="valid").labels == 1)[:2]
    with pytest.raises(SystemExit, match=message):
        script("scripts/make_pcam_small.py")["make_pcam_small"](
            official, tmp_path / "small.zip", {"valid": np.array(rows)}
        )
    assert not (tmp_path / "small.zip").exists()


def test_the_pretrained_weights_are_measured_by_slide(official, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pcam_official.py", str(official)])
    script("benchmarks/pcam_official.py")["main"]()
    printed = capsys.readouterr().out
    assert "| patches, slides | 60, 6 |" in printed
    area = float(printed.split("| AUC | ")[1].split()[0])
    assert area > 0.8


def test_an_official_split_without_slides_is_refused(official, tmp_path, monkeypatch):
    for kind in ("x.h5", "y.h5"):
        name = NAME.format("test", kind)
        (tmp_path / name).write_bytes((official / name).read_bytes())
    monkeypatch.setattr(sys, "argv", ["pcam_official.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"60 patches have no slide.*test_meta\.csv"):
        script("benchmarks/pcam_official.py")["main"]()
