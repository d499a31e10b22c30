"""``--skip-bad``: the command goes on, lists the patches that it left out, and exits with status 3."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tests import forms
from tests.commands import Done, sentinode

from sentinode import load_run


@pytest.fixture(scope="module")
def source(mini, tmp_path_factory) -> Path:
    """Class folders of which a training, a validation and a test patch cannot be read."""
    folder = tmp_path_factory.mktemp("skip") / "patches"
    forms.write(forms.class_folders(mini.select(range(0, len(mini), 20)), "png")[0], folder)
    for split in ("train", "valid", "test"):
        sorted(folder.glob(f"{split}/1/*"))[0].write_bytes(b"broken")
    return folder


def done_but(done: Done, *left_out: str) -> str:
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    said = done.stdout.split("\nskipped: ")[1].splitlines()
    assert said[0] == str(len(left_out)) and len(said) == len(left_out) + 2
    assert all(f"{name}/1/" in line and "unreadable" in line for name, line in zip(left_out, said[2:], strict=True))
    return done.stdout


def test_without_it_the_first_bad_file_is_refused(source, tiny_run, tmp_path):
    done = sentinode("predict", source, "--model", tiny_run.path, "--out", tmp_path / "it.csv")
    assert done.returncode == 1 and not (tmp_path / "it.csv").exists()
    assert done.stderr.splitlines()[-1].endswith("or use --skip-bad")


def test_predict_goes_on_and_lists_what_it_left_out(source, tiny_run, tmp_path):
    order = ("predict", source, "--model", tiny_run.path, "--out", tmp_path / "it.csv", "--skip-bad")
    done_but(sentinode(*order), "test", "train", "valid")
    assert len(pd.read_csv(tmp_path / "it.csv")) == 83 - 3
    made_by = json.loads((tmp_path / "it.csv.json").read_text())
    assert made_by["patches"] == 80 and len(made_by["skipped"]) == 3
    done = sentinode(*order, "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["skipped"] == made_by["skipped"]


def test_data_info_train_and_evaluate_go_on_and_the_run_knows_it(source, tmp_path):
    out, cache = tmp_path / "run", ("--cache", tmp_path / "cache")
    assert "80 patches" not in done_but(
        sentinode("data", "info", source, "--skip-bad", *cache), "test", "train", "valid"
    )
    train = ("train", source, "--model", "cnn", "--out", out, "--epochs", 1, "--skip-bad", *cache)
    done_but(sentinode(*train), "train", "valid")
    run = load_run(out)
    assert [each["id"].split("/")[0] for each in run.config["data"]["skipped"]] == ["train", "valid"]
    assert run.config["data"]["train"]["tumour"] == 26
    done_but(sentinode("evaluate", source, "--model", out, "--skip-bad", *cache), "test")
    metrics = json.loads((out / "evaluations" / "test" / "metrics.json").read_text())
    assert metrics["tumour"] == 9
    assert [each["id"].split("/")[0] for each in metrics["made_by"]["skipped"]] == ["test"]


def test_report_lists_what_its_split_left_out(source, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("sentinode.report.report.write_report_page", lambda data, path, explain: path.touch())
    run = shutil.copytree(tiny_run.path, tmp_path / "run")
    done_but(sentinode("report", run, source, "--split", "test", "--skip-bad", "--cache", tmp_path / "cache"), "test")


@pytest.mark.slow
def test_compare_and_stress_go_on_too(source, tiny_run, tmp_path):
    how = ("--split", "test", "--skip-bad", "--cache", tmp_path / "cache")
    models = ("--model", tiny_run.path, "--model", "d4net-m")
    done_but(sentinode("compare", source, *models, "--out", tmp_path / "compared", *how), "test")
    assert len(json.loads((tmp_path / "compared" / "compare.json").read_text())["made_by"]["skipped"]) == 1
    done_but(sentinode("stress", source, *models[:2], "--quick", "--out", tmp_path / "stressed", *how), "test")
    assert len(json.loads((tmp_path / "stressed" / "stress.json").read_text())["made_by"]["skipped"]) == 1
