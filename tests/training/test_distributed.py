"""Several devices and processes: the same curves as one device, and invalid requests."""

import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.jobs import assert_same_training

from sentinode.data.batches import Batches, Share
from sentinode.errors import ConfigError
from sentinode.training.distributed import ProcessGroup, data_parallel

needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")


@given(st.integers(1, 100), st.integers(1, 6), st.integers(1, 4))
def test_the_parts_of_all_processes_are_the_padded_batch(rows, processes, devices_each):
    batch, devices = np.arange(rows), processes * devices_each
    parts = [Share(devices, processes, process).of(batch) for process in range(processes)]
    padded = np.concatenate(parts)
    assert np.array_equal(padded[:rows], batch) and set(padded[rows:]) <= {rows - 1}
    assert len(padded) % devices == 0 and len(padded) - rows < devices
    assert len({len(part) for part in parts}) == 1


@pytest.mark.parametrize(("drop", "counts"), [(True, [8, 8, 8]), (False, [8, 8, 8, 4])])
def test_training_drops_an_incomplete_batch_and_validation_pads_it(mini, drop, counts):
    few, share = mini.select(range(27)), Share(devices=4)
    batches = Batches(few, 8, share=share, drop_remainder=drop)
    assert [len(batches[number][0]) for number in range(len(batches))] == counts


def test_fewer_patches_than_one_batch_are_refused():
    ProcessGroup().check(32, patches=20)
    with pytest.raises(ConfigError, match="20 training patches are fewer than one batch of 32"):
        ProcessGroup(devices=4).check(32, patches=20)


@pytest.mark.slow
@needs_jax
def test_four_devices_give_the_curves_and_weights_of_one(devices_runs):
    environments = {devices: run.config["environment"] for devices, run in devices_runs.items()}
    assert {devices: about["devices"] for devices, about in environments.items()} == {1: 1, 4: 4}
    assert_same_training(devices_runs[4], devices_runs[1])


COMMANDS = """
from sentinode.cli.main import main

words = ["train", "pcam-mini", "--model", "cnn", "--out", "run-that-is-never-made", "--devices"]
for more in (["5"], ["all", "--batch-size", "33"]):
    try:
        code = main([*words, *more])
    except SystemExit as exit:
        code = exit.code
    assert code == 1, code
"""


@pytest.mark.slow
@needs_jax
def test_the_command_refuses_devices_that_are_not_there_and_a_batch_that_they_cannot_share():
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        "error: devices 5: only 4 available (cpu:0, cpu:1, cpu:2, cpu:3); "
        "XLA_FLAGS=--xla_force_host_platform_device_count=5 simulates several devices on a CPU",
        "error: batch_size 33 is not divisible by 4 devices; use 32 or 36",
    ]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="the backend is JAX")
def test_other_backends_are_refused_by_name():
    backend = keras.backend.backend()
    with pytest.raises(ConfigError, match=f"the backend is {backend}; set KERAS_BACKEND=jax"), data_parallel("all"):
        pass


def test_one_device_changes_nothing():
    with data_parallel(1):
        assert keras.distribution.distribution() is None
        assert ProcessGroup.current() == ProcessGroup()


@pytest.mark.parametrize(
    ("devices", "variables", "reason"),
    [
        ("all", {"JOB_ADDRESSES": "host:1", "NUM_PROCESSES": "2"}, "an address and two integers"),
        ("all", {"JOB_ADDRESSES": "host:1", "NUM_PROCESSES": "two", "PROCESS_ID": "0"}, "NUM_PROCESSES=two"),
        ("all", {"JOB_ADDRESSES": "host:1", "NUM_PROCESSES": "2", "PROCESS_ID": "2"}, "counted from 0"),
        ("all", {"JOB_ADDRESSES": "host", "NUM_PROCESSES": "2", "PROCESS_ID": "0"}, "HOST:PORT"),
        ("1", {"JOB_ADDRESSES": "host:1", "NUM_PROCESSES": "2", "PROCESS_ID": "0"}, "need devices all"),
    ],
)
def test_variables_that_contradict_are_refused(monkeypatch, devices, variables, reason):
    for name, value in variables.items():
        monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
    with pytest.raises(ConfigError, match=reason), data_parallel(devices):
        pass
