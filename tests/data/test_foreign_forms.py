"""Forms in which others hold these data: arrays under other names, Parquet, tars, tables of other computers."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 100))


def read(patches: PatchSet) -> list[tuple[int | None, str | None, str]]:
    return [(row.label, row.split, row.sha1) for row in forms.rows_of(patches)]


def written(few: PatchSet) -> list[tuple[int | None, str | None, str]]:
    return [row for name in few.split_names for row in read(few.split(name))]


NAMES = {"train": "training", "valid": "validation", "test": "test"}


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (lambda s: f"x_{s}.h5", lambda s: f"y_{s}.h5"),
        (lambda s: f"{s}_x.hdf5", lambda s: f"{s}_y.hdf5"),
        (lambda s: f"camelyonpatch_level_2_split_{s}_x.H5", lambda s: f"camelyonpatch_level_2_split_{s}_y.H5"),
        (lambda s: f"{s.replace('valid', 'val')}_x.h5", lambda s: f"{s.replace('valid', 'val')}_y.h5"),
        (
            lambda s: f"pcam/{NAMES[s]}_split.h5",
            lambda s: f"Labels/Labels/camelyonpatch_level_2_split_{s}_y.h5",
        ),
    ],
)
def test_hdf5_files_are_known_by_many_names(few, x, y, tmp_path):
    files = {}
    for split in few.split_names:
        files[x(split)] = forms.hdf5(x=few.split(split).read())
        files[y(split)] = forms.hdf5(y=few.split(split).labels)
    path = forms.write(files, tmp_path / "data")
    assert read(open_patches(path)) == written(few)
    assert read(open_patches(path / x("test"))) == read(few.split("test"))


def test_patches_of_clam_are_read_and_its_features_are_named_as_such(few, tmp_path):
    """Files of whole-slide pipelines: imgs and coords, or features and coords."""
    pixels, coords = few.read([0, 1]), np.zeros((2, 2), int)
    files = {"slide.h5": forms.hdf5(imgs=pixels, coords=coords), "bag.h5": forms.hdf5(features=coords, coords=coords)}
    path = forms.write(files, tmp_path / "data")
    np.testing.assert_array_equal(open_patches(path / "slide.h5").read(), pixels)
    forms.refused(lambda: open_patches(path / "bag.h5"), "bag.h5", "(arrays: coords, features)", "no pixels")


def test_the_copy_of_pcam_on_kaggle_has_its_slides(few, tmp_path):
    train = few.split("train")
    files = {
        "pcam/training_split.h5": forms.hdf5(x=train.read()),
        "Labels/Labels/camelyonpatch_level_2_split_train_y.h5": forms.hdf5(y=train.labels.reshape(-1, 1, 1, 1)),
        "Metadata/Metadata/camelyonpatch_level_2_split_train_meta.csv": forms.meta_csv(train.labels.tolist()),
    }
    path = forms.write(files, tmp_path / "data")
    for source in (path, path / "pcam" / "training_split.h5"):
        opened = open_patches(source)
        assert opened.labels.tolist() == train.labels.tolist()
        assert opened.table["slide"].tolist() == forms.slides(train.labels.tolist())


def test_one_hdf5_file_may_hold_pixels_and_labels_of_all_splits(few, tmp_path):
    arrays = {f"x_{s}": few.split(s).read() for s in few.split_names}
    arrays |= {f"y_{s}": few.split(s).labels for s in few.split_names}
    (tmp_path / "pcam.h5").write_bytes(forms.hdf5(**arrays))
    assert read(open_patches(tmp_path / "pcam.h5")) == written(few)
    (tmp_path / "one.hdf5").write_bytes(forms.hdf5(x=few.read(), y=few.labels))
    assert open_patches(tmp_path / "one.hdf5").labels.tolist() == few.labels.tolist()


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: np.eye(2, dtype=np.float32)[y],
        lambda y: np.array(["normal", "tumor"])[y],
        lambda y: y.astype(bool).reshape(-1, 1),
    ],
)
def test_labels_may_be_one_hot_words_or_truth_values(few, labels, tmp_path):
    np.savez(tmp_path / "data.npz", x_train=few.read(), y_train=labels(few.labels))
    assert open_patches(tmp_path / "data.npz").labels.tolist() == few.labels.tolist()
    text = labels(few.labels)
    text = text.astype("S") if text.dtype.kind == "U" else text
    (tmp_path / "data.h5").write_bytes(forms.hdf5(x=few.read(), y=text))
    assert open_patches(tmp_path / "data.h5").labels.tolist() == few.labels.tolist()


@pytest.mark.parametrize(
    ("pixels", "remedy"),
    [
        (lambda x: x.transpose(0, 3, 1, 2), "channels come first"),
        (lambda x: (x / 255).astype(np.float32), "255 * x"),
        (lambda x: x[..., 0], "(17, 96, 96)"),
    ],
)
def test_arrays_of_another_layout_are_refused_with_the_remedy(few, pixels, remedy, tmp_path):
    np.save(tmp_path / "x.npy", np.ascontiguousarray(pixels(few.read())))
    forms.refused(lambda: open_patches(tmp_path / "x.npy"), "x.npy", remedy)


def test_arrays_of_another_size_are_resized_like_images(few, tmp_path):
    large = np.tile(few.read(), (1, 2, 2, 1))
    np.savez(tmp_path / "pathmnist.npz", train_images=large, train_labels=few.labels.reshape(-1, 1))
    forms.refused(lambda: open_patches(tmp_path / "pathmnist.npz"), "192 × 192 px", "--resize")
    cropped = open_patches(tmp_path / "pathmnist.npz", resize="crop")
    assert np.array_equal(cropped.read(), large[:, 48:144, 48:144])
    assert cropped.labels.tolist() == few.labels.tolist()


def test_rows_of_large_compressed_chunks_are_unpacked_once(few, tmp_path, monkeypatch):
    pixels = np.tile(few.read(), (20, 1, 1, 1))
    with h5py.File(tmp_path / "train_x.h5", "w") as file:
        file.create_dataset("x", data=pixels, chunks=(100, 96, 96, 3), compression="gzip", compression_opts=1)
    opened = open_patches(tmp_path / "train_x.h5")
    slices: list[object] = []
    whole = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: slices.append(key) or whole(self, key))
    rows = np.random.default_rng(0).permutation(len(pixels))
    assert np.array_equal(opened.select(rows).cached(tmp_path / "cache").read(), pixels[rows])
    assert len(slices) <= -(-len(pixels) // 100) + 1


def test_parquet_of_hugging_face_is_read(few, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for split, name in NAMES.items():
        part = few.split(split)
        images = [{"bytes": forms.encode(pixels), "path": None} for pixels in part.read()]
        table = pa.table({"image": images, "label": part.labels.astype(bool)})
        parquet.write_table(table, tmp_path / f"{name}-00000-of-00001.parquet", row_group_size=4)
    assert read(open_patches(tmp_path)) == written(few)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    forms.refused(lambda: open_patches(tmp_path / "broken.parquet"), "broken.parquet", "not a readable Parquet")


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.xz"])
def test_class_folders_in_a_tar_are_read(few, ending, tmp_path):
    files, rows = forms.class_folders(few, "png")
    mode = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.xz": "w:xz"}[ending]
    opened = open_patches(forms.write_tar(files, tmp_path / f"data.{ending}", mode))
    assert sorted(forms.rows_of(opened)) == sorted(rows)
    assert opened.kind == "class folders in a tar"


@pytest.mark.parametrize("kind", ["cls", "json"])
def test_shards_of_a_webdataset_are_read(few, kind, tmp_path):
    for split in few.split_names:
        files = {}
        for number, (pixels, label) in enumerate(zip(few.split(split).read(), few.split(split).labels, strict=True)):
            files[f"{number:05}.png"] = forms.encode(pixels)
            files[f"{number:05}.{kind}"] = (str(label) if kind == "cls" else json.dumps({"label": int(label)})).encode()
        forms.write_tar(files, tmp_path / f"{split}-000000.tar")
    opened = open_patches(tmp_path)
    assert sorted(read(opened), key=str) == sorted(written(few), key=str)
    assert open_patches(tmp_path / "test-000000.tar").labels.tolist() == few.split("test").labels.tolist()


def test_parts_of_a_sample_in_a_webdataset_may_have_names(few, tmp_path):
    """A sample has the name before the first dot, as in webdataset."""
    files = {}
    for number, (pixels, label) in enumerate(zip(few.read([0, 1]), few.labels[:2], strict=True)):
        files |= {f"{number}.input.png": forms.encode(pixels), f"{number}.target.cls": str(label).encode()}
    assert open_patches(forms.write_tar(files, tmp_path / "train.tar")).labels.tolist() == few.labels[:2].tolist()


def test_labels_of_a_split_without_pixels_are_noted(few, tmp_path):
    files = {"train_x.h5": forms.hdf5(x=few.read([0, 1])), "valid_y.h5": forms.hdf5(y=few.labels[:2])}
    opened = open_patches(forms.write(files, tmp_path / "data"))
    assert opened.notes == ("labels without pixels of their split are not used: valid_y.h5",)


@pytest.mark.parametrize(
    ("name", "reason"), [("../0/a.png", "outside"), ("/0/a.png", "outside"), ("0/./a.png", "twice")]
)
def test_a_tar_with_names_that_cannot_be_trusted_is_refused(few, name, reason, tmp_path):
    content = forms.encode(few.read([0])[0])
    path = forms.write_tar({"0/a.png": content, name: content}, tmp_path / "data.tar")
    forms.refused(lambda: open_patches(path), "data.tar", reason)


def test_a_damaged_tar_is_refused(few, tmp_path):
    whole = forms.write_tar(forms.class_folders(few, "png")[0], tmp_path / "data.tar.gz", "w:gz").read_bytes()
    (tmp_path / "data.tar.gz").write_bytes(whole[: len(whole) // 2])
    forms.refused(lambda: open_patches(tmp_path / "data.tar.gz"), "data.tar.gz", "not a readable tar")


@pytest.fixture
def kaggle(few, tmp_path) -> Path:
    return forms.write(forms.kaggle(few)[0], tmp_path / "kaggle")


def lines_of(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().split()]


def test_ids_of_kaggle_may_have_endings_and_labels_may_be_floats(kaggle):
    before = read(open_patches(kaggle))
    (_, *lines) = lines_of(kaggle / "train_labels.csv")
    changed = "".join(f"{name}.tif,{float(label)}\n" for name, label in lines)
    (kaggle / "train_labels.csv").write_text(f"id,label\n{changed}")
    assert read(open_patches(kaggle)) == before


def test_a_table_of_kaggle_can_be_given_anywhere(kaggle, tmp_path):
    labels = {row.sha1: row.label for row in forms.rows_of(open_patches(kaggle, split="train"))}
    (tmp_path / "other.csv").write_bytes((kaggle / "train_labels.csv").read_bytes())
    for opened in (open_patches(kaggle, table=tmp_path / "other.csv"), open_patches(kaggle / "train_labels.csv")):
        assert {row.sha1: row.label for row in forms.rows_of(opened)} == labels


@pytest.mark.parametrize(
    "write",
    [
        "C:\\Users\\me\\data\\train\\{}.tif".format,
        "/kaggle/input/histopathologic/train/{}.tif".format,
        "./train/{}.tif".format,
        "train\\{}.tif".format,
        "{}".format,
    ],
)
def test_paths_of_another_computer_are_matched_by_their_ends(kaggle, write):
    before = {(row.label, row.sha1) for row in forms.rows_of(open_patches(kaggle, split="train"))}
    (_, *lines) = lines_of(kaggle / "train_labels.csv")
    rows = "".join(f"{write(name)},{bool(int(label))}\n" for name, label in lines)
    (kaggle / "table.csv").write_text(f"path,target\n{rows}")
    opened = open_patches(kaggle / "table.csv")
    assert {(row.label, row.sha1) for row in forms.rows_of(opened)} == before


def test_a_path_that_may_be_two_files_is_refused(few, tmp_path):
    content = forms.encode(few.read([0])[0])
    path = forms.write({"a/1.png": content, "b/1.png": content, "t.csv": b"path,label\n/x/1.png,0\n"}, tmp_path / "d")
    forms.refused(lambda: open_patches(path / "t.csv"), "row 2", "a/1.png or b/1.png")


@pytest.mark.parametrize("header", ["path,Label", "Path,LABEL", "filename,class", "path,target", "path,y"])
def test_columns_have_many_names(few, header, tmp_path):
    files, _ = forms.images(few)
    rows = "".join(f"{name},{label}\n" for name, label in zip(files, few.labels, strict=True))
    path = forms.write(files | {"t.csv": f"{header}\n{rows}".encode()}, tmp_path / "data")
    assert open_patches(path / "t.csv").labels.tolist() == few.labels.tolist()


def test_a_table_without_labels_names_its_columns(few, tmp_path):
    files, _ = forms.images(few)
    rows = "".join(f"{name},0\n" for name in files)
    path = forms.write(files | {"t.csv": f"path,verdict\n{rows}".encode()}, tmp_path / "data")
    forms.refused(lambda: open_patches(path / "t.csv").labels, "no column label", "path, verdict")


def test_two_spellings_of_a_path_are_one_patch(few, tmp_path):
    files, _ = forms.images(few)
    path = forms.write(files | {"t.csv": b"path,label\n0000.png,0\n./0000.png,0\n"}, tmp_path / "data")
    forms.refused(lambda: open_patches(path / "t.csv"), "row 3", "is repeated")


def test_patches_of_wilds_are_read_one_by_one_as_in_their_folder(few, tmp_path):
    files, rows = forms.wilds(few)
    path = forms.write(files, tmp_path / "data")
    images = sorted((path / "patches").rglob("*.png"))
    expected = {Path(row.id).name: row.sha1 for row in rows}
    for opened in (open_patches(images), open_patches(path / "patches")):
        assert {Path(row.id).name: row.sha1 for row in forms.rows_of(opened)} == expected
