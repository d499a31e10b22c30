"""Processors and memory of this process."""

import ctypes
import os
import platform
import sys
from pathlib import Path

# Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def processor_count() -> int:
    """Return the number of processors that this process may use.

    Examples
    --------
    >>> processor_count() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_processors(count: int) -> None:
    """Use at most `count` processors, and as many threads for arithmetic; call it before a backend starts.

    The last bits of a sum depend on the number of threads, so a resumed training must use as many as before.

    Parameters
    ----------
    count : int
        At least 1. A number above that of the machine changes nothing.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    else:  # Where a process cannot be bound to processors; PyTorch and TensorFlow read these, JAX does not.
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            os.environ[name] = str(min(count, processor_count()))


def keep_freed_memory() -> None:
    """Keep the memory of freed arrays in this process instead of returning it to the system.

    glibc maps every block above 32 MB anew, and the system zeroes its pages. Backends free and allocate large
    intermediate arrays in every step; on PyTorch and JAX this takes up to two fifths of a step (`benchmarks/speed.py`).
    Does nothing with another C library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none.
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 64 << 20)
        mallopt(_ARENA_MAX, 1)  # Other arenas cannot hold blocks above 64 MB.


def enable_onednn() -> None:
    """Let TensorFlow use oneDNN on every x86 processor.

    By default TensorFlow uses it only on Linux and on processors with instructions for neural networks (VNNI, BF16,
    AMX). With AVX2 alone, the classic network trains and predicts 1.7 times as fast with oneDNN
    (`benchmarks/speed.py`). ``TF_ENABLE_ONEDNN_OPTS`` is left unchanged where the user has set it, and where TensorFlow
    is already imported, because it would have no effect.
    """
    if platform.machine().lower() in ("x86_64", "amd64") and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def processor_name() -> str:
    """Return the processor's model and its instruction sets that affect rounding.

    Examples
    --------
    >>> len(processor_name()) > 0
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # Not Linux.
        return platform.processor() or platform.machine()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = set(fields.get("flags", "").split())
    instruction_sets = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return " ".join([fields.get("model name") or platform.machine(), *instruction_sets])
