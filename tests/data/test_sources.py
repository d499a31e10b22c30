"""One battery over every form and container: what is read is what was written."""

import os
import random
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.errors import DataError


class Written(NamedTuple):
    form: str
    container: str
    path: Path
    files: forms.Files
    rows: list[forms.Row]


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    """42 patches of all splits and both classes."""
    return mini.select(range(0, len(mini), 40))


@pytest.mark.parametrize("kind", [pd.Series, np.array, list])
def test_a_mask_selects_the_same_patches_as_positions(kind, few):
    mask = kind((few.table["label"] == 1).tolist())
    positions = np.flatnonzero(few.table["label"] == 1)
    assert few.select(mask).table["id"].tolist() == few.table["id"].iloc[positions].tolist()
    np.testing.assert_array_equal(few.read(mask), few.read(positions))
    assert len(few.select([])) == len(few.read([])) == 0


@pytest.mark.parametrize("position", [42, 10**6, -43])
def test_a_position_of_no_patch_is_refused(position, few):
    for call in (few.select, few.read):
        with pytest.raises(DataError, match=f"no patch at position {position}; it has 42"):
            call([0, position])


@pytest.mark.parametrize("rows", [[0.9, 1.9], [True], 0, [[0, 1]], ["0"]])
def test_rows_that_are_no_positions_are_refused(rows, few):
    for call in (few.select, few.read):
        with pytest.raises(DataError, match="use a list of positions, or a mask of 42 bools"):
            call(rows)


def write(form: str, container: str, few, folder: Path) -> Written:
    files, rows = forms.FORMS[form](few)
    return Written(form, container, forms.write(files, folder / "patches", container), files, rows)


@pytest.fixture(scope="module", params=forms.FORMS)
def written(request, few, tmp_path_factory) -> Written:
    """Every form, in a folder."""
    return write(request.param, "folder", few, tmp_path_factory.mktemp("form"))


PACKED = ("splits of jpg", "course", "kaggle", "pcam_hdf5", "npy", "npz", "wilds", "images")


@pytest.fixture(
    scope="module", params=[(form, kind) for form in PACKED for kind in list(forms.CONTAINERS)[1:]], ids="-".join
)
def packed(request, few, tmp_path_factory) -> Written:
    """Forms of each kind, in each archive."""
    return write(*request.param, few, tmp_path_factory.mktemp("form"))


def check(written: Written) -> None:
    opened = open_patches(written.path)
    expected = forms.RECOGNISED_AS.get(written.form, "class folders")
    assert opened.kind == expected + forms.CONTAINERS[written.container]
    assert expected in opened.describe() and f"{len(written.rows)} patches" in opened.describe()
    assert opened.notes == ()
    assert sorted(forms.rows_of(opened)) == sorted(written.rows)


def test_a_form_is_recognized_and_its_patches_are_those_written(written):
    check(written)


def test_a_form_in_an_archive_is_recognized_and_its_patches_are_those_written(packed):
    check(packed)
    opened = open_patches(packed.path)
    wanted = [5, 0, len(opened) - 1, 5, 17]
    assert np.array_equal(opened.read(wanted), opened.read()[wanted])


def test_ids_are_unique(written):
    assert open_patches(written.path).table["id"].is_unique


def test_counts_are_those_of_the_labels_written(written):
    counts = open_patches(written.path).counts()
    names = {0: "normal", 1: "tumour", None: "unlabeled"}
    expected = pd.DataFrame(0, index=counts.index, columns=counts.columns)
    for row in written.rows:
        expected.loc[row.split or "-", names[row.label]] += 1
    assert counts.equals(expected) and counts.to_numpy().sum() == len(written.rows)


def test_a_split_holds_its_patches_and_no_others(written):
    usual = ("train", "valid", "test", "id_val")
    names = [name for name in usual if name in {row.split for row in written.rows}]
    assert open_patches(written.path).split_names == names
    for name in names:
        wanted = [row for row in written.rows if row.split == name]
        assert sorted(forms.rows_of(open_patches(written.path, split=name))) == sorted(wanted)
    forms.refused(lambda: open_patches(written.path, split="extra"), str(written.path), "'extra'", *names)


def test_the_order_does_not_depend_on_the_order_of_writing(written, tmp_path):
    names = list(written.files)
    random.Random(0).shuffle(names)
    again = forms.write({name: written.files[name] for name in names}, tmp_path / "patches", written.container)
    assert forms.rows_of(open_patches(again)) == forms.rows_of(open_patches(written.path))


def test_rows_are_read_in_any_order_and_more_than_once(written):
    opened = open_patches(written.path)
    wanted = [5, 0, len(opened) - 1, 5, 17]
    assert np.array_equal(opened.read(wanted), opened.read()[wanted])
    assert np.array_equal(opened.select(wanted).read(), opened.read()[wanted])


def test_a_moved_source_gives_the_same_rows(written, tmp_path):
    before = forms.write(written.files, tmp_path / "before", written.container)
    first = open_patches(before).cached()
    after = tmp_path / "after" / written.path.name
    after.parent.mkdir()
    shutil.move(before, after)
    moved = open_patches(after).cached()
    assert forms.rows_of(moved) == forms.rows_of(first)
    assert moved.fingerprint == first.fingerprint


def test_junk_of_operating_systems_is_no_patch(written, tmp_path):
    folders = {name.rsplit("/", 1)[0] + "/" for name in written.files if "/" in name} | {""}
    junk = {f"{folder}{name}": b"junk" for folder in folders for name in (".DS_Store", "Thumbs.db", "README.txt")}
    for name in written.files:
        folder, last = ("/" + name).rsplit("/", 1)
        junk[f"__MACOSX{folder}/._{last}"] = junk[f"{folder}/._{last}".lstrip("/")] = b"\0\x05\x16\x07junk"
    path = forms.write(written.files | junk, tmp_path / "patches", written.container)
    assert sorted(forms.rows_of(open_patches(path))) == sorted(written.rows)


def test_a_form_one_folder_deeper_is_still_read(written, tmp_path):
    deeper = {f"my patches/{name}": content for name, content in written.files.items()}
    found = forms.rows_of(open_patches(forms.write(deeper, tmp_path / "patches", written.container)))
    assert sorted(row[1:] for row in found if row.label is not None) == sorted(
        row[1:] for row in written.rows if row.label is not None
    )
    assert sorted(row.sha1 for row in found) == sorted(row.sha1 for row in written.rows)


def test_decoding_keeps_rows_and_order(written, tmp_path):
    opened = open_patches(written.path)
    cached = opened.cached(tmp_path)
    assert forms.rows_of(cached) == forms.rows_of(opened)
    assert cached.table["sha1"].tolist() == [row.sha1 for row in forms.rows_of(opened)]


def test_mixed_case_endings_are_images(few, tmp_path):
    for ending in ("JPG", "TIF", "Png", "jpeg", "TIFF"):
        plain = {"TIFF": "tif", "jpeg": "jpg"}.get(ending, ending.lower())
        files, rows = forms.class_folders(few, plain)
        files = {name.rsplit(".", 1)[0] + f".{ending}": content for name, content in files.items()}
        opened = open_patches(forms.write(files, tmp_path / ending))
        assert sorted(row[1:] for row in forms.rows_of(opened)) == sorted(row[1:] for row in rows)


def test_classes_go_by_their_usual_names(few, tmp_path):
    files, rows = forms.class_folders(few, "png")
    words = {"/0/": "/Normal/", "/1/": "/tumor/", "valid/": "val/"}
    for old, new in words.items():
        files = {name.replace(old, new): content for name, content in files.items()}
    opened = open_patches(forms.write(files, tmp_path))
    assert sorted(row[1:] for row in forms.rows_of(opened)) == sorted(row[1:] for row in rows)


@pytest.fixture(scope="module")
def kaggle_with_odd(few) -> tuple[forms.Files, list[forms.Row]]:
    return forms.kaggle_with_odd(few)


def test_the_black_and_the_often_dropped_kaggle_patch_are_read(kaggle_with_odd, tmp_path):
    files, rows = kaggle_with_odd
    opened = open_patches(forms.write(files, tmp_path))
    assert sorted(forms.rows_of(opened)) == sorted(rows)
    assert (f"train/{forms.BLACK}.tif", 0, "train", forms.BLACK) in rows, "the black patch has its real id"
    assert opened.notes == ()


@pytest.mark.parametrize("odd", [forms.BLACK, forms.OFTEN_DROPPED])
@pytest.mark.parametrize("gone", ["file", "row"])
def test_a_kaggle_file_without_its_counterpart_is_left_out_with_a_note(kaggle_with_odd, odd, gone, tmp_path):
    files, rows = dict(kaggle_with_odd[0]), kaggle_with_odd[1]
    if gone == "file":
        del files[f"train/{odd}.tif"]
    else:
        lines = files["train_labels.csv"].splitlines(keepends=True)
        files["train_labels.csv"] = b"".join(line for line in lines if not line.startswith(odd.encode()))
    opened = open_patches(forms.write(files, tmp_path))
    assert sorted(forms.rows_of(opened)) == sorted(row for row in rows if odd not in row.id)
    assert len(opened.notes) == 1 and odd in opened.notes[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda csv: csv.replace(b"\n", b"\r\n"),
        lambda csv: b"\xef\xbb\xbf" + csv,
        lambda csv: b"\xef\xbb\xbf" + csv.replace(b"\n", b"\r\n"),
        lambda csv: csv.rstrip(b"\n"),
    ],
    ids=["crlf", "bom", "bom and crlf", "no last line end"],
)
def test_a_csv_is_read_however_it_was_saved(few, change, tmp_path):
    files, rows = forms.kaggle(few)
    files["train_labels.csv"] = change(files["train_labels.csv"])
    assert sorted(forms.rows_of(open_patches(forms.write(files, tmp_path)))) == sorted(rows)


def test_slide_centre_and_position_come_from_the_meta_csv(few, tmp_path):
    files, _ = forms.pcam_hdf5(few)
    table = open_patches(forms.write(files, tmp_path)).split("train").table
    labels = few.split("train").labels.tolist()
    assert table["slide"].tolist() == forms.slides(labels)
    assert table["x"].tolist() == [1000 - row for row in range(len(labels))]
    assert table["y"].tolist() == [40 * row + 7 for row in range(len(labels))]
    last_of_radboud = {"normal": 100, "tumor": 70}
    for slide, centre in zip(table["slide"], table["centre"], strict=True):
        kind, number = slide.split("_")[2:]
        assert centre == ("Radboudumc" if int(number) <= last_of_radboud[kind] else "UMC Utrecht")
    assert table["centre"].nunique() == 2
    assert table["patient"].isna().all()


def test_a_slide_of_the_test_set_has_no_known_centre_and_no_name_is_no_slide(few, tmp_path):
    files, _ = forms.pcam_hdf5(few)
    name = f"{forms.PCAM}test_meta.csv"
    lines = files[name].decode().splitlines()
    lines[1] = lines[1].rsplit(",", 1)[0] + ",camelyon16_test_017"
    lines[2] = lines[2].rsplit(",", 1)[0] + ","
    files[name] = "\r\n".join(lines).encode()
    table = open_patches(forms.write(files, tmp_path)).split("test").table
    assert table["slide"][0] == "camelyon16_test_017" and pd.isna(table["centre"][0])
    assert pd.isna(table["slide"][1])


def test_a_meta_csv_that_contradicts_y_is_noted(few, tmp_path):
    files, rows = forms.pcam_hdf5(few)
    name = f"{forms.PCAM}valid_meta.csv"
    files[name] = files[name].replace(b"True,True", b"True,False", 1)
    opened = open_patches(forms.write(files, tmp_path))
    assert len(opened.notes) == 1 and name in opened.notes[0] and "1 row;" in opened.notes[0]
    assert sorted(forms.rows_of(opened)) == sorted(rows)


def test_an_x_file_is_read_with_the_labels_next_to_it(few, tmp_path):
    files, rows = forms.pcam_hdf5(few)
    folder = forms.write(files, tmp_path)
    opened = open_patches(folder / f"{forms.PCAM}valid_x.h5")
    assert forms.rows_of(opened) == [row for row in rows if row.split == "valid"]
    (folder / f"{forms.PCAM}valid_y.h5").unlink()
    assert open_patches(folder / f"{forms.PCAM}valid_x.h5").table["label"].isna().all()


def test_lists_globs_and_single_images_have_no_labels_and_keep_their_order(few, tmp_path):
    files, rows = forms.images(few)
    folder = forms.write(files, tmp_path / "cancer" / "day 1")
    hashes = [row.sha1 for row in rows]
    paths = [folder / row.id for row in rows]
    for opened, expected in [
        (open_patches(str(folder / "*.png")), hashes),
        (open_patches(str(tmp_path / "**" / "*.png")), hashes),
        (open_patches(paths[::-1]), hashes[::-1]),
        (open_patches(paths[3]), hashes[3:4]),
    ]:
        assert [row.sha1 for row in forms.rows_of(opened)] == expected
        assert opened.table["label"].isna().all(), opened.describe()


def test_what_wilds_says_of_a_patch_is_kept(few, tmp_path):
    files, _ = forms.wilds(few)
    table = open_patches(forms.write(files, tmp_path)).table
    last = table.iloc[-1]
    assert (last["slide"], last["patient"], last["centre"]) == ("patient_022_node_1", "022", "1")
    assert (last["x"], last["y"]) == ((3041 - 32) * 4, (6959 - 32) * 4)
    unpadded = files | {"metadata.csv": files["metadata.csv"].replace(b",022,", b",22,")}
    assert open_patches(forms.write(unpadded, tmp_path)).table.equals(table), "a spreadsheet dropped the zeros"


def test_the_part_of_wilds_without_labels_has_none(few, tmp_path):
    files, _ = forms.wilds(few)
    lines = [line.rsplit(",", 4) for line in files["metadata.csv"].decode().splitlines()]
    files["metadata.csv"] = "\n".join(
        ",".join([a, t if t == "tumor" else "-1", *rest]) for a, t, *rest in lines
    ).encode()
    assert open_patches(forms.write(files, tmp_path)).table["label"].isna().all()


@pytest.fixture
def table(few, tmp_path) -> Path:
    return forms.write(forms.table(few)[0], tmp_path / "somewhere") / "patches.csv"


def test_a_table_is_a_source_by_itself_or_says_what_is_in_another(few, table, tmp_path):
    files, rows = forms.table(few)
    packed = forms.write_zip(
        {name: content for name, content in files.items() if name[-3:] == "png"}, tmp_path / "a.zip"
    )
    for opened in (open_patches(table), open_patches(table.parent, table=table), open_patches(packed, table=table)):
        assert forms.rows_of(opened) == rows
        assert opened.table["slide"].tolist() == [f"slide {number % 4}" for number in range(len(rows))]
        assert opened.table["x"].tolist() == list(range(len(rows)))
    absolute = table.with_name("absolute.csv")
    absolute.write_text(table.read_text().replace("a/", f"{table.parent}/a/").replace("b/", f"{table.parent}/b/"))
    assert [row[1:] for row in forms.rows_of(open_patches(absolute))] == [row[1:] for row in rows]
    assert "--table" in open_patches(table.parent).notes[0], "nobody should miss that the csv is not read"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (";1;", ";2;", "label '2'"),
        ("a/Größe 2.", "a/Größe 4.", "is repeated"),
        ("Größe 4.", "Größe 400.", "there is no 'a/Größe 400.png'"),
        (";7\n", ";left\n", "x must be a whole number; got 'left'"),
        ("path;", "place;", "no column path"),
    ],
)
def test_a_wrong_row_of_a_table_is_refused_or_skipped(table, old, new, named):
    text = table.read_text()
    table.write_text(text.replace(old, new, 1))
    forms.refused(lambda: open_patches(table), str(table), named)
    if "column" not in named:
        skipping = open_patches(table, skip_bad=True)
        (skipped,) = skipping.skipped
        assert re.search(r"patches.csv row \d+: ", skipped.reason)
        assert len(skipping) == len(text.splitlines()) - 2


def test_arrays_are_found_by_every_usual_name_and_a_single_one_by_any(few, tmp_path):
    train, test = few.split("train"), few.split("test")
    pixels, labels = forms.npy(train.read()), forms.npy(train.labels.reshape(-1, 1).astype(np.float32))
    wanted = [forms.sha1(patch) for patch in train.read()]
    for number, (x, y, split) in enumerate(
        [("x", "y", None), ("train_images", "train_labels", "train"), ("mine_X_val", "mine_y_val", "valid"),
         ("training/images", "training/labels", "train"), ("camelyon_test_x", "camelyon_test_y", "test")]
    ):  # fmt: skip
        opened = open_patches(forms.write({f"{x}.npy": pixels, f"{y}.npy": labels}, tmp_path / str(number)))
        assert [row.sha1 for row in forms.rows_of(opened)] == wanted
        assert opened.labels.tolist() == train.labels.tolist()
        assert opened.split_names == ([split] if split else [])
    (tmp_path / "whatever.npy").write_bytes(pixels)
    assert open_patches(tmp_path / "whatever.npy").table["label"].isna().all()
    two = tmp_path / "two"
    two.mkdir()
    np.savez(two / "train.npz", x=train.read(), y=train.labels)
    np.savez_compressed(two / "test.npz", x=test.read(), y=test.labels)
    assert open_patches(two, split="test").labels.tolist() == test.labels.tolist()
    assert [row.sha1 for row in forms.rows_of(open_patches(two, split="train"))] == wanted
    np.savez(tmp_path / "names.npz", train.read(), train.labels)
    forms.refused(lambda: open_patches(tmp_path / "names.npz"), "names.npz", "arr_0, arr_1", "pixels x")


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.zeros((5, 96, 96, 3), np.float32), "float32 (5, 96, 96, 3)"),
        (np.zeros((5, 3, 96, 96), np.uint8), "(5, 3, 96, 96)"),
        (np.asfortranarray(np.zeros((5, 96, 96, 3), np.uint8)), "by columns"),
        (np.array([{}]), "object"),
    ],
)
def test_a_wrong_array_is_refused(array, named, tmp_path):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    forms.refused(lambda: open_patches(tmp_path / "x.npy"), "x.npy", named)


def test_a_file_that_is_there_gzipped_and_plain_is_read_once(few, tmp_path):
    plain, rows = forms.pcam_hdf5(few)
    folder = forms.write(plain | forms.pcam_hdf5_gz(few)[0], tmp_path)
    assert forms.rows_of(open_patches(folder)) == rows
    (folder / f"{forms.PCAM}test_y.h5").unlink()
    alone = open_patches(folder / f"{forms.PCAM}test_x.h5.gz")
    assert forms.rows_of(alone) == [row for row in rows if row.split == "test"]


def test_gzipped_pixels_that_are_cached_are_not_unpacked_again(few, tmp_path):
    files, _ = forms.pcam_hdf5_gz(few)
    folder = forms.write(files, tmp_path / "source")
    first = open_patches(folder).cached(tmp_path / "cache")
    for path in folder.glob("*_x.h5.gz"):
        state, content = path.stat(), bytearray(path.read_bytes())
        content[-9] ^= 1  # In the last pixels: nobody who unpacks the whole would miss it.
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert np.array_equal(open_patches(folder).cached(tmp_path / "cache").read(), first.read())
    forms.refused(lambda: open_patches(folder).read(), "_x.h5.gz", "download or copy it again")
