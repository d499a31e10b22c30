"""``sentinode data info``, ``split`` and ``match``."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests import forms
from tests.commands import Done, command, sentinode, succeeded

from sentinode import open_patches

RED = "\033[31m"


def data(*arguments) -> Done:
    return sentinode("data", *arguments)


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 20))


@pytest.fixture(scope="module")
def pcam(few, tmp_path_factory) -> Path:
    """PCam's HDF5 files with meta csv; no slide is in two splits."""
    files, _ = forms.pcam_hdf5(few)
    for split in few.split_names:
        name = f"{forms.PCAM}{split}_meta.csv"
        files[name] = files[name].replace(b"camelyon16_train_", f"camelyon16_{split}_".encode())
    return forms.write(files, tmp_path_factory.mktemp("data") / "pcam")


@pytest.fixture(scope="module")
def leaking(few, tmp_path_factory) -> Path:
    """The same, with the slides of train in valid and test again."""
    return forms.write(forms.pcam_hdf5(few)[0], tmp_path_factory.mktemp("data") / "leaking")


def test_info_refuses_splits_that_share_slides(leaking, pcam):
    done = data("info", leaking)
    assert done.returncode == 1
    assert "ERROR: slide camelyon16_train_" in done.stdout and RED not in done.stdout
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ") and "splits share" in line and "sentinode data split" in line
    output = succeeded(data("info", pcam))
    assert "ERROR" not in output and "patients: unknown" in output
    assert re.search(r"slides: \d+, known for 83 of 83 patches", output)
    found = json.loads(data("info", leaking, "--json").stdout)
    assert found["leaks"][0]["column"] == "slide" and len(found["leaks"][0]["patches"]) > 1


def test_info_refuses_splits_that_share_duplicates(few, tmp_path):
    files, _ = forms.class_folders(few, "png")
    name = min(name for name in files if name.startswith("train/0/"))
    files["valid/0/copy.png"] = files[name]
    folder = forms.write(files, tmp_path / "copied")
    done = data("info", folder)
    assert done.returncode == 1 and "splits share duplicates (1 exact, 0 near)" in done.stderr.splitlines()[-1]
    files["valid/0/copy.png"] = forms.encode(np.rot90(forms.decode(files[name])), "png")
    folder = forms.write(files, tmp_path / "turned")
    done = data("info", folder, "--page", tmp_path / "page.html")
    assert "ERROR: pairs of near duplicates across splits: 1" in done.stdout
    assert done.returncode == 1 and "splits share duplicates (0 exact, 1 near)" in done.stderr.splitlines()[-1]
    assert "1 pair of near duplicates in different splits" in (tmp_path / "page.html").read_text()


def test_slides_that_wilds_shares_by_design_are_no_leak(few, tmp_path):
    files, _ = forms.wilds(few)
    folder = forms.write(files, tmp_path / "wilds")
    assert "id_val" in open_patches(folder).split_names
    assert "ERROR" not in succeeded(data("info", folder))


def test_errors_are_red_on_a_terminal_alone(leaking):
    pty = pytest.importorskip("pty")
    said = []

    def read(terminal):
        said.append(os.read(terminal, 4096))
        return said[-1]

    with Path(os.devnull).open("wb") as nowhere:
        stdout = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            status = pty.spawn(command("data", "info", leaking), read)
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
    assert os.waitstatus_to_exitcode(status) == 1
    assert f"{RED}ERROR: slide" in b"".join(said).decode()


def test_info_writes_a_page(leaking, tmp_path):
    done = data("info", leaking, "--page", tmp_path / "page.html")
    assert done.returncode == 1
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "with patches in more than one split" in text and "camelyon16_train_" in text
    assert str(tmp_path / "page.html") in done.stdout


def test_info_of_several_sets_counts_identical_patches(few, pcam, tmp_path):
    part = forms.write(forms.class_folders(few.select(range(10)), "png")[0], tmp_path / "part")
    output = succeeded(data("info", pcam, part))
    assert f"patches in both {pcam} and {part}: 10 identical, 0 near duplicates" in output
    found = json.loads(data("info", pcam, part, "--json").stdout)
    assert found["shared_patches"] == [
        {"first": str(pcam), "second": str(part), "identical": 10, "different_label": 0, "near_duplicates": 0}
    ]


def test_info_of_several_sets_counts_near_duplicates(few, tmp_path):
    kept, packed = (forms.write(forms.class_folders(few, each)[0], tmp_path / each) for each in ("png", "jpg"))
    done = succeeded(data("info", kept, packed))
    assert f"0 identical, {len(few)} near duplicates" in done


def test_info_refuses_a_file_that_does_not_match_its_hash(few, tmp_path):
    files, _ = forms.kaggle(few.select(range(6)))
    name = min(name for name in files if name.endswith(".tif"))
    files[name] = forms.encode(255 - forms.decode(files[name]), "tif")
    done = data("info", forms.write(files, tmp_path / "kaggle"))
    assert done.returncode == 1
    assert "5 verified" in done.stdout and name in done.stdout
    assert name in done.stderr.splitlines()[-1]


def test_the_table_of_split_is_data(leaking, tmp_path):
    out = tmp_path / "tables" / "splits.csv"
    output = succeeded(data("split", leaking, "--out", out, "--valid", "0.2", "--test", "0", "--seed", "3"))
    assert "grouped by slide, duplicates" in output and "WARNING" not in output
    assert "ERROR" not in succeeded(data("info", out))
    patches = open_patches(out)
    assert (patches.table.groupby("slide")["split"].nunique() == 1).all()
    assert patches.split_names == ["train", "valid"]
    first = out.read_bytes()
    succeeded(data("split", leaking, "--out", out, "--valid", "0.2", "--test", "0", "--seed", "3"))
    assert out.read_bytes() == first


def test_split_and_match_list_skipped_patches(few, pcam, tmp_path):
    folder = forms.write(forms.class_folders(few.select(range(40)), "png")[0], tmp_path / "patches")
    (folder / "train" / "0" / "junk.png").write_bytes(b"junk")
    for words in (["split"], ["match", "--reference", pcam]):
        out = tmp_path / f"{words[0]}.csv"
        done = data(words[0], folder, *words[1:], "--out", out, "--skip-bad")
        assert done.returncode == 3, done.stderr
        assert "skipped: 1" in done.stdout and "junk.png" in done.stdout
        said = json.loads(data(words[0], folder, *words[1:], "--out", out, "--skip-bad", "--json").stdout)
        assert [each["id"] for each in said["skipped"]] == ["train/0/junk.png"]


def test_a_table_of_images_in_a_zip_can_be_split(few, tmp_path):
    archive = forms.write(forms.images(few)[0], tmp_path / "images", "stored")
    names = open_patches(archive).table["id"]
    known = pd.DataFrame({"path": names, "label": [row % 2 for row in range(len(names))], "patient": few.table["id"]})
    known.to_csv(tmp_path / "known.csv", index=False)
    succeeded(data("split", archive, "--table", tmp_path / "known.csv", "--out", tmp_path / "splits.csv"))
    table = open_patches(tmp_path / "splits.csv").cached().table
    assert table["patient"].notna().all() and set(table["split"]) == {"train", "valid", "test"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "-1"], "seed must be 0 or more"),
        (["--test", "nan"], "must be above 0"),
        (["--folds", "3", "--test", "0.2"], "--folds makes folds of equal size"),
    ],
)
def test_invalid_arguments_of_split_are_refused(tmp_path, words, said):
    done = data("split", "pcam-mini", "--out", tmp_path / "splits.csv", *words)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_split_warns_about_unknown_slides(tmp_path):
    output = succeeded(data("split", "pcam-mini", "--split", "train", "--out", tmp_path / "splits.csv"))
    assert "WARNING: the slide and patient of 1,080 of 1,080 patches are unknown" in output
    counts = open_patches(tmp_path / "splits.csv").counts()
    assert counts.loc["train", ["normal", "tumour"]].tolist() == [378, 378]
    assert (
        json.loads(
            succeeded(data("split", "pcam-mini", "--split", "train", "--out", tmp_path / "again.csv", "--json"))
        )["without_slide_or_patient"]
        == 1080
    )


def test_folds_are_tables_of_their_own(tmp_path):
    succeeded(data("split", "pcam-mini", "--split", "valid", "--folds", "3", "--out", tmp_path / "folds.csv"))
    assert {path.name for path in tmp_path.iterdir()} == {f"folds-{number}.csv" for number in (1, 2, 3)}
    tables = [pd.read_csv(tmp_path / f"folds-{number}.csv") for number in (1, 2, 3)]
    valid = [set(table["path"][table["split"] == "valid"]) for table in tables]
    assert len(set.union(*valid)) == sum(map(len, valid)) == 180
    assert all((table["split"].eq("valid") == table["fold"].eq(number)).all() for number, table in enumerate(tables, 1))


def test_match_finds_slides_and_its_table_can_be_split(few, pcam, tmp_path):
    kaggle = forms.write(forms.kaggle(few)[0], tmp_path / "kaggle")
    out = tmp_path / "matched.csv"
    x_files = sorted(pcam.glob("*_x.h5"))
    output = succeeded(
        data("match", kaggle, "--reference", *x_files, x_files[0].with_name("any_meta.csv"), "--out", out)
    )
    assert re.search(rf"sha1 +{len(few)}  identical pixels", output)
    assert f"patches with a slide: {len(few)} of {len(few)}" in output
    table = pd.read_csv(out, dtype=str)
    assert table["slide"].notna().all() and table["match"].eq("sha1").all()
    assert np.array_equal(open_patches(out).read(), open_patches(kaggle).read())
    assert "grouped by slide, duplicates" in succeeded(data("split", out, "--out", tmp_path / "splits.csv"))
