"""What is refused before pixels are looked at, and that one line says which file and which row."""

import shutil

import numpy as np
import pandas as pd
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.open import open_sources
from sentinode.errors import ConfigError


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 60))


@pytest.fixture(scope="module")
def patch(few) -> np.ndarray:
    return few.read([0])[0]


def lines_of(files: forms.Files) -> list[str]:
    return files["train_labels.csv"].decode().splitlines()


def set_line(number: int, text):
    """Return a change of one line of the csv, counted from 1 as a text editor does."""

    def change(lines: list[str]) -> list[str]:
        return [*lines[: number - 1], text(lines[number - 1]), *lines[number:]]

    return change


@pytest.mark.parametrize(
    "wrong", [None, 3, {"a.png": 1}, pd.DataFrame({"path": ["a.png"]}), np.zeros((2, 96, 96, 3), np.uint8), [1, 2]]
)
def test_what_is_neither_a_path_nor_a_list_of_paths_is_refused(wrong):
    forms.refused(lambda: open_patches(wrong), "path must be", type(wrong).__name__, error=ConfigError)


def test_classes_that_are_no_mapping_are_refused():
    forms.refused(lambda: open_patches("pcam-mini", classes="0=1"), "classes", "'0=1'", error=ConfigError)


def test_paths_of_a_generator_and_of_a_column_are_opened(few, tmp_path):
    files = {f"{n}.png": forms.encode(pixels) for n, pixels in enumerate(few.read(range(3)))}
    folder = forms.write(files, tmp_path / "images")
    paths = sorted(map(str, folder.iterdir()))
    for given in ((path for path in paths), pd.Series(paths), np.array(paths)):
        assert len(open_patches(given)) == 3


CSV = {
    "label 2": (set_line(4, lambda line: line[:-1] + "2"), "row 4", "label '2'"),
    "label between": (set_line(6, lambda line: line[:-1] + "0.5"), "row 6", "label '0.5'"),
    "label a word": (set_line(7, lambda line: line[:-1] + "unsure"), "row 7", "label 'unsure'"),
    "label after an empty line": (lambda lines: [*lines[:3], "", lines[3][:-1] + "2", *lines[4:]], "row 5", "'2'"),
    "one field too many": (set_line(9, lambda line: line + ",1"), "line 9"),
    "id twice": (lambda lines: [*lines[:9], lines[4], *lines[9:]], "row 10", "is repeated"),
    "missing file": (set_line(3, lambda line: "f00d" + line[4:]), "row 3", "train/f00d"),
    "other columns": (set_line(1, lambda line: "id,tumour"), "id, tumour", "id and label"),
    "nothing": (lambda lines: [], "not a readable csv"),
}


@pytest.mark.parametrize("container", ["folder", "stored"])
@pytest.mark.parametrize("wrong", CSV)
def test_a_wrong_csv_is_refused_with_its_row(few, wrong, container, tmp_path):
    change, *named = CSV[wrong]
    files, _ = forms.kaggle(few)
    files["train_labels.csv"] = "\n".join(change(lines_of(files))).encode()
    path = forms.write(files, tmp_path / "patches", container)
    forms.refused(lambda: open_patches(path), str(path), "train_labels.csv", *named)


def test_a_csv_that_is_no_text_is_refused(few, patch, tmp_path):
    files, _ = forms.kaggle(few)
    files["train_labels.csv"] = b"id,label\n" + patch.tobytes()[:500]
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), "train_labels.csv")


def test_the_row_of_a_missing_file_is_right_when_an_odd_file_is_left_out(few, tmp_path):
    files, _ = forms.kaggle_with_odd(few)
    del files[f"train/{forms.BLACK}.tif"]
    files["train_labels.csv"] = "\n".join(set_line(6, lambda line: "f00d" + line[4:])(lines_of(files))).encode()
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), "train_labels.csv", "row 6", "train/f00d")


def test_a_file_without_a_row_in_the_csv_is_refused(few, tmp_path):
    files, rows = forms.kaggle(few)
    files["train_labels.csv"] = "\n".join(line for line in lines_of(files) if rows[-1].sha1 not in line).encode()
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), rows[-1].id, "no label")


def test_two_files_of_one_id_are_refused_and_not_one_dropped_in_silence(few, patch, tmp_path):
    files, rows = forms.kaggle(few)
    twice = rows[-1].id.replace(".tif", ".png")
    files[twice] = forms.encode(patch)
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), rows[-1].sha1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("train/2/a.png", "'2' is not recognized as a class"),
        ("train/unsure/a.png", "'unsure' is not recognized as a class"),
        ("train/a.png", "no label"),
        ("a.png", "no label"),
    ],
)
def test_a_file_outside_the_class_folders_is_refused(few, patch, name, reason, tmp_path):
    files, _ = forms.class_folders(few, "png")
    path = forms.write(files | {name: forms.encode(patch)}, tmp_path)
    forms.refused(lambda: open_patches(path), str(path / name), reason)


def test_a_path_that_holds_nothing_is_refused(few, tmp_path):
    text = forms.write({"README.txt": b"soon"}, tmp_path / "text")
    forms.refused(lambda: open_patches(tmp_path / "gone"), str(tmp_path / "gone"), "no such file or folder")
    forms.refused(lambda: open_patches(str(tmp_path / "*.png")), str(tmp_path / "*.png"), "no file matches")
    forms.refused(lambda: open_patches(text), str(text), "no patches recognized", "1 file;", "_x.h5")
    forms.refused(lambda: open_patches(text / "README.txt"), "README.txt", "not a folder, a zip")
    forms.refused(lambda: open_patches([]), "list of files is empty")
    forms.refused(lambda: open_patches([tmp_path / "gone.png"]), "gone.png", "no such file")
    images = forms.write(forms.images(few)[0], tmp_path / "images")
    forms.refused(lambda: open_patches(images).select([]).cached(tmp_path), str(images), "no patches")


def test_a_zip_that_is_none_is_refused(few, tmp_path):
    whole = forms.write_zip(forms.images(few)[0], tmp_path / "whole.zip").read_bytes()
    bad = {"cut.zip": whole[:-50], "text.zip": b"no zip" * 99, "none.zip": b""}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        forms.refused(lambda name=name: open_patches(tmp_path / name), str(tmp_path / name), "not a readable zip")
    empty = forms.write_zip({}, tmp_path / "empty.zip")
    forms.refused(lambda: open_patches(empty), str(empty), "no patches recognized", "0 files")


def test_a_source_that_comes_twice_is_refused(few, tmp_path):
    files, _ = forms.pcam_hdf5(few)
    folder = forms.write(files, tmp_path / "a")
    forms.refused(lambda: open_sources([folder, folder]), str(folder), "given twice")
    again = forms.write(files | {f"copy/{forms.PCAM}train_x.h5": files[f"{forms.PCAM}train_x.h5"]}, tmp_path / "b")
    forms.refused(lambda: open_patches(again), f"copy/{forms.PCAM}train_x.h5", "two arrays of pixels for one split")


def test_a_file_that_goes_after_opening_is_named(few, tmp_path):
    for form in ("images", "pcam_hdf5"):
        opened = open_patches(forms.write(forms.FORMS[form](few)[0], tmp_path / form))
        shutil.rmtree(tmp_path / form)
        forms.refused(opened.cached, str(tmp_path / form), "cannot be read")
        forms.refused(opened.read, str(tmp_path / form), "cannot be read")


def test_missing_labels_or_pixels_are_refused(few, tmp_path):
    opened = open_patches(forms.write(forms.course(few)[0], tmp_path))
    forms.refused(lambda: opened.labels, "no label for 7 of 28 patches", "'test/0000.jpg'")
    forms.refused(lambda: opened.fingerprint, str(tmp_path), "cached")
