"""Processors and memory of a process; each case in a process of its own, since both last."""

import json
import os
import platform
import subprocess
import sys

import pytest

from sentinode.machine import processor_count


def run(code: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(processor_count() < 2, reason="one processor only")
def test_a_limit_holds_for_the_process():
    code = "from sentinode.machine import *; limit_processors(1); print([processor_count()])"
    assert run(code) == [1]


def test_more_processors_than_there_are_change_nothing():
    code = "from sentinode.machine import *; limit_processors(10**6); print([processor_count()])"
    assert run(code) == [processor_count()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc is asked")
def test_freed_memory_is_kept():
    code = """
import resource, numpy as np
from sentinode.machine import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.empty(64 << 20, dtype=np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before = faults()
keep_freed_memory()
faults()
print([before, faults()])
"""
    before, after = run(code)
    assert after < before / 5


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is for x86 processors")
@pytest.mark.parametrize(("given", "wanted"), [(None, "1"), ("0", "0")])
def test_onednn_is_enabled_unless_the_user_disabled_it(given, wanted):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    if given is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = given
    code = "import sentinode, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [wanted]
