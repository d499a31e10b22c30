"""Work in a process of its own: how it is stopped."""

import threading
import time
from functools import partial
from pathlib import Path

import pytest

from sentinode.errors import SentinodeError
from sentinode.slides.isolation import IsolatedWorker, ProcessDiedError, UnexpectedError, map_isolated, reason
from sentinode.slides.slide import open_slide

sleeper = partial(partial, time.sleep)
slow_start = partial(time.sleep, 60)


def stopped_after(seconds, prepare, job):
    """Call, set the event meanwhile, and return how long the call took."""
    stop = threading.Event()
    worker = IsolatedWorker(prepare, stop)
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    start = time.monotonic()
    with pytest.raises(ProcessDiedError, match="it was stopped"):
        worker.call(job)
    timer.join()
    worker.close()
    return time.monotonic() - start


def test_a_call_is_stopped_while_the_process_starts_and_while_it_works():
    assert stopped_after(0.0, slow_start, "slide") < 30
    assert stopped_after(1.5, slow_start, "slide") < 30
    assert stopped_after(1.5, sleeper, 60) < 30


def test_after_a_stop_the_next_call_starts_another_process():
    stop = threading.Event()
    worker = IsolatedWorker(sleeper, stop)
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    with pytest.raises(ProcessDiedError):
        worker.call(60)
    timer.join()
    stop.clear()
    assert worker.call(0) is None
    worker.close()


def test_a_process_that_cannot_begin_its_work_says_why_each_time():
    worker = IsolatedWorker(partial(open_slide, Path("missing.svs")))
    for _ in range(3):
        with pytest.raises(SentinodeError, match=r"missing\.svs"):
            worker.call("slide")
    worker.close()


def test_a_process_without_progress_is_ended():
    with IsolatedWorker(sleeper) as worker, pytest.raises(ProcessDiedError, match=r"no progress for 0\.3 s"):
        worker.call(60, stalled_s=0.3)


def test_a_programming_error_is_reported_with_its_kind_and_does_not_end_the_process():
    results = dict(map_isolated(partial(partial, int), ["1", "slide", "2"]))
    assert (results["1"], results["2"]) == (1, 2)
    assert isinstance(results["slide"], UnexpectedError)
    assert reason(Path("a.svs"), results["slide"]).startswith("a.svs: ValueError: invalid literal for int()")
