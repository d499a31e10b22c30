"""The doctor: what it reports, and that it fails, with advice, where something is missing."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from sentinode.doctor import BACKENDS, REQUIRED, examine
from sentinode.version import __version__

MISSING = [name for name in BACKENDS if importlib.util.find_spec(name) is None]


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "sentinode.cli.main", "doctor", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        timeout=180,
    )


@pytest.fixture
def no_keras_settings(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.skipif("tensorflow" in MISSING, reason="TensorFlow is not installed")
def test_a_good_installation_is_told_that_all_is_well(no_keras_settings):
    done = doctor("--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["backend"], found["chosen_by"]) == ("tensorflow", "Keras' default")
    assert "CPU" in found["devices"]
    assert found["failure"] == ""
    assert found["system"]["sentinode"] == __version__
    assert set(found["packages"]) == set(REQUIRED)
    assert all(found["packages"].values())
    assert done.stderr == ""


@pytest.mark.skipif(not MISSING, reason="every backend is installed")
def test_a_backend_that_is_not_installed_fails_with_advice():
    done = doctor(KERAS_BACKEND=MISSING[0])
    assert done.returncode == 1
    assert f"backend       {MISSING[0]} (KERAS_BACKEND)" in done.stdout
    assert f"advice: {MISSING[0]} is not installed; pip install 'sentinode[{MISSING[0]}]'" in done.stdout
    assert "failure       " in done.stdout
    assert "all is well" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_backend_that_does_not_exist_fails_with_advice():
    done = doctor("--json", KERAS_BACKEND="nonsense")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["failure"]
    assert found["advice"][-1] == "Keras has no backend 'nonsense'; set KERAS_BACKEND to tensorflow, jax, torch"


@pytest.mark.skipif("jax" in MISSING, reason="jax is not installed")
def test_the_backend_of_keras_own_settings_is_found(no_keras_settings):
    file = no_keras_settings / "keras.json"
    file.write_text('{"backend": "jax", "floatx": "float32", "epsilon": 1e-07, "image_data_format": "channels_last"}')
    report = examine()
    assert (report.backend, report.chosen_by) == ("jax", str(file))
    assert report.backend_works
    assert report.devices
    assert "<- used" in next(line for line in report.to_text().splitlines() if line.startswith("  jax"))


def test_optional_packages_and_what_they_are_for_are_named():
    report = examine()
    assert set(report.extras) == {"optuna", "onnxruntime", "tf2onnx", "openvino"}
    text = replace(report, extras=dict.fromkeys(report.extras)).to_text()
    assert "not installed: pip install 'sentinode[openvino]', for export --format openvino" in text
