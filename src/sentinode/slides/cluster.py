"""Call a function for many slides on a Dask cluster."""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sentinode.errors import ConfigError, SentinodeError, first_line
from sentinode.inference.engines import optional
from sentinode.machine import processor_count
from sentinode.slides.isolation import ProcessDiedError

Job = TypeVar("Job")
Result = TypeVar("Result")

# Workers that may die with a job before it is given up.
MOST_DEATHS = 3
# TensorFlow computes with several threads, so that a worker uses about this many cores.
_CORES_PER_WORKER = 4
_CONNECT_S = 30

# The function of this worker process, and the map that it belongs to.
_prepared: dict[str, Callable[[Any], Any]] = {}


def map_on_dask(
    prepare: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job], where: str = ""
) -> Iterator[tuple[Job, Result | SentinodeError]]:
    """Call a function for each job on the workers of a Dask cluster.

    Parameters
    ----------
    prepare : callable
        Called once in each worker process; returns the function. It must be picklable. Where a worker died, the
        function is called again for the same job, on another worker: it should find what is finished.
    jobs : iterable
        Two for each worker are taken ahead.
    where : str
        Address of a scheduler; or the number of workers of a local cluster; empty: a local cluster with one worker for
        four cores. A local cluster listens on 127.0.0.1 only.

    Yields
    ------
    job
    result or SentinodeError
        In the order in which they finish; `ProcessDiedError` where three workers died.

    Raises
    ------
    ConfigError
        No scheduler answers at the address.
    """
    distributed = optional("distributed", "dask")
    import dask

    token, remaining = uuid.uuid4().hex, iter(jobs)
    waiting: dict[Any, Job] = {}
    with dask.config.set({"distributed.scheduler.allowed-failures": MOST_DEATHS - 1}), _client(where) as client:
        finished = distributed.as_completed(loop=client.loop)

        def submit() -> bool:
            for job in remaining:
                future = client.submit(_call, token, prepare, job, key=f"{job}-{token}", pure=False)
                waiting[future] = job
                finished.add(future)
                return True
            return False

        while len(waiting) < 2 * max(1, len(client.scheduler_info(n_workers=-1)["workers"])) and submit():
            pass
        for future in finished:
            job = waiting.pop(future)
            submit()
            try:
                yield job, future.result()
            except distributed.KilledWorker as error:
                deaths = error.allowed_failures + 1
                yield job, ProcessDiedError(f"with {deaths} workers, the last at {error.last_worker.address}")
            except ImportError as error:
                raise ConfigError(
                    f"--dask {where}: a worker cannot import {error.name} ({first_line(error)}); install the same "
                    "version of Sentinode there"
                ) from error


@contextmanager
def _client(where: str) -> Iterator[Any]:
    """Connect to a scheduler, or start a cluster that ends with the block."""
    from distributed import Client, LocalCluster

    if where and not where.isdigit():
        try:
            client = Client(where, timeout=_CONNECT_S)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--dask {where}: no Dask scheduler answers there ({first_line(error)}); start `dask scheduler`, or "
                "leave out the address for a cluster on this machine"
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_CONNECT_S)
            except TimeoutError as error:
                raise ConfigError(
                    f"--dask {where}: the scheduler has no workers; start `dask worker {where}` where Sentinode is "
                    "installed"
                ) from error
            yield client
        return
    workers = int(where or max(1, processor_count() // _CORES_PER_WORKER))
    if workers < 1:
        raise ConfigError(f"--dask {where}: at least 1 worker is needed")
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _call(token: str, prepare: Callable[[], Callable[[Job], Result]], job: Job) -> Result | SentinodeError:
    """Call the function, in a worker; return errors, since Dask logs those that are raised with a traceback."""
    if token not in _prepared:
        _prepared.clear()
        _prepared[token] = prepare()
    try:
        return _prepared[token](job)
    except SentinodeError as error:
        return error
