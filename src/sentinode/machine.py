"""The processors and the memory of this process, set before a backend starts."""

import ctypes
import os
import platform
import sys
from pathlib import Path

# Numbers of mallopt(3) in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def processors() -> int:
    """Return how many processors this process may use.

    Examples
    --------
    >>> processors() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_processors(count: int) -> None:
    """Use `count` processors at most; every backend then makes as many threads for its arithmetic.

    The last bits of a sum depend on how many threads share it, so a training that goes on must have as many as before.

    Parameters
    ----------
    count
        At least 1; more than there are changes nothing.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    else:  # Where processes cannot be tied to processors: PyTorch and TensorFlow read these, JAX does not.
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            os.environ[name] = str(min(count, processors()))


def keep_freed_memory() -> None:
    """Let this process keep the memory that arrays give back, instead of asking the system anew for each.

    glibc maps every block above 32 MB afresh, and the system clears its pages. Backends free and allocate their large
    intermediate arrays in every step: on PyTorch and JAX that takes up to two fifths of it (`benchmarks/speed.py`).
    Nothing happens where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none.
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 64 << 20)
        mallopt(_ARENA_MAX, 1)  # Other arenas cannot hold blocks of more than 64 MB.


def use_onednn() -> None:
    """Let TensorFlow compute with oneDNN on every x86 processor.

    It does so by itself only on Linux and on those with instructions for neural networks (VNNI, BF16, AMX). On one that
    has AVX2 alone the classic network trains and predicts 1.7 times as fast with it (`benchmarks/speed.py`). A user's
    own ``TF_ENABLE_ONEDNN_OPTS`` is left as it is; where TensorFlow was imported before, it is too late, and nothing is
    set that would not be true.
    """
    if platform.machine().lower() in ("x86_64", "amd64") and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def processor_name() -> str:
    """Return the processor's model and those of its instructions that change how sums are made.

    Examples
    --------
    >>> len(processor_name()) > 0
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # Not Linux.
        return platform.processor() or platform.machine()
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    known = set(about.get("flags", "").split())
    sets = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in known]
    return " ".join([about.get("model name") or platform.machine(), *sets])
