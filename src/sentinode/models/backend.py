"""Keeps TensorFlow out of a process whose backend is another."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def tensorflow_left_out() -> Iterator[None]:
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
