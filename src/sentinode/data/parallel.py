"""Map a function over items in threads, with the results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from sentinode.machine import processor_count

# Further threads only wait for the disk or for each other.
MAX_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map a function over items in several threads and yield the results in the order of the items.

    A few items are computed ahead of the consumer. The first error, or the end of the consumer, cancels what has not
    begun.

    Parameters
    ----------
    function : callable
        Called with one item, from several threads at once.
    items : iterable
        The items.

    Yields
    ------
    object
        What `function` returned.

    Examples
    --------
    >>> list(ordered_map(lambda number: number * 2, range(4)))
    [0, 2, 4, 6]
    """
    threads, items = min(MAX_THREADS, processor_count()), iter(items)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Result]] = deque(pool.submit(function, item) for item in islice(items, threads + 1))
        try:
            while ahead:
                result = ahead.popleft().result()
                ahead.extend(pool.submit(function, item) for item in islice(items, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)
