"""Labels, splits and patients from the names of folders."""

import os

import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.io.folders import RESULTS
from sentinode.data.labels import class_of, label_of
from sentinode.evaluation import comparison, evaluation, robustness
from sentinode.report import audit_page
from sentinode.training import run


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    test = mini.split("test")
    labels = test.labels
    return test.select([*np.flatnonzero(labels == 0)[:6], *np.flatnonzero(labels == 1)[:6]])


@pytest.fixture(scope="module")
def encoded(few) -> list[bytes]:
    return [forms.encode(pixels) for pixels in few.read()]


def lay(encoded, few, folder, name) -> None:
    """Write each patch to the place that `name` gives for its label and its number."""
    forms.write({f"{name(label, n)}/{n}.png": encoded[n] for n, label in enumerate(few.labels.tolist())}, folder)


def labels_by_number(patches: PatchSet) -> list[int]:
    order = [int(name.rpartition("/")[2].split(".")[0]) for name in patches.table["id"]]
    return [patches.labels.tolist()[order.index(n)] for n in range(len(order))]


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("non_metastatic", "metastatic"), ("non-tumor", "tumor"), ("no tumor", "tumor"), ("class0", "class1"),
        ("0_normal", "1_tumor"), ("IDC_negative", "IDC_positive"), ("neg", "pos"), ("Normal", "Tumor"),
        ("benign", "malignant"), ("normal", "metastases"), ("NORM", "TUM"), ("without_tumor", "with_tumor"),
        ("non_cancer", "cancer"), ("no_cancer", "Cancer"), ("normal_patches", "TumourPatches"),
    ],
)  # fmt: skip
def test_names_of_classes_are_understood(negative, positive):
    assert (class_of(negative), class_of(positive)) == (0, 1)


@pytest.mark.parametrize(
    "name",
    [
        "no",
        "yes",
        "fold0",
        "patient_1",
        "2",
        "01",
        "1.1",
        "1.0",
        "0_1",
        "tumor_negative",
        "benign tumor",
        "cancer_study",
    ],
)
def test_ambiguous_names_are_not_guessed(name):
    assert class_of(name) is None


@pytest.mark.parametrize(
    ("text", "label"), [("1.0", 1), ("FALSE", 0), ("Tumour", 1), ("", None), ("-1", None), ("NA", None), ("nan", None)]
)
def test_labels_of_tables_are_numbers_truth_values_words_or_missing(text, label):
    assert label_of(text) == label


@pytest.mark.parametrize("text", ["2", "0.5", "1.1", "perhaps"])
def test_other_labels_are_refused(text):
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        label_of(text)


@pytest.mark.parametrize(
    "name",
    [
        lambda label, n: f"cancer/{('normal', 'tumor')[label]}",
        lambda label, n: f"cancer/test/{('normal', 'tumor')[label]}",
        lambda label, n: f"{n % 3}/{label}",
        lambda label, n: f"test/{n % 3}/{label}",
        lambda label, n: f"patient_{n % 3}/{label}",
        lambda label, n: f"{label}/patient_{n % 3}",
    ],
)
def test_the_class_folder_nearest_to_the_image_decides(encoded, few, name, tmp_path):
    lay(encoded, few, tmp_path / "data", name)
    assert labels_by_number(open_patches(tmp_path / "data")) == few.labels.tolist()


def test_class_folders_at_different_depths_are_refused(encoded, tmp_path):
    path = forms.write({"0/a.png": encoded[0], "1/a.png": encoded[1], "site/0/b.png": encoded[2]}, tmp_path / "data")
    forms.refused(lambda: open_patches(path), "different depths", "'0/a.png'", "'site/0/b.png'", "--table")


def test_an_image_below_a_class_folder_but_not_in_it_is_refused(encoded, tmp_path):
    files = {"tumor/case A/1.png": encoded[0], "normal/case B/2.png": encoded[1]}
    path = forms.write(files, tmp_path / "data")
    forms.refused(lambda: open_patches(path), "'case B' lies below a class folder", "--group-by folder")
    opened = open_patches(path, group_by="folder")
    assert opened.labels.tolist() == [0, 1]
    assert opened.table["patient"].tolist() == ["case B", "case A"]


def test_images_of_a_test_split_may_have_no_label(encoded, tmp_path):
    for number, place in enumerate(("test", "test/unknown", "test/test")):
        files = {"train/0/a.png": encoded[0], "train/1/b.png": encoded[1], f"{place}/c.png": encoded[2]}
        opened = open_patches(forms.write(files, tmp_path / str(number)))
        assert opened.split("test").table["label"].isna().all() and len(opened.split("test")) == 1
        assert opened.split("train").labels.tolist() == [0, 1]


def test_classes_can_be_named(encoded, tmp_path):
    names = ("ADI", "NORM", "STR", "TUM")
    path = forms.write({f"{name}/{n}.png": encoded[n] for n, name in enumerate(names)}, tmp_path / "data")
    forms.refused(lambda: open_patches(path), "'ADI' is not recognized", "--classes")
    named = open_patches(path, classes={"TUM": 1, "NORM": 0})
    assert dict(zip(named.table["id"], named.labels.tolist(), strict=True)) == {"NORM/1.png": 0, "TUM/3.png": 1}
    assert "ADI, STR" in " ".join(named.notes)
    assert open_patches(path, classes={"TUM": 1, "*": 0}).labels.tolist() == [0, 0, 0, 1]


def test_folders_that_may_be_classes_are_no_images_without_labels_for_training(encoded, tmp_path):
    files = {f"{name}/{n}.png": encoded[n] for n, name in enumerate(("yes", "no"))}
    opened = open_patches(forms.write(files, tmp_path / "data"))
    forms.refused(lambda: opened.labels, "no, yes are not recognized as classes", "--classes yes=1,no=0")
    assert "--classes yes=1,no=0" in " ".join(opened.notes)


@pytest.mark.parametrize(
    ("folders", "remedy"),
    [
        (("a_tumor", "b_normal"), "a_tumor=1,b_normal=0"),
        (("10_normal", "2_tumor"), "2_tumor=1,10_normal=0"),
        (("mucosa_x", "stroma_x", "tumour_x"), "tumour_x=1,*=0"),
        (("left", "right"), "NAME=1,*=0"),
    ],
)
def test_the_classes_that_a_message_suggests_are_never_exchanged(encoded, folders, remedy, tmp_path):
    """The order of names says nothing of their meaning."""
    files = {f"{folder}/{row}.png": encoded[row] for row, folder in enumerate(folders)}
    assert f"--classes {remedy}" in " ".join(open_patches(forms.write(files, tmp_path / "data")).notes)


def test_two_folders_of_one_class_are_noted(encoded, tmp_path):
    files = {f"{name}/{n}.png": encoded[n] for n, name in enumerate(("benign", "normal", "tumor"))}
    opened = open_patches(forms.write(files, tmp_path / "data"))
    assert opened.notes == ("folders benign, normal are all normal",)


@pytest.mark.parametrize(
    ("folder", "patient", "slide"),
    [
        ("patient_03", "patient_03", None),
        ("TCGA-CR-7395-01A-01-TS1", "TCGA-CR-7395", "TCGA-CR-7395-01A-01-TS1"),
        ("patient_004_node_4", "004", "patient_004_node_4"),
        ("Patient_017_Node_2", "017", "patient_017_node_2"),
    ],
)
def test_patients_are_recognized_by_their_folders_and_reported(encoded, folder, patient, slide, tmp_path):
    opened = open_patches(forms.write({f"{folder}/{n}/a.png": encoded[n] for n in (0, 1)}, tmp_path / "data"))
    assert set(opened.table["patient"]) == {patient}
    assert opened.table["slide"].fillna("").tolist() == [slide or ""] * 2
    assert f"1 patient by the names of folders, such as {patient}" in opened.notes


def test_patients_are_taken_from_ids_or_folders_on_request(encoded, tmp_path):
    files = {f"{n}/{8860 + n}_idx5_{n}.png": encoded[n] for n in (0, 1)}
    path = forms.write(files, tmp_path / "data")
    assert open_patches(path).table["patient"].isna().all()
    opened = open_patches(path, patient_from=r"(\d+)_idx")
    assert opened.table["patient"].tolist() == ["8860", "8861"]
    forms.refused(lambda: open_patches(path, patient_from=r"case(\d)"), "finds no patient", "8860_idx5_0.png")
    grouped = forms.write({f"{8860 + n}/{n}/a.png": encoded[n] for n in (0, 1)}, tmp_path / "grouped")
    assert open_patches(grouped, group_by="folder").table["patient"].tolist() == ["8860", "8861"]


def test_results_within_the_folder_of_the_data_are_no_patches(encoded, tmp_path):
    folder = forms.write({f"train/{n}/{n}.png": encoded[n] for n in (0, 1)}, tmp_path / "data")
    before = open_patches(folder)
    forms.write({"run/curves.png": encoded[0], "run/model.json": b"{}", "run/figures/1/roc.png": encoded[0]}, folder)
    after = open_patches(folder)
    assert after.table["id"].tolist() == before.table["id"].tolist()
    assert after.notes == ("results of sentinode, left out: run",)
    assert len(open_patches(folder / "train")) == 2
    # A folder that is named itself is data, whatever else lies in it.
    assert len(open_patches(forms.write({"model.json": b"{}"}, folder / "train"))) == 2


def test_the_results_of_every_command_are_known():
    files = {run.ARCHITECTURE, evaluation.METRICS, robustness.STRESS, comparison.COMPARISON, audit_page.AUDIT}
    assert files < RESULTS


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_linked_folders_are_followed_but_for_circles(encoded, tmp_path):
    folder = forms.write({f"{s}/{n}/{s}.png": encoded[n] for n in (0, 1) for s in ("train", "test")}, tmp_path / "data")
    (folder / "valid").symlink_to("test")
    (folder / "train" / "0" / "circle").symlink_to("..")
    (folder / "gone").symlink_to("nowhere")
    opened = open_patches(folder)
    assert opened.counts().sum(axis=1).to_dict() == {"train": 2, "valid": 2, "test": 2}
    assert opened.notes == ("2 links not followed, circular or broken: gone, train/0/circle",)
    pool = tmp_path / "folds"
    for split in ("train", "test"):
        (pool / split).mkdir(parents=True)
        for label in ("0", "1"):
            (pool / split / label).symlink_to(folder / "test" / label)
    assert open_patches(pool).counts().sum(axis=1).to_dict() == {"train": 2, "test": 2}


def test_files_that_are_not_read_are_counted(encoded, tmp_path):
    files = {"0/a.png": encoded[0], "1/b.png": encoded[1], "1/c.heic": b"x", "1/d.svs": b"x", "README.md": b"x"}
    files |= {"0/IM0001": encoded[0], "LICENSE": b"x"}
    opened = open_patches(forms.write(files, tmp_path / "data"))
    assert opened.notes == ("3 files of formats that are not read as images: without ending 1, .heic 1, .svs 1",)


@pytest.mark.parametrize("ending", ["bmp", "gif", "jp2", "ppm", "webp"])
def test_every_kind_of_image_that_pillow_reads_is_read(few, ending, tmp_path):
    pixels = few.read([0])[0]
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}.get(ending, {})
    name = {"jp2": "JPEG2000"}.get(ending, ending.upper())
    content = forms.encode(pixels, ending, format=name, **options)
    opened = open_patches(forms.write({f"0/a.{ending}": content}, tmp_path / "data"))
    difference = np.abs(opened.read()[0].astype(int) - pixels).mean()
    assert difference == 0 if ending != "gif" else difference < 20
