"""What commands do first: log messages, Keras, the data and the models."""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sentinode.cli.common.options import read_options
from sentinode.errors import SentinodeError, first_line
from sentinode.machine import keep_freed_memory
from sentinode.samples import DEFAULT_MODEL

if TYPE_CHECKING:
    from sentinode.data.patchset import PatchSet
    from sentinode.inference.predictor import Predictor


def start_logging() -> logging.Handler:
    """Print the package's log messages on standard error; return the handler that does it."""
    log = logging.getLogger("sentinode")
    handler = logging.StreamHandler(sys.stderr)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # The root logger may have a handler of its own.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # What it notes of damaged files, errors say.
    return handler


def start_keras() -> None:
    """Import Keras and its backend without the messages that TensorFlow's libraries print meanwhile.

    They print to standard error before they read their log level, so the file descriptor is redirected.

    Raises
    ------
    SentinodeError
        The backend cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    keep_freed_memory()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as messages, contextlib.ExitStack() as stack:
        stderr = os.dup(2)
        stack.callback(os.close, stderr)
        stack.callback(os.dup2, stderr, 2)
        os.dup2(messages.fileno(), 2)
        try:
            import keras  # noqa: F401
        except Exception as error:  # A broken backend may raise anything.
            settings = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
            of_file = f"the backend that {settings} names" if settings.is_file() else "the default backend"
            backend = os.environ.get("KERAS_BACKEND") or of_file
            raise SentinodeError(
                f"Keras cannot start {backend} ({first_line(error)}); run `sentinode doctor` to see what is missing"
            ) from error


def open_data(arguments: argparse.Namespace, quiet: bool = False) -> "PatchSet":
    """Open DATA with the options of `add_data`, and print what was recognized unless `quiet`."""
    from sentinode.data.open import open_patches

    patches = open_patches(
        arguments.data, table=arguments.table, skip_bad=arguments.skip_bad, **read_options(arguments)
    )
    if not quiet:
        print(patches.describe())
    return patches


def load_models(arguments: argparse.Namespace) -> "Predictor":
    """Open the model or models of ``--model``."""
    from sentinode.external.files import is_keras_file
    from sentinode.training.load import load_predictor

    models = [arguments.model] if isinstance(arguments.model, str) else arguments.model or [DEFAULT_MODEL]
    if any(map(is_keras_file, models)):
        start_keras()
    return load_predictor(models, input_scale=arguments.input_scale, model_output=arguments.model_output)
