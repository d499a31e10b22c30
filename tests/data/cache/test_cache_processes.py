"""Several processes at one cache entry, and one that is killed.

One image of the source is a named pipe: whoever decodes it waits until the test writes the image into the pipe, so
every process can be caught in the middle of a build.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests import forms

from sentinode import open_patches
from sentinode.data.cache.store import clear_cache, list_cache
from sentinode.data.io.folders import FolderFiles

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")

BUILDER = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from sentinode import open_patches
from sentinode.data.io.folders import FolderFiles
FolderFiles.takes_pipes = True  # By one of them the test holds the process.
print(open_patches(sys.argv[1]).cached(sys.argv[2]).fingerprint)
"""
PATIENCE_S = 60


class Held:
    """A source that nobody can decode before `let_go`."""

    def __init__(self, patches, folder: Path) -> None:
        files, self.rows = forms.images(patches)
        self.path = forms.write(files, folder / "source")
        self.cache = folder / "cache"
        self._pipe = self.path / self.rows[17].id
        self._content = files[self.rows[17].id]
        self._pipe.unlink()
        os.mkfifo(self._pipe)
        self._processes: list[subprocess.Popen] = []

    def build(self) -> subprocess.Popen:
        number = len(self._processes)
        with (self.path.parent / f"log{number}").open("w") as log:
            order = [sys.executable, "-c", BUILDER, str(self.path), str(self.cache)]
            self._processes.append(subprocess.Popen(order, stdout=subprocess.PIPE, stderr=log, text=True))
        return self._processes[-1]

    def log(self, number: int) -> str:
        return (self.path.parent / f"log{number}").read_text()

    def parts(self) -> list[Path]:
        return list(self.cache.glob("patches/*.part/pixels.npy"))

    def let_go(self) -> None:
        threading.Thread(target=self._pipe.write_bytes, args=[self._content], daemon=True).start()

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def held(mini, tmp_path, monkeypatch) -> Iterator[Held]:
    monkeypatch.setattr(FolderFiles, "takes_pipes", True)
    source = Held(mini.select(range(0, len(mini), 40)), tmp_path)
    yield source
    source.end()


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def hashes(held: Held) -> list[str]:
    return [row.sha1 for row in held.rows]


def test_two_processes_at_once_build_one_entry_once(held):
    builders = [held.build(), held.build()]
    # Both know the key and want its lock; one holds it and is decoding.
    wait_for(lambda: all(".lock" in held.log(number) for number in (0, 1)) and held.parts())
    held.let_go()
    ends = [builder.communicate(timeout=PATIENCE_S)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], held.log(0) + held.log(1)
    assert ends[0] == ends[1] != ""
    assert (held.log(0) + held.log(1)).count("INFO:sentinode:decoding") == 1
    (entry,) = list_cache(held.cache)
    pixels = np.load(entry.path / "pixels.npy")
    assert [forms.sha1(patch) for patch in pixels] == hashes(held)
    assert held.parts() == []


def test_a_killed_builder_leaves_no_entry_and_the_next_call_succeeds(held):
    builder = held.build()
    wait_for(held.parts)
    builder.send_signal(signal.SIGKILL)
    assert builder.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    assert list_cache(held.cache) == []
    (left,) = held.parts()
    held.let_go()
    cached = open_patches(held.path).cached(held.cache)
    assert [forms.sha1(patch) for patch in cached.read()] == hashes(held)
    (entry,) = list_cache(held.cache)
    assert f"{entry.path.name}.part" == left.parent.name, "it was the same entry that the killed process built"
    assert held.parts() == []


def test_clear_leaves_alone_what_is_being_built(held):
    builder = held.build()
    wait_for(held.parts)
    assert clear_cache(held.cache) == 0
    assert len(held.parts()) == 1
    held.let_go()
    builder.communicate(timeout=PATIENCE_S)
    assert builder.returncode == 0, held.log(0)
    assert [entry.patches for entry in list_cache(held.cache)] == [42]


def test_clear_deletes_what_a_killed_builder_left(held):
    builder = held.build()
    wait_for(held.parts)
    builder.kill()
    builder.wait(timeout=PATIENCE_S)
    assert clear_cache(held.cache) > 42 * 96 * 96 * 3
    assert not any((held.cache / "patches").iterdir())
