"""Call a function for many slides on a Dask cluster.

Results travel as events through the scheduler. As results of Dask tasks they would stay on the workers until they are
fetched, and be lost with a worker that dies; so a task returns nothing, and nothing is fetched from workers.
"""

import logging
import multiprocessing
import pickle
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sentinode.errors import ConfigError, SentinodeError, first_line
from sentinode.extras import optional
from sentinode.machine import processor_count
from sentinode.slides.isolation import ProcessDiedError, end_with_the_parent

Job = TypeVar("Job")
Result = TypeVar("Result")

log = logging.getLogger("sentinode")

# Workers that may die with a job before it is given up.
MOST_DEATHS = 3
# TensorFlow computes with several threads, so that a worker uses about this many cores.
_CORES_PER_WORKER = 4
_CONNECT_S, _POLL_S, _COUNT_S = 30.0, 0.2, 10.0
# Without any worker for so long, a cluster will not get one: a queue of jobs may take long to start some.
_WITHOUT_WORKERS_S = 3600.0

# Losses of a job that no worker may have begun, and the event of one that did.
_MOST_LOSSES, _STARTED = 10, b""
# A worker's events need about 2 ms; one that crashes at once shall have sent this one.
_FLUSH_S = 0.05

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
        Each is taken when a worker is free.
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
        No scheduler answers at the address, or its workers cannot import this package.
    SentinodeError
        The scheduler ended, or there are no workers any more.
    """
    optional("distributed", "dask")
    import dask

    # 0: deaths are counted here, for the job that a worker was at. Dask blames those that wait at a worker as well.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), _connected(where) as cluster:
        token, remaining = uuid.uuid4().hex, iter(jobs)
        events: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        cluster.client.subscribe_topic(token, lambda event: events.put(event[1]))
        waiting: dict[str, _Task] = {}
        again: list[_Task] = []
        while True:
            while len(waiting) < cluster.worker_count():
                try:
                    task = again.pop() if again else _Task(next(remaining))
                except StopIteration:
                    break
                key = uuid.uuid4().hex
                task.future = cluster.client.submit(_call, token, prepare, key, task.job, key=key, pure=False)
                waiting[key] = task
            if not waiting:
                return
            answered = _next_event(events, waiting)
            if answered is not None:
                cluster.note_answer()
                yield answered
                continue
            for key, task in list(waiting.items()):
                if task.future.status in ("error", "cancelled"):
                    del waiting[key]
                    failure = _failure(task)
                    if failure is None:
                        again.append(task)
                    else:
                        yield task.job, failure


@dataclass
class _Task:
    """A job, how often a worker began it, and how often Dask gave it up."""

    job: Any
    future: Any = None
    starts: int = 0
    losses: int = 0


def _next_event(events: "queue.SimpleQueue[tuple[str, bytes]]", waiting: dict[str, _Task]) -> tuple[Any, Any] | None:
    """Wait a moment for an answer; note which jobs are begun."""
    try:
        while True:
            key, answer = events.get(timeout=_POLL_S)
            if key not in waiting:
                continue  # It was repeated after the death of its worker, and answers twice.
            if answer != _STARTED:
                return waiting.pop(key).job, pickle.loads(answer)
            waiting[key].starts += 1
    except queue.Empty:
        return None


def _failure(task: _Task) -> SentinodeError | None:
    """Return why a job is given up, None if it is to be repeated; raise what concerns all jobs."""
    from distributed import KilledWorker

    if task.future.status == "cancelled":
        raise SentinodeError("the Dask scheduler ended; start it, and run the same command again")
    error = task.future.exception()
    if isinstance(error, KilledWorker):
        task.losses += 1
        if task.starts < MOST_DEATHS and task.losses < _MOST_LOSSES:
            return None
        deaths = max(task.starts, task.losses)
        return ProcessDiedError(f"with {deaths} workers, the last at {error.last_worker.address}")
    if isinstance(error, ImportError):
        raise ConfigError(
            f"a worker of --dask cannot import {error.name} ({first_line(error)}); install the same version of "
            "Sentinode there"
        ) from error
    if isinstance(error, SentinodeError):  # While the function was prepared.
        raise error
    return SentinodeError(f"{task.job}: {type(error).__name__}: {first_line(error)}")


class _Cluster:
    """A connected cluster.

    Parameters
    ----------
    client : distributed.Client
    local : list of processes
        The workers that this process started.
    """

    def __init__(self, client: Any, local: Sequence[Any] = ()) -> None:
        self.client, self._local = client, list(local)
        self._count, self._counted_s = 1, float("-inf")
        self._last_worker_s = time.monotonic()
        self._deaths = 0

    def note_answer(self) -> None:
        """Note that a worker lives."""
        self._deaths = 0

    def worker_count(self) -> int:
        """Return the number of workers, at least 1; start local ones again that died."""
        self._restart()
        now_s = time.monotonic()
        if now_s - self._counted_s > (_POLL_S if self._local else _COUNT_S):
            try:
                workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
            except (OSError, TimeoutError, RuntimeError):
                workers = 0  # The client reconnects, or cancels its jobs when it cannot.
            self._counted_s = now_s
            if workers:
                self._last_worker_s = now_s
            elif now_s - self._last_worker_s > _WITHOUT_WORKERS_S:
                raise SentinodeError(
                    f"the Dask scheduler had no worker for {_WITHOUT_WORKERS_S / 60:.0f} minutes; start some, and "
                    "run the same command again"
                )
            elif self._count and not self._local:
                log.warning("the Dask scheduler has no worker at the moment; waiting for one")
            self._count = workers
        return max(1, self._count)

    def kill_local(self) -> None:
        """End the local workers: whatever they compute is not wanted any more."""
        for worker in self._local:
            worker.kill()
            worker.join()

    def _restart(self) -> None:
        for number, worker in enumerate(self._local):
            if worker.is_alive():
                continue
            self._deaths += 1
            if self._deaths > _MOST_LOSSES * len(self._local):
                raise SentinodeError(
                    f"the workers of --dask ended {self._deaths} times without a result, the last with exit status "
                    f"{worker.exitcode}; scan without --dask to see why"
                )
            self._local[number] = _start_worker(self.client.scheduler.address)


@contextmanager
def _connected(where: str) -> Iterator[_Cluster]:
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
            yield _Cluster(client)
        return
    count = int(where or max(1, processor_count() // _CORES_PER_WORKER))
    if count < 1:
        raise ConfigError(f"--dask {where}: use at least 1 worker")
    # Dask's own nannies give up on a worker that dies while it starts, so that a cluster may end without any.
    with (
        LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster) as client,
    ):
        local = _Cluster(client, [_start_worker(cluster.scheduler_address) for _ in range(count)])
        try:
            yield local
        finally:
            local.kill_local()


def _start_worker(scheduler: str) -> Any:
    context = multiprocessing.get_context("spawn")  # A fork would copy the threads' locks of TensorFlow.
    worker = context.Process(target=_work, args=(scheduler,), daemon=True)
    worker.start()
    return worker


def _work(scheduler: str) -> None:
    """Serve as a worker of a local cluster, until it ends or the process that started it is killed."""
    import asyncio

    from distributed import Worker

    threading.Thread(target=end_with_the_parent, daemon=True).start()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    async def serve() -> None:
        async with Worker(scheduler, nthreads=1, memory_limit=0, host="127.0.0.1", dashboard=False) as worker:
            await worker.finished()

    asyncio.run(serve())


def _call(token: str, prepare: Callable[[], Callable[[Job], Result]], key: str, job: Job) -> None:
    """Call the function, in a worker, and answer with its result or error."""
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(token, (key, _STARTED))
    time.sleep(_FLUSH_S)
    if token not in _prepared:
        _prepared.clear()
        _prepared[token] = prepare()
    result: Result | SentinodeError
    try:
        result = _prepared[token](job)
    except SentinodeError as error:
        result = error
    # It reaches the scheduler before the end of the task does.
    worker.log_event(token, (key, pickle.dumps(result)))
