"""Keep TensorFlow out of processes that use another backend, and silence one misleading warning."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Hide TensorFlow while Keras reads or writes a model on another backend.

    Keras imports TensorFlow, where it is installed, only to recognize its tensor shapes. That costs seconds and
    hundreds of megabytes.
    """
    modules: dict[str, Any] = sys.modules
    hide = keras.backend.backend() != "tensorflow" and "tensorflow" not in modules
    if hide:
        modules["tensorflow"] = None  # Makes an import fail.
    try:
        yield
    finally:
        if hide:
            del modules["tensorflow"]


@contextmanager
def silence_retracing_warning() -> Iterator[None]:
    """Suppress TensorFlow's warning about repeated tracing.

    TensorFlow counts the predict functions of all models as one function, so it warns once a process predicts with a
    third model, although each model is traced once.
    """

    def is_other(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


@contextmanager
def channels_last() -> Iterator[None]:
    """Build layers for images of shape (rows, columns, channels), whatever ``keras.json`` sets."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)
