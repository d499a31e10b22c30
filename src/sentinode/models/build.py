"""All networks by name."""

import inspect
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sentinode.errors import ModelError

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class ModelEntry:
    """Where a network is built, what it is in a line, and the sizes that it comes in, as options of its builder."""

    builder: str
    summary: str
    sizes: tuple[Mapping[str, Any], ...] = ({},)


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
    "d4net": ModelEntry(
        "sentinode.models.d4net:build_d4net",
        "symmetric by construction: the same answer for all eight orientations of a patch; size=s, m or l",
        ({"size": "s"}, {"size": "m"}, {"size": "l"}),
    ),
    "p4m-densenet": ModelEntry(
        "sentinode.models.p4m_densenet:build_p4m_densenet",
        "the network of the PatchCamelyon paper (Veeling et al. 2018), symmetric too; 118,738 parameters",
    ),
    "resnet18": ModelEntry(
        "sentinode.models.resnet:build_resnet18",
        "the usual residual network (He et al. 2016), from random weights; 11,186,625 parameters",
    ),
    "transfer": ModelEntry(
        "sentinode.models.transfer:build_transfer",
        "a keras.applications backbone (MobileNetV2 by default), pooling, dropout, one output",
    ),
}


# How each living model was built, for the record of its training.
_ORIGINS: "WeakKeyDictionary[keras.Model, dict[str, Any]]" = WeakKeyDictionary()
_SEEN: "WeakKeyDictionary[keras.Model, np.ndarray]" = WeakKeyDictionary()


def build_model(name: str, *, seed: int = 0, **options: Any) -> "keras.Model":
    """Build a network by name.

    Parameters
    ----------
    name
        A name of `MODELS`, such as ``"cnn"``.
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
    from sentinode.models.random_generators import use_own_generators  # With Keras, which the table above does without.

    module, function = MODELS[name].builder.split(":")
    build = getattr(import_module(module), function)
    known = inspect.signature(build).parameters
    for option in options:
        if option not in known:
            raise ModelError(f"model {name!r} has no option {option!r}; it has: {', '.join(known)}")
    if options.get("output", "sigmoid") not in ("sigmoid", "softmax"):
        raise ModelError(f"output must be sigmoid or softmax; got {options['output']!r}")
    try:
        with seeded_initializers(seed):
            model = build(**options)
    except (TypeError, ValueError) as error:
        raise ModelError(f"model {name!r} cannot be built with {options}: {_reason(error)}") from error
    use_own_generators(model)
    defaults = {option: about.default for option, about in known.items()}
    _ORIGINS[model] = {"name": name, "seed": seed, "options": {**defaults, **options}}
    return model


def origin(model: "keras.Model") -> dict[str, Any] | None:
    """Return name, seed and all options that `build_model` made a model with, or the weights that it starts from.

    None for a model from elsewhere.

    Examples
    --------
    >>> origin(build_model("mlp", seed=3, dense_units=8))
    {'name': 'mlp', 'seed': 3, 'options': {'dense_units': 8, 'output': 'sigmoid'}}
    """
    return _ORIGINS.get(model)


def start_from(model: "keras.Model", weights_sha256: str, seen: "np.ndarray") -> "keras.Model":
    """Remember that the training of a model starts from weights that have seen patches, by SHA-1; return the model."""
    _ORIGINS[model] = {"name": model.name, "weights_sha256": weights_sha256}
    _SEEN[model] = seen
    return model


def seen_before(model: "keras.Model") -> "np.ndarray":
    """Return the SHA-1, 20 bytes each, of the patches that a model's weights have seen; none for new weights."""
    import numpy as np  # `build` is asked for the networks' names where nothing else needs numpy.

    return _SEEN.get(model, np.empty(0, dtype="S20"))


def _reason(error: Exception) -> str:
    """Return the line of a Keras error that says why, without its colours."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()
    said = [line.strip() for line in lines if line.strip() and not line.startswith("Exception encountered")]
    return said[0] if said else type(error).__name__


@contextmanager
def seeded_initializers(seed: int) -> Iterator[None]:
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
