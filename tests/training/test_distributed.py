"""Several devices and processes: the same curve as one device; refusals."""

import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.jobs import assert_same_training

from sentinode import build_model
from sentinode.data.batches import Batches, Share
from sentinode.errors import ConfigError
from sentinode.training.distributed import ProcessGroup, data_parallel
from sentinode.training.repeats import UnpaddedMetrics

needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")


@given(st.integers(1, 100), st.integers(1, 6), st.integers(1, 4))
def test_the_parts_of_all_processes_are_the_batch_repeated_whole(rows, processes, devices_each):
    batch = np.arange(rows)
    shares = [Share(processes * devices_each, processes, process) for process in range(processes)]
    parts = [share.of(batch) for share in shares]
    copies = shares[0].copies(rows)
    assert np.array_equal(np.concatenate(parts), np.tile(batch, copies))
    assert {len(part) % devices_each for part in parts} == {0}
    assert len({len(part) for part in parts}) == 1
    assert rows % shares[0].devices or copies == 1


@settings(deadline=None, max_examples=30)  # Reading 41 patches takes as long as the disk likes.
@given(st.integers(1, 40), st.integers(0, 3), st.sampled_from([(2, 1), (2, 2), (4, 2)]))
def test_batches_of_all_processes_hold_every_patch_of_the_undivided_batch(mini, multiple, epoch, sizes):
    devices, processes = sizes
    few, size = mini.select(range(0, len(mini), 40)), devices * multiple
    whole = Batches(few, size, seed=1, epoch=epoch)
    parts = [Batches(few, size, seed=1, epoch=epoch, share=Share(devices, processes, p)) for p in range(processes)]
    for number in range(len(whole)):
        for column in (0, 1):
            joined = np.concatenate([part[number][column] for part in parts])
            copies = parts[0].copies(number)
            assert np.array_equal(joined, np.concatenate([whole[number][column]] * copies))


def test_repeated_rows_are_counted_once(mini):
    """The callback alone, on any backend: a batch repeated four times measures what it does once."""
    few = mini.select(range(0, len(mini), 61)).select(range(27))  # The last batch has three.
    figures = []
    for devices in (1, 4):
        model = build_model("mlp", dense_units=4)
        model.compile(
            keras.optimizers.SGD(0.0), "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")]
        )
        batches = Batches(few, 8, share=Share(devices=devices))
        figures.append(model.fit(batches, callbacks=[UnpaddedMetrics(batches)], shuffle=False, verbose=0).history)
    assert figures[0].keys() == figures[1].keys()
    for name, [value] in figures[0].items():
        assert figures[1][name] == [pytest.approx(value, rel=1e-5)]


@needs_jax
def test_four_devices_give_the_curve_and_the_weights_of_one(devices_runs):
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
        "error: devices 5: there are 4 (cpu:0, cpu:1, cpu:2, cpu:3); "
        "XLA_FLAGS=--xla_force_host_platform_device_count=5 splits a CPU into as many",
        "error: batch_size 33 is not divisible by 4 devices; take 32 or 36",
    ]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="the backend is JAX")
def test_other_backends_are_refused_by_name():
    backend = keras.backend.backend()
    with pytest.raises(ConfigError, match=f"the backend is {backend}; set KERAS_BACKEND=jax"), data_parallel("all"):
        pass


def test_one_device_changes_nothing():
    with data_parallel(1):
        assert keras.distribution.distribution() is None
        assert ProcessGroup.now() == ProcessGroup()


@pytest.mark.parametrize(
    ("devices", "variables", "reason"),
    [
        ("all", {"JOB_ADDRESSES": "host:1", "NUM_PROCESSES": "2"}, "an address, a number and a number are needed"),
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
