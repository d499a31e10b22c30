"""``sentinode doctor``: what it reports, and the advice where something is missing."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.commands import sentinode

from sentinode import doctor
from sentinode.doctor import BACKENDS, diagnose
from sentinode.version import __version__

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Extras for developers, and those that install a backend.
NO_FEATURE = {"dev", "docs", "lint", "test", "test-all", *BACKENDS}
MISSING = [name for name in BACKENDS if importlib.util.find_spec(name) is None]


@pytest.fixture
def no_keras_settings(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def test_modules_of_the_working_folder_are_not_run(tmp_path, monkeypatch):
    (tmp_path / "planted.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_PROBE", "import planted")
    assert diagnose().failure == "ModuleNotFoundError: No module named 'planted'"


@pytest.mark.slow
@pytest.mark.skipif("tensorflow" in MISSING, reason="TensorFlow is not installed")
def test_a_working_installation_gets_no_failure_and_backends_start_in_processes_of_their_own(no_keras_settings):
    script = (
        "import sys\nfrom sentinode.cli.main import main\nstatus = main(['doctor', '--json'])\n"
        "print('imported:', *{'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    printed, imported = done.stdout.split("imported:")
    assert imported.split() == []
    found = json.loads(printed)
    assert (found["backend"], found["chosen_by"]) == ("tensorflow", "default")
    assert "CPU" in found["devices"]
    assert found["failure"] == ""
    assert found["system"]["sentinode"] == __version__
    assert all(found["packages"].values())
    assert done.stderr == ""


@pytest.mark.skipif(not MISSING, reason="every backend is installed")
def test_a_backend_that_is_not_installed_fails_with_advice():
    done = sentinode("doctor", KERAS_BACKEND=MISSING[0])
    assert done.returncode == 1
    assert f"backend       {MISSING[0]} (set by KERAS_BACKEND)" in done.stdout
    assert f"advice: {MISSING[0]} is not installed; pip install 'sentinode[{MISSING[0]}]'" in done.stdout
    assert "failure       " in done.stdout
    assert "no problems found" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_backend_that_does_not_exist_fails_with_advice():
    done = sentinode("doctor", "--json", KERAS_BACKEND="nonsense")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["failure"]
    assert found["advice"][-1] == "Keras has no backend 'nonsense'; set KERAS_BACKEND to tensorflow, jax, torch"


@pytest.mark.slow
@pytest.mark.skipif("jax" in MISSING, reason="jax is not installed")
def test_the_backend_of_keras_own_settings_is_found(no_keras_settings):
    file = no_keras_settings / "keras.json"
    file.write_text('{"backend": "jax", "floatx": "float32", "epsilon": 1e-07, "image_data_format": "channels_last"}')
    diagnosis = diagnose()
    assert (diagnosis.backend, diagnosis.chosen_by) == ("jax", str(file))
    assert diagnosis.backend_works
    assert diagnosis.devices
    assert "<- used" in next(line for line in diagnosis.to_text().splitlines() if line.startswith("  jax"))


def names(requirements):
    """Return the names of packages in lines such as ``uvloop>=0.21; sys_platform != 'win32'``."""
    return {re.match(r"[\w-]+", line)[0] for line in requirements} - {"sentinode", "tensorflow", "tensorflow-cpu"}


@pytest.mark.skipif(sys.platform == "win32", reason="some packages do not exist there")
def test_all_packages_of_the_project_are_reported(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")
    diagnosis = diagnose()
    assert set(diagnosis.packages) == names(PROJECT["dependencies"])
    extras = {extra: lines for extra, lines in PROJECT["optional-dependencies"].items() if extra not in NO_FEATURE}
    assert set(diagnosis.extras) == set().union(*map(names, extras.values()))
    text = replace(diagnosis, extras=dict.fromkeys(diagnosis.extras)).to_text()
    for extra, lines in extras.items():
        for name in names(lines):
            (line,) = (line for line in text.splitlines() if line.split()[:1] == [name])
            assert f"pip install 'sentinode[{extra}]'" in line


def test_optional_packages_and_what_they_are_for_are_named(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")  # Found out in less time than it takes to start a backend.
    diagnosis = diagnose()
    text = replace(diagnosis, extras=dict.fromkeys(diagnosis.extras)).to_text()
    assert "not installed; for export --format openvino" in text


def test_a_cache_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    done = sentinode("doctor", "--json", SENTINODE_CACHE=str(tmp_path / "file" / "cache"), KERAS_BACKEND="nonsense")
    [advice] = [each for each in json.loads(done.stdout)["advice"] if "cache" in each]
    assert str(tmp_path / "file") in advice and "SENTINODE_CACHE" in advice
