"""What a network makes of patches before its last layer: a row of numbers for each."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.duplicates.hashes import pixel_sha1
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.types import UInt8Array
from sentinode.errors import ConfigError
from sentinode.inference.logits import check_last_layer
from sentinode.inference.predictions import made_by_path
from sentinode.storage import atomic_file, write_json
from sentinode.version import __version__

if TYPE_CHECKING:
    import keras

# Fixed, as when patches are predicted: another size may change the last bits.
BATCH_SIZE = 128

Found = TypeVar("Found")


def embed(model: Any, patches: PatchSet) -> NDArray[np.float32]:
    """Return the features of every patch: what goes into the network's last layer.

    Parameters
    ----------
    model
        A `Run`, or a `keras.Model` that ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    patches
        Cached or not.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n, features)``, in the order of `patches`. `write_features` does without so much memory.

    Raises
    ------
    DataError
        A patch cannot be read.
    ModelError
        The last layer is another one.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> embed(load_run("d4net-m"), open_patches("pcam-mini", split="test").select(range(4))).shape
    (4, 24)
    """
    network = feature_model(_keras_model(model))
    features = np.empty((len(patches), network.output_shape[-1]), dtype=np.float32)
    first = 0
    for part, _ in _in_batches(network, patches, len):
        features[first : first + len(part)] = part
        first += len(part)
    return features


def write_features(run: Any, patches: PatchSet, out: str | Path) -> dict[str, Any]:
    """Write the features of every patch into a ``.npz`` file, and what made it into a json beside it.

    Features go to the disk batch by batch, so memory holds none but those of one.

    Parameters
    ----------
    run
        A `Run`.
    patches
        Cached or not.
    out
        The file to write. `numpy.load` reads from it: ``features`` (float32, ``(n, k)``), ``id``, ``label`` (int8, -1
        where unknown), ``split`` and ``slide`` (empty where unknown), and ``sha1`` of the pixels, by which copies of a
        patch are found.

    Returns
    -------
    dict
        What the json says.

    Raises
    ------
    ConfigError
        Another ending than ``.npz``.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import load_run, open_patches
    >>> file = Path(tempfile.mkdtemp()) / "features.npz"
    >>> write_features(load_run("d4net-m"), open_patches("pcam-mini", split="test").select(range(4)), file)["features"]
    24
    >>> np.load(file)["features"].shape
    (4, 24)
    """
    out = Path(out)
    if out.suffix != ".npz":
        raise ConfigError(f"{out}: features are written as .npz; give the file that ending")
    network = feature_model(_keras_model(run))
    count, width = len(patches), int(network.output_shape[-1])
    sha1: list[str] = []
    with atomic_file(out) as beside, zipfile.ZipFile(beside, "w") as archive:
        with archive.open("features.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
            np.lib.format.write_array_header_1_0(file, header)
            for part, hashed in _in_batches(network, patches, pixel_sha1):
                file.write(np.ascontiguousarray(part, dtype="<f4").tobytes())
                sha1 += hashed
        for name, column in _columns(patches.table, sha1).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, column, allow_pickle=False)
    about = {"sentinode": __version__, "data": patches.path, "patches": count, "features": width, **run.identity}
    write_json(made_by_path(out), about)
    return about


def feature_model(model: "keras.Model") -> "keras.Model":
    """Return a model that ends before the last layer of `model`, with the same layers.

    Raises
    ------
    ModelError
        The last layer is not ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    """
    import keras  # The engines' module is imported without it.

    check_last_layer(model)
    return keras.Model(model.inputs[0], model.layers[-1].input)


def _keras_model(model: Any) -> "keras.Model":
    if hasattr(model, "runs") and len(model.runs) > 1:
        raise ConfigError("features are those of one network; give one run, not an ensemble")
    return model.model if hasattr(model, "identity") else model


def _in_batches(
    network: "keras.Model", patches: PatchSet, look: Callable[[UInt8Array], Found]
) -> Iterator[tuple[NDArray[np.float32], Found]]:
    """Give the features of one batch after another, and what `look` finds of its pixels."""
    from sentinode.models.backend import silence_retracing_warning

    shown = map_patches(patches, lambda pixels: (pixels, look(pixels)), "embedding", chunk_size=BATCH_SIZE)
    for pixels, found in shown:
        with silence_retracing_warning():
            features = network.predict_on_batch(pixels)
        yield np.asarray(features, dtype=np.float32), found


def _columns(table: pd.DataFrame, sha1: list[str]) -> dict[str, np.ndarray]:
    """Return what is known of each patch, as arrays that can be read without pickle."""
    texts = {name: table[name].fillna("").to_numpy(dtype=np.str_) for name in ("id", "split", "slide")}
    labels = table["label"].fillna(-1).to_numpy(dtype=np.int8)
    return {**texts, "label": labels, "sha1": np.array(sha1, dtype=np.str_)}
