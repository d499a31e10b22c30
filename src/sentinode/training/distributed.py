"""More than one device or machine: Keras' own data parallelism, and what processes have to agree on.

The one module that names JAX: Keras distributes a training over several processes on that backend alone, and has no
call of its own with which processes agree, find each other with a time limit, or part.
"""

import atexit
import contextlib
import inspect
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Share
from sentinode.errors import ConfigError, ProcessLost, RunError, TrainingStopped, first_line

# Keras' own variables: the same command on every machine, with another PROCESS_ID on each.
VARIABLES = tuple(f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
# How long a process may be silent before JAX ends the others, and how long they wait for each other at the start.
SILENCE_S, START_S = 30, 300
# Words of JAX' errors when a process is lost; their types differ between its versions and kinds of devices.
LOST = ("gloo", "nccl", "coordination", "connection closed", "connection reset")


@dataclass(frozen=True)
class ProcessGroup(Share):
    """The devices and processes that train together."""

    @classmethod
    def now(cls) -> "ProcessGroup":
        """Return those of the distribution that is set; one device of one process where none is.

        Examples
        --------
        >>> ProcessGroup.now()
        Crew(devices=1, processes=1, process=0)
        """
        distribution = keras.distribution.distribution()
        if distribution is None:
            return cls()
        jax = import_module("jax")
        return cls(int(distribution.device_mesh.devices.size), jax.process_count(), jax.process_index())

    def check(self, batch_size: int) -> None:
        """Refuse a batch that cannot be shared out evenly.

        Raises
        ------
        ConfigError
            It is not a multiple of the number of devices.

        Examples
        --------
        >>> ProcessGroup(devices=4).check(33)
        Traceback (most recent call last):
        sentinode.errors.ConfigError: batch_size 33 is not divisible by 4 devices; take 32 or 36
        """
        if batch_size % self.devices:
            below = batch_size // self.devices * self.devices
            near = f"{below} or {below + self.devices}" if below else str(self.devices)
            raise ConfigError(f"batch_size {batch_size} is not divisible by {self.devices} devices; take {near}")

    def launch_largest(self, number: int) -> Any:
        """Start to find the largest number that any process gives; all must call it. `int` of the result waits."""
        if self.processes == 1:
            return number
        jax, distribution = import_module("jax"), keras.distribution.distribution()
        layout = distribution.get_data_layout((self.devices,)).backend_layout
        here = np.full(self.devices // self.processes, number, dtype=np.int32)
        return jax.numpy.max(jax.make_array_from_process_local_data(layout, here))

    def largest(self, number: int) -> int:
        """Return the largest number that any process gives; all must call it.

        Examples
        --------
        >>> ProcessGroup().largest(3)
        3
        """
        return int(self.launch_largest(number))

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the block in the first process, then in the others; where it fails, it ends all.

        Raises
        ------
        RunError
            It failed in another process.
        """
        if self.process:
            self._all_well(True)
        try:
            yield
        except BaseException:
            self._all_well(False)
            raise
        self._all_well(True)
        if not self.process:
            self._all_well(True)

    def _all_well(self, well: bool) -> None:
        if self.largest(not well) and well:
            raise RunError("another process of this training was refused; its own message says why")


@contextmanager
def data_parallel(devices: str | int = "all") -> Iterator[None]:
    """Share the batches of a training between devices; models have to be built, and trained, inside the block.

    Parameters
    ----------
    devices
        How many, or ``"all"``. 1 changes nothing.

    Raises
    ------
    ConfigError
        The backend is not JAX, there are not so many devices, or Keras' variables for several processes contradict
        each other.
    ProcessLost
        Another process of the training is gone.

    Examples
    --------
    >>> with data_parallel(1):
    ...     ProcessGroup.now().devices
    1
    """
    job = _job(devices)
    if job is None and str(devices) == "1":
        yield
        return
    backend = keras.backend.backend()
    if backend != "jax":
        raise ConfigError(
            f"devices {devices}: Keras shares a training between devices on JAX alone, and the backend is {backend}; "
            "set KERAS_BACKEND=jax"
        )
    if job is None:
        with _over(_choose(devices)):
            yield
        return
    with _connected(*job):
        _check_even()
        with _over(keras.distribution.list_devices()), _silent_unless_first():
            yield


@contextmanager
def undistributed() -> Iterator[None]:
    """Build models inside the block on this process' first device, as if there were no others."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _job(devices: str | int) -> tuple[str, int, int] | None:
    """Read address, number of processes and number of this one from the environment."""
    given = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not given:
        return None
    try:
        address, processes, process = (given[name] for name in VARIABLES)
        job = (address.split(",")[0], int(processes), int(process))
    except (KeyError, ValueError):
        said = ", ".join(f"{name}={value}" for name, value in given.items())
        raise ConfigError(f"{said}: an address, a number and a number are needed in {', '.join(VARIABLES)}") from None
    if not 0 <= job[2] < job[1] or ":" not in job[0]:
        raise ConfigError(
            f"process {job[2]} of {job[1]} at {job[0]}: processes are counted from 0, the address is HOST:PORT"
        )
    if job[1] == 1:
        return None
    if str(devices) != "all":
        raise ConfigError(f"{VARIABLES[1]} is {job[1]}, and devices {devices}: several processes need devices all")
    return job


def _choose(devices: str | int) -> list[str]:
    there = keras.distribution.list_devices()
    if str(devices) == "all":
        return there
    if not str(devices).isdecimal() or int(devices) < 1:
        raise ConfigError(f"devices must be a number from 1 on, or all; got {devices!r}")
    if int(devices) > len(there):
        virtual = f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}"
        raise ConfigError(
            f"devices {devices}: there are {len(there)} ({', '.join(there)}); {virtual} splits a CPU into as many"
        )
    return there[: int(devices)]


def _check_even() -> None:
    jax = import_module("jax")
    here, everywhere, processes = jax.local_device_count(), jax.device_count(), jax.process_count()
    if here * processes != everywhere:
        raise ConfigError(
            f"{here} of {everywhere} devices are in this one of {processes} processes; each needs the same number: "
            "CUDA_VISIBLE_DEVICES hides some"
        )


@contextmanager
def _over(devices: list[str]) -> Iterator[None]:
    if len(devices) == 1:
        yield
        return
    # Batches gives each process its own part; Keras could do that to tf.data alone.
    with keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False).scope():
        yield


@contextmanager
def _silent_unless_first() -> Iterator[None]:
    log = logging.getLogger("sentinode")
    before = log.level
    if import_module("jax").process_index():
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _connected(address: str, processes: int, process: int) -> Iterator[None]:
    """Find the other processes, and part from them; the loss of one becomes an error in one line."""
    jax = import_module("jax")
    with contextlib.suppress(AttributeError):  # Older versions have no such setting.
        jax.config.update("jax_enable_preemption_service", False)  # It would take SIGTERM away from us.
    limits = {"heartbeat_timeout_seconds": SILENCE_S, "initialization_timeout": START_S}
    known = inspect.signature(jax.distributed.initialize).parameters
    try:
        jax.distributed.initialize(
            coordinator_address=address,
            num_processes=processes,
            process_id=process,
            **{name: value for name, value in limits.items() if name in known},
        )
    except RuntimeError as error:
        raise RunError(
            f"process {process} of {processes} cannot meet the others at {address} ({first_line(error)})"
        ) from error
    try:
        yield
    except TrainingStopped:  # In all processes.
        jax.distributed.shutdown()
        raise
    except BaseException as error:
        atexit.register(_leave, last=process == 0)
        if isinstance(error, (RuntimeError, ValueError)) and any(word in str(error).lower() for word in LOST):
            raise ProcessLost(f"process {process} of {processes}", first_line(error)) from error
        raise
    jax.distributed.shutdown()


def _leave(last: bool) -> None:
    """End the process without waiting for the others; the one that connects them goes last."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(2 if last else 0)
    os._exit(1)
