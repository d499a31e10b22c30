"""Slides scanned on a Dask cluster: each once, with the same bytes, whatever happens to the workers."""

import os
import signal
import time
from functools import partial
from importlib import import_module

import pytest
from tests.commands import refused, sentinode

pytest.importorskip("distributed")

from sentinode.errors import ConfigError, DataError
from sentinode.slides.cluster import map_on_dask
from sentinode.slides.isolation import ProcessDiedError

# A module that workers can import.
JOBS = """
import os, signal, time
from functools import partial
from pathlib import Path
from sentinode.errors import ConfigError, DataError

def call(folder, job):
    with (Path(folder) / f"{job}.log").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    if job == "broken":
        raise DataError("broken: cannot be read")
    if job == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "slow":
        time.sleep(2)
    return f"done {job}"

def prepare(folder):
    return partial(call, folder)
"""


@pytest.fixture(autouse=True)
def _limited():
    """A cluster without workers waits for ever; no test does."""

    def end(*_: object) -> None:
        raise TimeoutError("the cluster does not answer")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Return a function that prepares the calls; each notes who tries."""
    (tmp_path / "jobs_of_the_cluster.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    return partial(import_module("jobs_of_the_cluster").prepare, tmp_path)


@pytest.mark.slow
def test_every_job_is_answered_and_a_poison_job_is_named_after_its_retries(prepare, tmp_path):
    jobs = ["a", "broken", "b", "poison", "c"]
    found = dict(map_on_dask(prepare, jobs, "1"))
    assert {job: found[job] for job in "abc"} == {job: f"done {job}" for job in "abc"}
    assert isinstance(found["broken"], DataError)
    assert isinstance(found["poison"], ProcessDiedError) and "3 workers" in str(found["poison"])
    assert len((tmp_path / "poison.log").read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_is_done_again(prepare, tmp_path):
    results = map_on_dask(prepare, ["a", "slow"], "1")
    assert next(results) == ("a", "done a")
    log = tmp_path / "slow.log"
    while not log.exists() or not log.read_text().strip():
        time.sleep(0.05)
    os.kill(int(log.read_text()), signal.SIGKILL)
    assert list(results) == [("slow", "done slow")]
    assert len(log.read_text().splitlines()) == 2


def test_a_wrong_address_is_refused(slide_file, tmp_path, monkeypatch):
    monkeypatch.setattr("sentinode.slides.cluster._CONNECT_S", 1)
    done = sentinode("scan", slide_file, "--out", tmp_path / "scans", "--dask", "tcp://127.0.0.1:9")
    refused(done, "tcp://127.0.0.1:9", "dask scheduler")
    assert not list(tmp_path.glob("scans/*.lease-*"))


def test_a_scheduler_without_workers_is_refused(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("sentinode.slides.cluster._CONNECT_S", 1)
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster,
        pytest.raises(ConfigError, match="has no workers; start `dask worker"),
    ):
        next(map_on_dask(partial(partial, print), ["a"], cluster.scheduler_address))
