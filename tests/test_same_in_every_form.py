"""The same patches in two forms: the same network comes out, and says the same of them."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from sentinode import open_patches

from .conftest import SHARED_DATA
from .forms import kaggle, write


def as_pcam_hdf5(source: Path, folder: Path) -> Path:
    """Write a Kaggle source as PCam's HDF5 files, row by row in the same order."""
    patches = open_patches(source)
    folder.mkdir()
    for name in patches.split_names:
        part = patches.split(name)
        with h5py.File(folder / f"camelyonpatch_level_2_split_{name}_x.h5", "w") as file:
            file["x"] = part.read()
        if part.table["label"].notna().all():
            with h5py.File(folder / f"camelyonpatch_level_2_split_{name}_y.h5", "w") as file:
                file["y"] = part.labels.astype(np.uint8).reshape(-1, 1, 1, 1)
    return folder


def run(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "sentinode.cli.main", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def kaggle_source(tmp_path, mini) -> Path:
    """Kaggle's real files where they are, else the sample in Kaggle's layout."""
    real = SHARED_DATA / "kaggle-mini.zip"
    if real.is_file():
        return real
    files, _ = kaggle(mini.select(range(0, len(mini), 9)))
    return write(files, tmp_path / "kaggle", "deflated")


def test_kaggles_layout_and_hdf5_give_the_same_network_evaluation_and_submission(kaggle_source, tmp_path):
    sources = {"kaggle": kaggle_source, "hdf5": as_pcam_hdf5(kaggle_source, tmp_path / "hdf5-files")}
    for form, source in sources.items():
        out = tmp_path / form
        run("train", source, "--model", "cnn", "--epochs", "1", "--out", out)
        run("evaluate", source, "--model", out)
        run("predict", source, "--kaggle", "--model", out, "--out", out / "submission.csv")
    kaggle_run, hdf5_run = tmp_path / "kaggle", tmp_path / "hdf5"
    for name in ("best.weights.h5", "final.weights.h5", "evaluations/valid/roc.csv", "submission.csv"):
        assert (kaggle_run / name).read_bytes() == (hdf5_run / name).read_bytes(), name
    columns = ["label", "probability", "logit"]
    tables = [pd.read_csv(folder / "evaluations" / "valid" / "predictions.csv") for folder in (kaggle_run, hdf5_run)]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns], check_exact=True)
    test_files = {Path(name).stem for name in open_patches(kaggle_source, split="test").table["id"]}
    assert set(pd.read_csv(kaggle_run / "submission.csv")["id"]) == test_files
