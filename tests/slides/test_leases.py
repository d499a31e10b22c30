"""Processes that share an output folder divide its slides, also when some of them are killed."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.commands import command
from tests.slides.conftest import FILES

from sentinode.errors import DataError
from sentinode.slides.scanning import leases
from sentinode.slides.scanning.leases import is_taken, take_lease

HOLD = """
import sys, time
from sentinode.slides.scanning.leases import take_lease
take_lease(sys.argv[1], "a")
print(flush=True)
time.sleep(60)
"""


@pytest.fixture
def killed(tmp_path):
    """Return a function that lets another process take the slide and die."""

    def kill():
        process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
        process.stdout.readline()
        process.kill()
        process.wait()

    return kill


def test_a_slide_has_one_holder_until_it_is_given_back(tmp_path):
    with take_lease(tmp_path, "a"):
        assert take_lease(tmp_path, "a") is None
        with take_lease(tmp_path, "b"):
            pass
    with take_lease(tmp_path, "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_slide_is_taken_while_there_is_a_lease(tmp_path):
    assert not is_taken(tmp_path, "slide")
    with take_lease(tmp_path, "slide"):
        assert is_taken(tmp_path, "slide")
        assert not is_taken(tmp_path, "other")
    assert not is_taken(tmp_path, "slide")


@pytest.mark.slow
def test_the_slide_of_a_killed_process_is_taken_again_but_not_more_than_three_times(tmp_path, killed):
    for attempt in (1, 2, 3):
        killed()
        assert (tmp_path / f"a.lease-{attempt}").is_file()
    with pytest.raises(DataError, match=r"3 processes died.*a.lease-\*"):
        take_lease(tmp_path, "a")


def test_a_holder_on_another_machine_is_given_up_when_it_no_longer_touches_its_file(tmp_path, monkeypatch):
    file = tmp_path / "a.lease-1"
    file.write_text(json.dumps({"host": "elsewhere", "namespace": "", "pid": 1}))
    assert take_lease(tmp_path, "a") is None
    os.utime(file, (time.time() - 3600, time.time() - 3600))
    with take_lease(tmp_path, "a"):
        assert (tmp_path / "a.lease-2").is_file()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("boot", "is_dead"), [({}, True), ({"boot": "of another machine"}, False)])
def test_a_process_number_is_looked_up_only_on_its_own_machine(tmp_path, boot, is_dead):
    holder = {**leases._this_process(), **boot, "pid": 99_999_999}  # No process has this number.
    (tmp_path / "a.lease-1").write_text(json.dumps(holder))
    lease = take_lease(tmp_path, "a")
    assert (lease is not None) == is_dead
    if lease:
        lease.release()


def test_a_holder_that_was_taken_for_dead_leaves_the_lease_of_the_next_one(tmp_path):
    first = take_lease(tmp_path, "a")
    os.utime(tmp_path / "a.lease-1", (0, 0))
    (tmp_path / "a.lease-2").write_text(json.dumps({"host": "elsewhere", "namespace": "", "pid": 1}))
    first.release()
    assert (tmp_path / "a.lease-2").is_file() and take_lease(tmp_path, "a") is None


def test_a_lease_that_could_not_be_written_is_no_other_process(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # Writing more fails, as on a full disk.
    try:
        with pytest.raises(OSError):
            take_lease(tmp_path, "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.lease-1").write_text('{"ho')  # Of a process that was killed while it wrote.
    os.utime(tmp_path / "a.lease-1", (time.time() - 3600, time.time() - 3600))
    with take_lease(tmp_path, "a"):
        pass


def test_a_holder_touches_its_file_while_it_works(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.05)
    with take_lease(tmp_path, "a"):
        file = tmp_path / "a.lease-1"
        os.utime(file, (0, 0))
        deadline = time.monotonic() + 10
        while file.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert file.stat().st_mtime > 0


@pytest.mark.slow
def test_killed_processes_on_one_folder_scan_every_slide_once_with_the_same_bytes(slide_file, tmp_path):
    pytest.importorskip("openvino")
    slides = tmp_path / "slides"
    slides.mkdir()
    for number in range(4):
        shutil.copy(slide_file, slides / f"{number}.tif")

    def scan(out):
        words = command("scan", slides, "--out", out, "--step", 16, "--engine", "openvino")  # Starts without Keras.
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    together, choose = tmp_path / "together", random.Random(0)

    def wait_for_more(name, before, workers):
        deadline = time.monotonic() + 300
        while len(list(together.glob(f"*/{name}"))) <= before:
            assert time.monotonic() < deadline and any(worker.poll() is None for worker in workers)
            time.sleep(0.02)

    assert scan(tmp_path / "alone").wait(300) == 0
    for name in ("settings.json", "summary.json", "summary.json"):  # One more slide is begun, or finished.
        before = len(list(together.glob(f"*/{name}")))
        workers = [scan(together), scan(together)]
        wait_for_more(name, before, workers)
        time.sleep(choose.uniform(0, 0.5))
        for worker in workers:
            worker.kill()
            worker.wait()
        for attempt in together.glob("*.lease-*"):  # Killed by this test, not by their slide.
            attempt.unlink()
    assert len(list(together.glob("*/summary.json"))) < 4
    workers = [scan(together), scan(together)]
    assert [worker.wait(300) for worker in workers] == [0, 0]
    for number in range(4):
        for name in FILES:
            expected = (tmp_path / "alone" / f"{number}" / name).read_bytes()
            assert (together / f"{number}" / name).read_bytes() == expected, name
    assert not list(together.glob("*.lease-*"))
