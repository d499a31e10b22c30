"""Tables of data split and join: what is written is what is read, wherever the table goes with its data."""

import csv
import shutil

import numpy as np
import pandas as pd
import pytest
from tests import forms

from sentinode import open_patches
from sentinode.data.tables import write_patch_table
from sentinode.data.types import EXPECTED_SHA1
from sentinode.errors import ConfigError

KNOWN = ["label", "split", "slide", "patient", "centre", "x", "y"]


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 40))


@pytest.mark.parametrize("container", ["folder", "deflated", "tar"])
@pytest.mark.parametrize("form", ["splits of png", "kaggle", "pcam_hdf5", "images"])
def test_a_table_is_read_as_it_was_written(few, form, container, tmp_path):
    path = forms.write(forms.FORMS[form](few)[0], tmp_path / "data", container)
    patches = open_patches(path).cached()
    order = np.random.default_rng(0).permutation(len(patches))
    write_patch_table(patches.select(order), str(path), tmp_path / "tables" / "it.csv", fold=1)
    again = open_patches(tmp_path / "tables" / "it.csv")
    pd.testing.assert_frame_equal(
        again.table.drop(columns=EXPECTED_SHA1), patches.select(order).table.drop(columns="sha1")
    )
    pd.testing.assert_frame_equal(again.cached().table, patches.select(order).table)
    assert again.cached().fingerprint == patches.select(order).fingerprint
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(path, moved / path.name)
    shutil.move(tmp_path / "tables", moved / "tables")
    assert open_patches(moved / "tables" / "it.csv").cached().fingerprint == patches.select(order).fingerprint


def test_paths_of_a_folder_are_files_that_any_program_can_open(few, tmp_path):
    path = forms.write(forms.class_folders(few, "png")[0], tmp_path / "data")
    write_patch_table(open_patches(path), str(path), tmp_path / "it.csv")
    table = pd.read_csv(tmp_path / "it.csv")
    assert list(table.columns) == ["path", *KNOWN, "source"]
    assert all((tmp_path / name).is_file() for name in table["path"])


def test_images_of_a_pattern_are_read_by_their_own_paths(few, tmp_path, monkeypatch):
    forms.write(forms.images(few)[0], tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    patches = open_patches("data/*.png")
    write_patch_table(patches, "data/*.png", tmp_path / "tables" / "it.csv")
    monkeypatch.chdir("/")
    again = open_patches(tmp_path / "tables" / "it.csv")
    assert np.array_equal(again.read(), open_patches(tmp_path / "data").read())


def test_a_table_may_name_several_sources(few, tmp_path):
    first = forms.write(forms.class_folders(few, "png")[0], tmp_path / "first")
    second = forms.write(forms.pcam_hdf5(few)[0], tmp_path / "second")
    for path in (first, second):
        write_patch_table(open_patches(path), str(path), tmp_path / f"{path.name}.csv")
    tables = [pd.read_csv(tmp_path / f"{path.name}.csv", dtype=str) for path in (first, second)]
    pd.concat(tables).iloc[::-1].to_csv(tmp_path / "both.csv", index=False)
    both = open_patches(tmp_path / "both.csv", split="test")
    assert len(both) == 2 * (few.table["split"] == "test").sum()
    expected = [forms.sha1(pixels) for path in (second, first) for pixels in open_patches(path, "test").read()[::-1]]
    assert [forms.sha1(pixels) for pixels in both.read()] == expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",0,train,", ",2,train,", ["row 2", "0, 1 or nothing in column label", "got '2'"]),
        ("0000.png", "9999.png", ["row 2", "9999.png", "no patch"]),
        ("0001.png", "0000.png", ["row 3", "is repeated"]),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_row(few, tmp_path, old, new, words):
    zeros = few.select(np.flatnonzero((few.labels == 0) & (few.table["split"] == "train")))
    path = forms.write(forms.class_folders(zeros, "png")[0], tmp_path / "data")
    write_patch_table(open_patches(path), str(path), tmp_path / "it.csv")
    text = (tmp_path / "it.csv").read_text()
    (tmp_path / "it.csv").write_text(text.replace(old, new, 1))
    forms.refused(lambda: open_patches(tmp_path / "it.csv"), "it.csv", *words)


@pytest.mark.parametrize("row", ["path,label\n0000.png,1\n", "id,label\n0000,1\n"])
def test_a_row_that_two_files_fit_is_refused(few, tmp_path, row):
    for number, folder in enumerate(("images", "images/old")):
        pixels = forms.encode(few.read([number])[0])
        forms.write({f"{folder}/0000.png": pixels}, tmp_path / "data")
    (tmp_path / "data" / "it.csv").write_text(row)
    both = "images/0000.png or images/old/0000.png"
    forms.refused(lambda: open_patches(tmp_path / "data" / "it.csv"), "it.csv", "row 2", both)


def test_a_table_of_a_table_names_what_the_first_one_names(few, tmp_path):
    path = forms.write(forms.class_folders(few, "png")[0], tmp_path / "data")
    patches = open_patches(path).cached()
    (tmp_path / "deep").mkdir()
    write_patch_table(patches, str(path), tmp_path / "first.csv")
    first = open_patches(tmp_path / "first.csv").cached()
    write_patch_table(first.select([3, 1]), str(tmp_path / "first.csv"), tmp_path / "deep" / "second.csv")
    (tmp_path / "first.csv").unlink()
    second = open_patches(tmp_path / "deep" / "second.csv").cached()
    assert second.table["sha1"].tolist() == patches.table["sha1"].iloc[[3, 1]].tolist()
    assert pd.read_csv(tmp_path / "deep" / "second.csv")["source"].unique().tolist() == ["../data"]


def test_a_users_own_table_is_not_needed_any_more(few, tmp_path):
    path = forms.write(forms.images(few)[0], tmp_path / "images")
    own = pd.DataFrame({"path": [f"images/{file.name}" for file in sorted(path.iterdir())]})
    own.assign(label=[row % 2 for row in range(len(own))], ward="3").to_csv(tmp_path / "own.csv", index=False)
    patches = open_patches(tmp_path / "own.csv").cached()
    write_patch_table(patches, str(tmp_path / "own.csv"), tmp_path / "made.csv")
    (tmp_path / "own.csv").unlink()
    again = open_patches(tmp_path / "made.csv").cached()
    assert again.fingerprint == patches.fingerprint
    assert all((tmp_path / name).is_file() for name in pd.read_csv(tmp_path / "made.csv")["path"])


def test_a_table_is_never_written_over_what_it_is_made_of(few, tmp_path):
    forms.write(forms.images(few)[0], tmp_path / "images")
    own = tmp_path / "own.csv"
    pd.DataFrame({"path": [f"images/{file.name}" for file in (tmp_path / "images").iterdir()]}).to_csv(own)
    before = own.read_bytes()
    with pytest.raises(ConfigError, match="use another name"):
        write_patch_table(open_patches(own), str(own), own)
    assert own.read_bytes() == before


def test_a_table_that_a_spreadsheet_saved_is_read_as_well(few, tmp_path):
    path = forms.write(forms.class_folders(few, "png")[0], tmp_path / "data")
    patches = open_patches(path).cached()
    write_patch_table(patches, str(path), tmp_path / "it.csv")
    pd.read_csv(tmp_path / "it.csv", dtype=str).to_csv(tmp_path / "saved.csv", sep=";", index=False)
    assert open_patches(tmp_path / "saved.csv").cached().fingerprint == patches.fingerprint


def test_a_table_with_quoted_fields_is_a_patch_table_with_its_hashes(few, tmp_path):
    path = forms.write(forms.class_folders(few, "png")[0], tmp_path / "data")
    write_patch_table(open_patches(path).cached(), str(path), tmp_path / "it.csv")
    table = pd.read_csv(tmp_path / "it.csv", dtype=str)
    table.to_csv(tmp_path / "quoted.csv", index=False, quoting=csv.QUOTE_ALL)
    quoted = open_patches(tmp_path / "quoted.csv")
    assert quoted.kind.startswith("a patch table") and EXPECTED_SHA1 in quoted.table


def test_a_users_table_may_have_a_column_source(few, tmp_path):
    forms.write(forms.images(few)[0], tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    pd.DataFrame({"path": names, "label": 0, "slide": "s", "source": "Radboud"}).to_csv(tmp_path / "own.csv")
    assert len(open_patches(tmp_path / "own.csv")) == len(few)


def test_links_are_named_as_they_are_and_not_by_their_targets(few, tmp_path):
    files = forms.write(forms.images(few)[0], tmp_path / "blobs")
    (tmp_path / "images").mkdir()
    for number, file in enumerate(sorted(files.iterdir())):
        (tmp_path / "images" / f"{number}.png").symlink_to(file.rename(file.with_suffix("")))
    (tmp_path / "images" / "own.csv").write_text("path\n" + "".join(f"{n}.png\n" for n in range(len(few))))
    own = open_patches(tmp_path / "images" / "own.csv")
    write_patch_table(own, str(tmp_path / "images" / "own.csv"), tmp_path / "it.csv")
    assert np.array_equal(open_patches(tmp_path / "it.csv").read(), own.read())


def test_a_column_that_occurs_twice_but_for_spaces_is_named(few, tmp_path):
    forms.write(forms.images(few)[0], tmp_path)
    name = next(tmp_path.iterdir()).name
    (tmp_path / "own.csv").write_text(f"path,label, label\n{name},0,1\n")
    forms.refused(lambda: open_patches(tmp_path / "own.csv"), "own.csv", "two columns 'label'")


def test_tables_that_name_tables_are_refused(tmp_path):
    header = "path,label,split,slide,patient,source\n"
    (tmp_path / "one.csv").write_text(f"{header}two.csv/a.png,,,,,two.csv\n")
    (tmp_path / "two.csv").write_text(f"{header}one.csv/a.png,,,,,one.csv\n")
    forms.refused(lambda: open_patches(tmp_path / "one.csv"), "two.csv", "is also a patch table")


def test_patches_that_changed_their_places_are_refused(few, tmp_path):
    pixels = few.read()
    np.save(tmp_path / "it.npy", pixels)
    write_patch_table(open_patches(tmp_path / "it.npy").cached(), str(tmp_path / "it.npy"), tmp_path / "it.csv")
    assert len(open_patches(tmp_path / "it.csv").cached()) == len(few)
    np.save(tmp_path / "it.npy", np.roll(pixels, 1, axis=0))
    forms.refused(
        open_patches(tmp_path / "it.csv").cached,
        "it.csv",
        "differ from those recorded in the table",
        "recreate the table",
    )


def test_a_source_that_is_gone_is_refused(few, tmp_path):
    path = forms.write(forms.class_folders(few, "png")[0], tmp_path / "data")
    write_patch_table(open_patches(path), str(path), tmp_path / "it.csv")
    shutil.rmtree(path)
    forms.refused(lambda: open_patches(tmp_path / "it.csv"), "it.csv", "source 'data' is missing")
