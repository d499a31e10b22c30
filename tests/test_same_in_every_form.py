"""The same patches in two forms: the same network comes out, and says the same of them."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from tests.commands import sentinode, succeeded
from tests.forms import kaggle, write

from sentinode import open_patches


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


@pytest.fixture
def kaggle_source(tmp_path, mini) -> Path:
    """Write the sample in Kaggle's layout."""
    files, _ = kaggle(mini.select(range(0, len(mini), 9)))
    return write(files, tmp_path / "kaggle", "deflated")


@pytest.mark.slow
def test_kaggles_layout_and_hdf5_give_the_same_network_evaluation_and_submission(kaggle_source, tmp_path):
    sources = {"kaggle": kaggle_source, "hdf5": as_pcam_hdf5(kaggle_source, tmp_path / "hdf5-files")}
    for form, source in sources.items():
        out = tmp_path / form
        succeeded(sentinode("train", source, "--model", "cnn", "--epochs", "1", "--out", out))
        succeeded(sentinode("evaluate", source, "--model", out))
        succeeded(sentinode("predict", source, "--kaggle", "--model", out, "--out", out / "submission.csv"))
    kaggle_run, hdf5_run = tmp_path / "kaggle", tmp_path / "hdf5"
    for name in ("best.weights.h5", "final.weights.h5", "evaluations/valid/roc.csv", "submission.csv"):
        assert (kaggle_run / name).read_bytes() == (hdf5_run / name).read_bytes(), name
    columns = ["label", "probability", "logit"]
    tables = [pd.read_csv(folder / "evaluations" / "valid" / "predictions.csv") for folder in (kaggle_run, hdf5_run)]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns], check_exact=True)
    test_files = {Path(name).stem for name in open_patches(kaggle_source, split="test").table["id"]}
    assert set(pd.read_csv(kaggle_run / "submission.csv")["id"]) == test_files
