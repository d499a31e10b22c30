"""Slides are read in processes of their own, which may die and stand still."""

import multiprocessing
import os
import time

import pytest
from tests.viewer.serving import LocalServer

from sentinode.errors import DataError
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.slides import reading
from sentinode.viewer.slides.readers import SlideFile, SlideReaders

# What the processes import to crash, to stand still, and to be slow.
FATAL = """
import os, signal, time

from sentinode.viewer.slides.reading import tile as whole_tile

def tile(slide, quality, level, column, row):
    if slide.path.name == "private.tif" and column > 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    return whole_tile(slide, quality, level, column, row)

def stall(slide):
    time.sleep(60)

def be_slow(slide):
    for _ in range(6):
        slide.reader.read(0, 0, 0, 64, 64)
        time.sleep(0.6)
    return "done"
"""


@pytest.fixture
def fatal(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "fatal_reading.py").write_text(FATAL)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    import fatal_reading

    return fatal_reading


@pytest.mark.slow
def test_a_slide_that_ends_its_process_is_told_and_given_up_while_others_are_read(
    fatal, view_slide, tmp_path, monkeypatch
):
    damaged = tmp_path / "private.tif"
    damaged.write_bytes(view_slide.read_bytes())
    monkeypatch.setattr(reading, "tile", fatal.tile)
    with LocalServer([damaged, view_slide], tmp_path / "out", processes=2) as server:
        server.viewer.readers.wait_until_started()
        pids = {child.pid for child in multiprocessing.active_children()}

        def tile(slide, place):
            status, _, answer = server.request(f"/api/slides/{slide}/tiles/11/{place}.jpg")
            return status, answer["error"] if status != 200 else ""

        status, error = tile("s1", "1_0")
        assert (status, "Slide 1: the process that read it died (signal 11)" in error) == (422, True), error
        assert "copy it again" in error and "private" not in error
        assert tile("s1", "1_0") == (status, error)  # Not tried again.
        assert tile("s1", "0_0") == tile("s2", "1_0") == (200, "")
        assert tile("s1", "1_1")[0] == 422
        status, error = tile("s1", "0_1")
        assert (status, "not read until it changes" in error) == (422, True), error
        assert tile("s2", "0_1") == (200, "")
        os.utime(damaged)
        assert tile("s1", "0_1") == (200, "")
        assert pids - {child.pid for child in multiprocessing.active_children()}


@pytest.mark.slow
def test_a_process_that_stands_still_is_ended_and_one_that_goes_on_is_not(fatal, view_slide):
    readers = SlideReaders(1, stalled_s=3.0)
    file = SlideFile(view_slide, (0, 0))
    try:
        assert readers.submit(file, fatal.be_slow).result(30) == "done"
        began = time.monotonic()
        with pytest.raises(ViewerError, match="no progress for 3 s"):
            readers.submit(file, fatal.stall).result(30)
        assert time.monotonic() - began < 30
        assert readers.submit(file, reading.describe).result(30).width_px == 1300
        with pytest.raises(DataError, match="no such file"):
            readers.submit(SlideFile(view_slide.with_name("gone.tif"), (0, 0)), reading.describe).result(30)
    finally:
        readers.close()
    assert readers.submit(file, reading.describe).cancelled()
