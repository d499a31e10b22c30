"""Cases from public bug reports of similar software: what they need here holds and stays so."""

import json
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.commands import refused, sentinode, sentinode_process, succeeded

import sentinode as sentinode_package
from sentinode import build_model, load_run, open_patches
from sentinode.errors import ConfigError


@pytest.fixture
def few(mini):
    return mini.split("test").select(range(0, 400, 20))


def save(pixels: np.ndarray, path: Path | bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - A name may be bytes.
    with open(path, "wb") as file:  # noqa: PTH123
        Image.fromarray(pixels).save(file, "PNG")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp932"])
def test_output_in_any_encoding_ends_without_an_error(encoding, few, tmp_path):
    """KichangKim/DeepDanbooru#88: output that is piped on Windows."""
    save(few.read([0])[0], tmp_path / "0" / "Größe 日本.png")
    done = sentinode_process("data", "info", tmp_path, PYTHONUTF8="0", PYTHONIOENCODING=encoding)
    assert "1 patch" in succeeded(done)


def test_common_file_names_are_read_and_system_files_ignored(few, tiny_run, tmp_path):
    """keras-team/keras-preprocessing: .DS_Store, Thumbs.db, ``._x``, upper case, spaces, other scripts, long names."""
    names = ["0.PNG", "a b.png", "Ü mlaut ß.png", unicodedata.normalize("NFD", "é") + ".png", "日本.png"]
    names += ["L" * 240 + ".png", "x[0].png", 'a,b".png', "it's.png", "#1.png"]
    for row, (name, pixels) in enumerate(zip(names, few.read(range(10)), strict=True)):
        save(pixels, tmp_path / "data" / "test" / str(row % 2) / name)
    for name in (".DS_Store", "test/Thumbs.db", "test/0/._0.PNG", "test/desktop.ini", "test/1/.hidden.png"):
        (tmp_path / "data" / name).write_bytes(b"junk")
    (tmp_path / "data" / "__MACOSX" / "test" / "0").mkdir(parents=True)
    (tmp_path / "data" / "__MACOSX" / "test" / "0" / "._a.png").write_bytes(b"junk")
    table = tmp_path / "it.csv"
    succeeded(sentinode("predict", tmp_path / "data", "--model", tiny_run.path, "--out", table))
    assert {Path(name).name for name in pd.read_csv(table)["id"]} == set(names)
    models = ("--model", f"run={tiny_run.path}", "--model", f"table={table}")
    succeeded(sentinode("compare", tmp_path / "data", *models, "--out", tmp_path / "compared"))
    found = json.loads((tmp_path / "compared" / "compare.json").read_text(encoding="utf-8"))
    assert found["models"][0]["auc"]["estimate"] == found["models"][1]["auc"]["estimate"]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_not_utf_8_are_read_written_and_found_again(few, tiny_run, tmp_path):
    """Zips from Windows, unpacked on Linux."""
    folder = os.fsencode(tmp_path / "data" / "test")
    for row, pixels in enumerate(few.read(range(8))):
        save(pixels, folder + b"/%d/gew\xe4chs%d.png" % (row % 2, row))
    table = tmp_path / "splits.csv"
    succeeded(sentinode("data", "split", tmp_path / "data", "--out", table, "--valid", "0.25", "--test", "0.25"))
    assert len(open_patches(table)) == 8
    predicted = tmp_path / "it.csv"
    succeeded(sentinode("predict", tmp_path / "data", "--model", tiny_run.path, "--out", predicted))
    models = ("--model", f"run={tiny_run.path}", "--model", f"table={predicted}")
    succeeded(sentinode("compare", tmp_path / "data", *models, "--out", tmp_path / "compared"))


@pytest.mark.slow
def test_the_file_that_names_a_missing_backend_is_named(few, tmp_path):
    """easybuilders/easybuild-easyconfigs#23163: an old keras.json."""
    save(few.read([0])[0], tmp_path / "a.png")
    (tmp_path / "keras.json").write_text('{"backend": "theano"}')
    predict = ("predict", tmp_path / "a.png", "--out", tmp_path / "it.csv")
    done = sentinode_process(*predict, KERAS_HOME=str(tmp_path), KERAS_BACKEND="")
    refused(done, str(tmp_path / "keras.json"), "theano")


def test_what_a_training_cannot_have_is_refused_with_the_way_out(few, tmp_path):
    """Devices on TensorFlow; settings that a search does not know."""
    train = ("train", "pcam-mini", "--model", "cnn", "--epochs", "1", "--out", tmp_path / "run")
    refused(sentinode(*train, "--devices", "2"), "devices", "KERAS_BACKEND=jax")
    tune = ("tune", "pcam-mini", "--model", "cnn", "--out", tmp_path / "tuned", "--trials", "2")
    refused(sentinode(*tune, "--search", "lr=0.1,0.01"), "lr", "learning_rate")
    refused(sentinode(*tune, "--search", "learning_rate=0.1..0.001:log"), "learning_rate", "LOW below HIGH")
    assert list(tmp_path.iterdir()) == []


def test_the_scalars_of_a_training_are_read_by_tensorboard(tiny_run):
    """Every epoch has the same numbers as the history."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in {file.parent for file in (tiny_run.path / "tensorboard").rglob("events*")}:
        events = EventAccumulator(str(folder))
        events.Reload()
        for name in events.Tags()["scalars"]:
            found[f"{folder.name}/{name}"] = [event.value for event in events.Scalars(name)]
    assert any(values == pytest.approx(tiny_run.history["val_loss"].tolist()) for values in found.values())


def test_an_export_needs_a_sensible_scale_and_a_name_with_an_ending(tmp_path):
    """SBU-BMI/wsinfer#221 and #229."""
    export = ("export", "--model", "d4net-m")
    refused(sentinode(*export, "--format", "onnx", "--out", tmp_path / "it"), "it", ".onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_report_on_a_model_file_names_what_is_possible_with_it(tmp_path):
    """A report needs the settings and the training of a run."""
    (tmp_path / "my.keras").write_bytes(b"PK")
    line = refused(sentinode("report", tmp_path / "my.keras", "pcam-mini"), "my.keras", "run directory")
    assert f"sentinode evaluate DATA --model {tmp_path / 'my.keras'}" in line
    refused(sentinode("report", tmp_path / "missing.keras"), "missing.keras", "no such run directory")
    refused(sentinode("report", "d4netm"), "d4netm", "d4net-m?")


@pytest.mark.parametrize("use", ["evaluate", "stress", "audit", "train", "cross_validate"])
@pytest.mark.parametrize("given", ["pcam-mini", np.zeros((2, 96, 96, 3), "uint8")], ids=["path", "array"])
def test_what_is_no_patch_set_is_refused_by_its_type(use, given, tiny_run, tmp_path):
    """A message about another argument leads nowhere."""
    first = {"train": build_model("mlp", dense_units=1), "cross_validate": build_model}.get(use, tiny_run)
    with pytest.raises(ConfigError, match=rf"PatchSet; got {type(given).__name__}: open_patches"):
        options = {} if use == "audit" else {"out": tmp_path / "out"}
        getattr(sentinode_package, use)(first, given, **options)


def test_counts_of_one_are_singular(few, tiny_run, tmp_path):
    """Nobody should read "1 patches"."""
    save(few.read([0])[0], tmp_path / "data" / "test" / "0" / "a.png")
    done = sentinode("predict", tmp_path / "data", "--model", tiny_run.path, "--out", tmp_path / "it.csv")
    assert "of 1 patch (" in succeeded(done)
    assert "1 patches" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_whose_data_moved_is_not_trained_again_but_evaluated(few, tiny_run, tmp_path):
    """Data in another folder, other arguments for the same run."""
    for split, rows in (("train", range(0, 20, 2)), ("valid", range(1, 20, 2))):
        for row, pixels in zip(rows, few.read(rows), strict=True):
            save(pixels, tmp_path / "data" / split / str(few.labels[row]) / f"{row}.png")
    train = ("train", tmp_path / "data", "--model", "mlp", "--option", "dense_units=1", "--out", tmp_path / "run")
    succeeded(sentinode(*train, "--epochs", "1"))
    assert "nothing to do" in sentinode(*train, "--epochs", "1").stderr
    refused(sentinode(*train, "--epochs", "2"), "run", "epochs")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    succeeded(sentinode("evaluate", tmp_path / "moved", "--model", tmp_path / "run"))
    assert (load_run(tmp_path / "run").path / "evaluations" / "valid" / "metrics.json").is_file()
    refused(sentinode("report", tmp_path / "run"), str(tmp_path / "data"))
    assert "1 of 1" in succeeded(sentinode("watch", tmp_path / "run"))
