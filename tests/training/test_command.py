"""The command that reproduces a run."""

import json
import shutil
from pathlib import Path

import pytest

from sentinode import Run
from sentinode.training.command import setting_arguments, train_command
from sentinode.training.config import TrainConfig
from sentinode.training.setting_checks import parse_class_weight


def edited(run: Run, folder: Path, **changes: dict) -> Run:
    """Return a copy of a run with other values in parts of its record."""
    shutil.copytree(run.path, folder)
    config = json.loads((folder / "config.json").read_text())
    for part, values in changes.items():
        config[part] = {**(config[part] or {}), **values}
    (folder / "config.json").write_text(json.dumps(config))
    return Run(folder)


def test_a_command_has_all_digits_of_class_weights():
    weights = {0: 1.0, 1: 0.1 + 0.2}
    flag, value = setting_arguments(TrainConfig(class_weight=weights))
    assert (flag, value) == ("--class-weight", "1,0.30000000000000004")
    assert parse_class_weight(value) == weights


def test_a_command_skips_bad_patches_and_uses_devices_as_the_run_did(tiny_run, tmp_path):
    skipped = {"skipped": [{"id": "a.png", "reason": "broken"}]}
    run = edited(tiny_run, tmp_path / "run", data=skipped, environment={"devices": 4})
    command = train_command(run, "again")
    assert "--skip-bad" in command and command[command.index("--devices") + 1] == "4"
    assert not {"--skip-bad", "--devices"} & set(train_command(tiny_run, "again"))


@pytest.mark.parametrize("kind", ["processes", "external model", "final weights"])
def test_a_run_that_no_single_command_reproduces_has_none(kind, tiny_run, tmp_path):
    start = {"weights_sha256": "ab", "data": "DATA", "normal": 1, "tumour": 1, "fingerprint": "cd"}
    changes = {
        "processes": {"environment": {"devices": 2, "processes": 2}},
        "external model": {"starting_weights": {**start, "model": "my.keras", "method": "unknown"}},
        "final weights": {"starting_weights": {**start, "model": "runs/a/final.weights.h5", "method": "training"}},
    }
    assert train_command(edited(tiny_run, tmp_path / "run", **changes[kind]), "again") is None
