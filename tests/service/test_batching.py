"""The queue of batches: order of results, errors of single requests, and event loops that end."""

import asyncio
import threading

import numpy as np
import pytest

from sentinode.service.batching import BatchQueue, QueueFullError
from sentinode.service.images import EncodedImage

PATCH = np.zeros((96, 96, 3), np.uint8)


def decode(images):
    if any(image.content == b"bad" for image in images):
        raise ValueError("bad")
    return np.stack([PATCH + int(image.name) for image in images])


def image(number, content=b""):
    return EncodedImage(str(number), content)


@pytest.fixture
def queue():
    opened = BatchQueue(decode, lambda pixels: pixels[:, 0, 0, 0].tolist(), 100, threads=2)
    yield opened
    opened.close()


def test_each_request_gets_its_own_results_and_errors(queue):
    async def ask():
        requests = [[image(n), image(n + 1)] for n in range(20)] + [[image(1, b"bad")]]
        return await asyncio.gather(*map(queue.results, requests), return_exceptions=True)

    *results, error = asyncio.run(ask())
    assert results == [[n, n + 1] for n in range(20)]
    assert isinstance(error, ValueError)


def test_a_full_queue_is_refused(queue):
    with pytest.raises(QueueFullError):
        asyncio.run(queue.results([image(0)] * 101))


def test_an_event_loop_that_ends_early_does_not_stop_the_queue(queue):
    async def leave():
        asyncio.get_running_loop().create_task(queue.results([image(1)]))
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert asyncio.run(queue.results([image(2)])) == [2]


def test_a_closed_queue_opens_again(queue):
    assert asyncio.run(queue.results([image(3)])) == [3]
    queue.close()
    assert asyncio.run(queue.results([image(4)])) == [4]


def test_a_request_that_arrives_while_the_queue_closes_is_answered(queue, monkeypatch):
    assert asyncio.run(queue.results([image(3)])) == [3]
    join, answers = threading.Thread.join, []

    def ask_after(thread):
        join(thread)
        answers.append(asyncio.run(asyncio.wait_for(queue.results([image(4)]), 5)))

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", ask_after)
        queue.close()
    assert answers == [[4], [4]]
