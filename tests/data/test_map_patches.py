"""Chunks of patches are looked at by several threads, and nobody who uses them notices."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinode.data.map_patches import map_patches
from sentinode.data.parallel import MAX_THREADS, ordered_map
from sentinode.machine import processor_count


@given(st.integers(0, 40), st.integers(1, 5))
def test_results_come_in_the_order_of_the_items_whoever_is_ready_first(count, slow):
    def work(number):
        time.sleep(0.002 * (number % slow == 0))
        return number

    assert list(ordered_map(work, range(count))) == list(range(count))


@pytest.mark.skipif(processor_count() < 2, reason="with one processor one item after the other")
def test_several_items_are_worked_on_at_once():
    both = threading.Barrier(2, timeout=30)
    assert sorted(ordered_map(lambda _: both.wait(), range(2))) == [0, 1]


def test_only_a_few_items_are_begun_ahead():
    begun = []
    results = ordered_map(begun.append, range(1000))
    next(results)
    time.sleep(0.05)
    assert len(begun) <= min(MAX_THREADS, processor_count()) + 2
    results.close()
    assert len(begun) <= min(MAX_THREADS, processor_count()) + 2


def test_the_first_error_in_order_ends_it():
    begun = []

    def work(number):
        begun.append(number)
        if number >= 3:
            raise ValueError(number)
        return number

    results = ordered_map(work, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
    assert len(begun) < 20


def test_every_patch_is_shown_once_in_order(mini):
    few = mini.select(range(0, len(mini), 7))
    shown = list(map_patches(few, lambda pixels: pixels, "looking", chunk_size=50))
    assert [len(pixels) for pixels in shown][:-1] == [50] * (len(shown) - 1)
    assert b"".join(pixels.tobytes() for pixels in shown) == few.read().tobytes()
