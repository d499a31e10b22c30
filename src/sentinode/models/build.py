"""All networks by name."""

import inspect
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sentinode.errors import ModelError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ModelEntry:
    """Where a network is built, and what it is in a line."""

    builder: str
    summary: str


# Texts, not functions: the command line prints this table without importing Keras.
MODELS: Mapping[str, ModelEntry] = {
    "cnn": ModelEntry(
        "sentinode.models.cnn:build_cnn",
        "the classic: two convolutions, two poolings, two dense layers; 166,977 parameters",
    ),
    "mlp": ModelEntry(
        "sentinode.models.mlp:build_mlp",
        "fully connected baseline: one hidden layer on the flattened pixels; 1,769,601 parameters",
    ),
    "transfer": ModelEntry(
        "sentinode.models.transfer:build_transfer",
        "a keras.applications backbone (MobileNetV2 by default), pooling, dropout, one output",
    ),
}


def build_model(name: str, *, seed: int = 0, **options: Any) -> "keras.Model":
    """Build a network by name.

    Parameters
    ----------
    name
        A name of `MODELS`: ``"cnn"``, ``"mlp"`` or ``"transfer"``.
    seed
        Fixes the initial weights and the dropout.
    options
        The builder's own arguments, such as ``output="softmax"``.

    Returns
    -------
    keras.Model
        uint8 patches ``(n, 96, 96, 3)`` in, probabilities ``(n, 1)`` or ``(n, 2)`` out, not compiled.

    Raises
    ------
    ModelError
        No such name, no such option, or a value that the network cannot take.

    Examples
    --------
    >>> build_model("cnn", output="softmax").output_shape
    (None, 2)
    """
    if name not in MODELS:
        raise ModelError(f"there is no model {name!r}; there are: {', '.join(MODELS)}")
    module, function = MODELS[name].builder.split(":")
    build = getattr(import_module(module), function)
    known = inspect.signature(build).parameters
    for option in options:
        if option not in known:
            raise ModelError(f"model {name!r} has no option {option!r}; it has: {', '.join(known)}")
    if options.get("output", "sigmoid") not in ("sigmoid", "softmax"):
        raise ModelError(f"output must be sigmoid or softmax; got {options['output']!r}")
    try:
        with initial_weights_from(seed):
            return build(**options)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"model {name!r} cannot be built with {options}: {reason}") from error


@contextmanager
def initial_weights_from(seed: int) -> Iterator[None]:
    """Make layers built inside the block draw their seeds from `seed`; Python's own state is put back after.

    Every Keras initialiser and dropout that was given no seed takes one from Python's `random` when it is made, on
    all backends; nothing else has to be set.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
