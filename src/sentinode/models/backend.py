"""Keeps TensorFlow out of a process whose backend is another, and quiet where it is wrong."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Hide TensorFlow while Keras writes or reads a model on another backend.

    Keras then asks whether TensorFlow is there, for the sake of its tensor shapes, and asks by importing it: seconds
    and hundreds of megabytes for nothing.
    """
    modules: dict[str, Any] = sys.modules
    hide = keras.backend.backend() != "tensorflow" and "tensorflow" not in modules
    if hide:
        modules["tensorflow"] = None  # Python's own way to make an import fail.
    try:
        yield
    finally:
        if hide:
            del modules["tensorflow"]


@contextmanager
def silence_retracing_warning() -> Iterator[None]:
    """Leave out one warning of TensorFlow's while a model predicts.

    Keras' predict functions are one function to its count, of whatever model: with the third network that a process
    predicts with, it warns that tracing again and again is slow, where every network was traced once.
    """

    def other(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)
