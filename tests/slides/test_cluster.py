"""Jobs on a Dask cluster: results, errors of jobs, workers that die, and clusters that cannot work."""

import signal
from functools import partial
from importlib import import_module

import pytest
from tests.commands import refused, sentinode
from tests.slides.conftest import FILES

pytest.importorskip("distributed")

from sentinode.errors import ConfigError, DataError, SentinodeError
from sentinode.slides.isolation import ProcessDiedError
from sentinode.slides.scanning.cluster import _Cluster, map_on_dask
from sentinode.slides.scanning.queue import Rows, SlideQueue

# A module that workers can import.
JOBS = """
import os
import signal
from functools import partial
from pathlib import Path
from sentinode.errors import DataError

def call(mark, job):
    with Path(__file__).with_name("calls").open("a") as file:
        file.write(f"{job}\\n")
    calls = Path(__file__).with_name("calls").read_text().split().count(job)
    if job == "poison" or (job == "unlucky" and calls == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "bug":
        raise ZeroDivisionError("by zero")
    if job == "broken":
        raise DataError("broken: cannot be read")
    return f"{mark} {job}"

def prepare(mark):
    return partial(call, mark)
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
    """Return a function that prepares the calls."""
    (tmp_path / "jobs_of_the_cluster.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    return partial(import_module("jobs_of_the_cluster").prepare, "done")


@pytest.mark.slow
def test_every_job_is_answered_with_its_result_or_error(prepare):
    found = dict(map_on_dask(prepare, ["a", "broken", "b", "bug", "c"], "1"))
    assert {job: found[job] for job in "abc"} == {job: f"done {job}" for job in "abc"}
    assert isinstance(found["broken"], DataError)
    assert str(found["bug"]) == "bug: ZeroDivisionError: by zero"


@pytest.mark.slow
def test_the_job_of_a_killed_worker_is_repeated(prepare, tmp_path):
    found = dict(map_on_dask(prepare, ["unlucky", "a"], "1"))
    assert found == {job: f"done {job}" for job in ("a", "unlucky")}
    assert sorted((tmp_path / "calls").read_text().split()) == ["a"] + 2 * ["unlucky"]


@pytest.mark.slow
def test_a_job_that_kills_too_many_workers_is_given_up_and_those_that_wait_behind_it_are_not(
    prepare, tmp_path, monkeypatch
):
    counted = _Cluster.worker_count
    # As after the death of one of two workers: the only one has two jobs, and Dask blames both for its death.
    monkeypatch.setattr(_Cluster, "worker_count", lambda cluster: counted(cluster) + 1)
    monkeypatch.setattr("sentinode.slides.scanning.cluster.MOST_DEATHS", 1)
    answers = list(map_on_dask(prepare, ["poison", "a", "b"], "1"))
    found = dict(answers)
    assert len(answers) == len(found) == 3
    assert {job: found[job] for job in "ab"} == {job: f"done {job}" for job in "ab"}
    assert isinstance(found["poison"], ProcessDiedError)
    assert sorted((tmp_path / "calls").read_text().split()) == ["a", "b", "poison"]


# Scans with a cheap network that waits until it has been called in so many processes.
SCANS = """
import os
import time
from functools import partial
from pathlib import Path
import numpy as np
from sentinode.slides.scanning.queue import Rows
from sentinode.slides import open_slide
from sentinode.slides.scanning.folder import help_scan, scan_to_folder
from sentinode.slides.scanning.scanner import Scanner

class Model:
    name, identity = "brightness", {"weights_sha256": "0"}

    def warnings(self, pixels):
        return None

def compute(processes, pixels, wanted):
    folder = Path(__file__).with_name("pids")
    folder.joinpath(str(os.getpid())).touch()
    while len(list(folder.iterdir())) < processes:
        time.sleep(0.05)
    return (128 - pixels[::8, ::8, 0].astype(np.float32))[: wanted.shape[0], : wanted.shape[1]] / 32

def call(out, processes, job):
    scanner = Scanner(Model(), 8, "dense", partial(compute, processes))
    with open_slide(job.path if isinstance(job, Rows) else job) as slide:
        if isinstance(job, Rows):
            return help_scan(slide, scanner, out / slide.path.stem, job.start)
        return scan_to_folder(slide, scanner, out / slide.path.stem).folder

def prepare(out, processes):
    return partial(call, out, processes)
"""


@pytest.mark.slow
def test_two_workers_divide_the_rows_of_a_slide_and_give_the_same_bytes(tall_slide, tmp_path, monkeypatch):
    (tmp_path / "scans_of_the_cluster.py").write_text(SCANS)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("out", "pids"):
        (tmp_path / name).mkdir()
    prepare = import_module("scans_of_the_cluster").prepare
    with SlideQueue([tall_slide], tmp_path / "out", divide=True) as slides:
        for job, folder in map_on_dask(partial(prepare, tmp_path / "out", 2), slides, "2"):
            if job == tall_slide:
                slides.done(job, None)
                divided = folder
    alone = prepare(tmp_path / "alone", 1)(tall_slide)
    for file in FILES:
        assert (divided / file).read_bytes() == (alone / file).read_bytes(), file
    assert not (divided / "unfinished").exists()


def test_rows_are_given_of_slides_that_are_begun_and_not_finished(tmp_path):
    slides = SlideQueue([tmp_path / "a.tif", tmp_path / "b.tif"], tmp_path, divide=True)
    with slides:
        jobs = iter(slides)
        assert [next(jobs), next(jobs)] == [tmp_path / "a.tif", tmp_path / "b.tif"]
        assert next(jobs) == Rows(tmp_path / "a.tif", 0.5)
        slides.done(tmp_path / "a.tif", None)
        assert [next(jobs), next(jobs)] == [Rows(tmp_path / "b.tif", start) for start in (0.5, 0.25)]
        slides.done(tmp_path / "b.tif", None)
        assert not list(jobs)


@pytest.mark.slow
def test_a_cluster_whose_workers_end_at_once_is_given_up(prepare, monkeypatch):
    monkeypatch.setattr("sentinode.slides.scanning.cluster._work", print)
    with pytest.raises(SentinodeError, match="without a result"):
        list(map_on_dask(prepare, ["a"], "1"))


def test_a_wrong_address_is_refused(slide_file, tmp_path, monkeypatch):
    monkeypatch.setattr("sentinode.slides.scanning.cluster._CONNECT_S", 1)
    done = sentinode("scan", slide_file, "--out", tmp_path / "scans", "--dask", "tcp://127.0.0.1:9")
    refused(done, "tcp://127.0.0.1:9", "dask scheduler")
    assert not list(tmp_path.glob("scans/*.lease-*"))


@pytest.mark.slow
def test_a_scheduler_without_workers_is_refused(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("sentinode.slides.scanning.cluster._CONNECT_S", 1)
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster,
        pytest.raises(ConfigError, match="has no workers; start `dask worker"),
    ):
        next(map_on_dask(partial(partial, print), ["a"], cluster.scheduler_address))
