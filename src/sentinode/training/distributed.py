"""Data-parallel training on several devices or machines.

Keras trains over several processes on JAX only, so this module names JAX directly: Keras has no API for the processes
to exchange values, to find each other within a time limit, or to disconnect.
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

log = logging.getLogger("sentinode")

# Keras' own variables: all processes run the same command, each with its own PROCESS_ID.
VARIABLES = tuple(f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
# Seconds without a sign of life after which JAX ends the other processes, and to wait for all at the start.
HEARTBEAT_TIMEOUT_S, INITIALIZATION_TIMEOUT_S = 30, 300
# Words in the errors of JAX after a process was lost. Their types differ between versions and kinds of devices.
LOST = ("gloo", "nccl", "coordination", "connection closed", "connection reset")


@dataclass(frozen=True)
class ProcessGroup(Share):
    """The devices and processes that train together. With one process, all methods are trivial."""

    @classmethod
    def current(cls) -> "ProcessGroup":
        """Return the group of the active Keras distribution; one device of one process without a distribution.

        Examples
        --------
        >>> ProcessGroup.current()
        ProcessGroup(devices=1, processes=1, process=0)
        """
        distribution = keras.distribution.distribution()
        if distribution is None:
            return cls()
        jax = import_module("jax")
        return cls(int(distribution.device_mesh.devices.size), jax.process_count(), jax.process_index())

    def check(self, batch_size: int, patches: int) -> None:
        """Check that all batches of a training run can be divided evenly.

        Parameters
        ----------
        batch_size : int
            Patches per batch, of all devices together.
        patches : int
            Number of training patches.

        Raises
        ------
        ConfigError
            The batch size is not a multiple of the number of devices, or there are fewer patches than in one batch.

        Examples
        --------
        >>> ProcessGroup(devices=4).check(33, patches=1000)
        Traceback (most recent call last):
        sentinode.errors.ConfigError: batch_size 33 is not divisible by 4 devices; use 32 or 36
        """
        if self.devices == 1:
            return
        if batch_size % self.devices:
            below = batch_size // self.devices * self.devices
            nearest = f"{below} or {below + self.devices}" if below else str(self.devices)
            raise ConfigError(f"batch_size {batch_size} is not divisible by {self.devices} devices; use {nearest}")
        if patches < batch_size:
            raise ConfigError(
                f"{patches} training patches are fewer than one batch of {batch_size}: training on {self.devices} "
                "devices drops incomplete batches; use a smaller batch_size or one device"
            )

    def reduce_max(self, number: int) -> Any:
        """Start to compute the maximum over all processes; `int` of the result waits for it. All must call this."""
        if self.processes == 1:
            return number
        jax, distribution = import_module("jax"), keras.distribution.distribution()
        layout = distribution.get_data_layout((self.devices,)).backend_layout
        local = np.full(self.devices // self.processes, number, dtype=np.int32)
        return jax.numpy.max(jax.make_array_from_process_local_data(layout, local))

    def max(self, number: int) -> int:
        """Return the maximum over all processes. All must call this.

        Examples
        --------
        >>> ProcessGroup().max(3)
        3
        """
        return int(self.reduce_max(number))

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the block in the first process, then in the others; an error in one ends all.

        Raises
        ------
        RunError
            The block failed in another process.
        """
        if self.process:
            self._exchange(ok=True)
        try:
            yield
        except BaseException:
            self._exchange(ok=False)
            raise
        self._exchange(ok=True)
        if not self.process:
            self._exchange(ok=True)

    def _exchange(self, ok: bool) -> None:
        if self.max(not ok) and ok:
            raise RunError("another process of this training run failed; see its own message")


@contextmanager
def data_parallel(devices: str | int = "all") -> Iterator[None]:
    """Divide the batches of a training run between devices. Build and train models inside the block.

    Parameters
    ----------
    devices : int or "all"
        Number of devices. 1 changes nothing.

    Raises
    ------
    ConfigError
        The backend is not JAX, there are not enough devices, or Keras' variables for several processes contradict each
        other.
    ProcessLost
        Another process of the training was lost.

    Examples
    --------
    >>> from sentinode import build_model
    >>> with data_parallel(1):
    ...     network = build_model("cnn")
    >>> network.output_shape
    (None, 1)
    """
    job = _job(devices)
    if job is None and str(devices) == "1":
        yield
        return
    backend = keras.backend.backend()
    if backend != "jax":
        raise ConfigError(
            f"devices {devices}: training on several devices needs the JAX backend, and the backend is {backend}; "
            "set KERAS_BACKEND=jax"
        )
    if job is None:
        with _distributed(_choose(devices)):
            yield
        return
    with _connected(*job):
        _check_equal_devices()
        with _distributed(keras.distribution.list_devices()), _silent_unless_first():
            yield


@contextmanager
def undistributed() -> Iterator[None]:
    """Run the block on the first device of this process, without the active distribution."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _job(devices: str | int) -> tuple[str, int, int] | None:
    """Read address, number of processes and index of this process from the environment."""
    given = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not given:
        return None
    try:
        address, processes, process = (given[name] for name in VARIABLES)
        job = (address.split(",")[0], int(processes), int(process))
    except (KeyError, ValueError):
        shown = ", ".join(f"{name}={value}" for name, value in given.items())
        raise ConfigError(f"{shown}: set all of {', '.join(VARIABLES)}, to an address and two integers") from None
    if not 0 <= job[2] < job[1] or ":" not in job[0]:
        raise ConfigError(
            f"process {job[2]} of {job[1]} at {job[0]}: processes are counted from 0, and the address is HOST:PORT"
        )
    if job[1] == 1:
        return None
    if str(devices) != "all":
        raise ConfigError(f"{VARIABLES[1]} is {job[1]} and devices is {devices}; several processes need devices all")
    return job


def _choose(devices: str | int) -> list[str]:
    available = keras.distribution.list_devices()
    if str(devices) == "all":
        return available
    if not str(devices).isdecimal() or int(devices) < 1:
        raise ConfigError(f"devices must be a positive integer or 'all'; got {devices!r}")
    if int(devices) > len(available):
        flags = f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}"
        raise ConfigError(
            f"devices {devices}: only {len(available)} available ({', '.join(available)}); {flags} simulates "
            "several devices on a CPU"
        )
    return available[: int(devices)]


def _check_equal_devices() -> None:
    jax = import_module("jax")
    local, total, processes = jax.local_device_count(), jax.device_count(), jax.process_count()
    if local * processes != total:
        raise ConfigError(
            f"this process has {local} of {total} devices, and there are {processes} processes; all need the same "
            "number of devices: hide some with CUDA_VISIBLE_DEVICES"
        )


@contextmanager
def _distributed(devices: list[str]) -> Iterator[None]:
    if len(devices) == 1:
        yield
        return
    # `Batches` gives each process its own part; Keras' sharding works on tf.data only.
    with keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False).scope():
        yield


@contextmanager
def _silent_unless_first() -> Iterator[None]:
    before = log.level
    if import_module("jax").process_index():
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _connected(address: str, processes: int, process: int) -> Iterator[None]:
    """Connect to the other processes; turn the loss of one into a `ProcessLost`."""
    jax = import_module("jax")
    with contextlib.suppress(AttributeError):  # Older versions lack the setting.
        jax.config.update("jax_enable_preemption_service", False)  # It would intercept SIGTERM.
    limits = {
        "heartbeat_timeout_seconds": HEARTBEAT_TIMEOUT_S,
        "initialization_timeout": INITIALIZATION_TIMEOUT_S,
    }
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
            f"process {process} of {processes} cannot connect to {address} ({first_line(error)}); "
            "start all processes within 5 minutes and check the address"
        ) from error
    try:
        yield
    except TrainingStopped:  # In all processes.
        jax.distributed.shutdown()
        raise
    except BaseException as error:
        atexit.register(_exit, last=process == 0)
        if isinstance(error, (RuntimeError, ValueError)) and any(word in str(error).lower() for word in LOST):
            raise ProcessLost(f"process {process} of {processes}", first_line(error)) from error
        raise
    jax.distributed.shutdown()


def _exit(last: bool) -> None:
    """End this process without waiting for the others; the coordinator ends last."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(2 if last else 0)
    os._exit(1)
