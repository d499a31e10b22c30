"""Build networks by name."""

import inspect
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sentinode.errors import ModelError
from sentinode.samples import PRETRAINED

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class ModelEntry:
    """A network that `build_model` knows.

    Attributes
    ----------
    builder : str
        ``"module:function"``; a text, so that the command line lists networks without importing Keras.
    summary : str
        A one-line description.
    sizes : tuple of dict
        Options of the builder for each size.
    """

    builder: str
    summary: str
    sizes: tuple[Mapping[str, Any], ...] = ({},)


MODELS: Mapping[str, ModelEntry] = {
    "cnn": ModelEntry(
        "sentinode.models.cnn:build_cnn",
        "classic baseline: two convolutions, two max poolings, two dense layers",
    ),
    "mlp": ModelEntry(
        "sentinode.models.mlp:build_mlp",
        "fully connected baseline: one hidden layer on the flattened pixels",
    ),
    "d4net": ModelEntry(
        "sentinode.models.d4net:build_d4net",
        "equivariant to rotations and reflections: the same output for all eight orientations of a patch; "
        "size=s, m or l",
        ({"size": "s"}, {"size": "m"}, {"size": "l"}),
    ),
    "p4m-densenet": ModelEntry(
        "sentinode.models.p4m_densenet:build_p4m_densenet",
        "equivariant DenseNet of the PatchCamelyon paper (Veeling et al. 2018)",
    ),
    "resnet18": ModelEntry(
        "sentinode.models.resnet:build_resnet18",
        "ResNet-18 (He et al. 2016) with random initial weights",
    ),
    "transfer": ModelEntry(
        "sentinode.models.transfer:build_transfer",
        "backbone (efficientnet-lite0 to -lite2, or of keras.applications; default: MobileNetV2), global average "
        "pooling, dropout, one output",
    ),
}


@dataclass(frozen=True)
class Origin:
    """Where the initial weights of a model come from.

    Attributes
    ----------
    built : dict or None
        Name, seed and options that `build_model` was called with.
    starting_weights : dict or None
        Provenance of the run whose weights are the initial ones, as JSON.
    seen_sha1 : ndarray of shape (n,) or None
        SHA-1 (20 bytes) of each patch that the initial weights were trained on.
    """

    built: dict[str, Any] | None = None
    starting_weights: dict[str, Any] | None = None
    seen_sha1: "np.ndarray | None" = None


_ORIGINS: "WeakKeyDictionary[keras.Model, Origin]" = WeakKeyDictionary()


def build_model(name: str, *, seed: int = 0, **options: Any) -> "keras.Model":
    """Build a network by name.

    Parameters
    ----------
    name : str
        Name of the network: ``"cnn"``, ``"mlp"``, ``"d4net"``, ``"p4m-densenet"``, ``"resnet18"`` or ``"transfer"``.
    seed : int, default 0
        Seed of the initial weights and of dropout.
    **options
        Options of the network, such as ``output="softmax"``; docs/commands.md lists them.

    Returns
    -------
    keras.Model
        Not compiled. Takes uint8 patches of shape ``(n, 96, 96, 3)`` and returns probabilities of shape ``(n, 1)``
        (sigmoid) or ``(n, 2)`` (softmax).

    Raises
    ------
    ModelError
        The name, an option or the value of an option is not valid.

    Examples
    --------
    >>> build_model("cnn", output="softmax").output_shape
    (None, 2)
    """
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}; available: {', '.join(MODELS)}")
    from sentinode.keras_compat.generators import use_own_generators  # The table above does without Keras.
    from sentinode.models.backend import channels_last

    build = _builder(name)
    parameters = inspect.signature(build).parameters
    for option in options:
        if option not in parameters:
            raise ModelError(f"model {name!r} has no option {option!r}; available: {', '.join(parameters)}")
    if options.get("output", "sigmoid") not in ("sigmoid", "softmax"):
        raise ModelError(f"output must be sigmoid or softmax; got {options['output']!r}")
    try:
        with seeded_initializers(seed), channels_last():
            model = build(**options)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "its defaults"
        raise ModelError(f"model {name!r} cannot be built with {given}: {_reason(error)}") from error
    use_own_generators(model)
    set_origin(model, Origin(with_defaults({"name": name, "seed": seed, "options": options})))
    return model


def names_run(model: str) -> bool:
    """Tell whether a name is that of pretrained weights or of a directory, and not of a network.

    Examples
    --------
    >>> names_run("d4net-m"), names_run("d4net")
    (True, False)
    """
    return model not in MODELS and (model in PRETRAINED or Path(model).is_dir())


def with_defaults(built: dict[str, Any]) -> dict[str, Any]:
    """Add the defaults of options that were not given, or did not exist when a network was built.

    Parameters
    ----------
    built : dict
        `Origin.built`.

    Examples
    --------
    >>> with_defaults({"name": "mlp", "seed": 3, "options": {}})
    {'name': 'mlp', 'seed': 3, 'options': {'dense_units': 64, 'output': 'sigmoid'}}
    """
    parameters = inspect.signature(_builder(built["name"])).parameters
    defaults = {option: parameter.default for option, parameter in parameters.items()}
    return {**built, "options": {**defaults, **built["options"]}}


def _builder(name: str) -> Callable[..., "keras.Model"]:
    module, function = MODELS[name].builder.split(":")
    build: Callable[..., keras.Model] = getattr(import_module(module), function)
    return build


def origin(model: "keras.Model") -> Origin | None:
    """Return where the initial weights of a model come from; None for a model from elsewhere.

    Examples
    --------
    >>> origin(build_model("mlp", seed=3, dense_units=8)).built
    {'name': 'mlp', 'seed': 3, 'options': {'dense_units': 8, 'output': 'sigmoid'}}
    """
    return _ORIGINS.get(model)


def set_origin(model: "keras.Model", value: Origin) -> None:
    """Remember where the initial weights of a model come from."""
    _ORIGINS[model] = value


def _reason(error: Exception) -> str:
    """Return the line of a Keras error that states the reason, without color codes."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()
    reasons = [line.strip() for line in lines if line.strip() and not line.startswith("Exception encountered")]
    return reasons[0] if reasons else type(error).__name__


@contextmanager
def seeded_initializers(seed: int) -> Iterator[None]:
    """Seed the layers that are created in the block; the state of `random` is restored afterwards.

    On every backend, a Keras initializer or dropout layer without a seed draws one from Python's `random` when it is
    created.

    Parameters
    ----------
    seed : int
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
