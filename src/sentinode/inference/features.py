"""Features (embeddings) of patches: the values that go into the last layer of a network."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.pixels import pixel_sha1
from sentinode.data.types import UInt8Array
from sentinode.inference.inputs import Patches, as_patches
from sentinode.inference.logits import check_last_layer
from sentinode.inference.predict import as_predictor
from sentinode.inference.predictions import made_by_path
from sentinode.inference.predictor import BATCH_SIZE, Predictor
from sentinode.output_paths import check_ending
from sentinode.storage import atomic_file, write_json
from sentinode.version import __version__

if TYPE_CHECKING:
    import keras

Found = TypeVar("Found")


def embed(model: "Predictor | keras.Model", x: Patches) -> NDArray[np.float32]:
    """Compute the features of every patch.

    Parameters
    ----------
    model : Run or keras.Model
        Ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``; not an ensemble.
    x : PatchSet, ndarray, image, bytes, path, or a list of these
        See `predict`.

    Returns
    -------
    ndarray of shape (n, k)
        float32, in the order of the patches. `write_features` needs less memory.

    Raises
    ------
    DataError
        A patch cannot be read.
    ModelError
        The model is not a single Keras network, or has another last layer.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> embed(load_run("d4net-m"), open_patches("pcam-mini", split="test").select(range(4))).shape
    (4, 24)
    """
    network = feature_model(as_predictor(model).model)
    return np.concatenate([part for part, _ in _in_batches(network, as_patches(x), len)])


def write_features(run: Predictor, patches: PatchSet, out: str | Path) -> dict[str, Any]:
    """Write the features of every patch to an ``.npz`` file, and a json that records their origin.

    Features are written batch by batch, so memory does not grow with the number of patches.

    Parameters
    ----------
    run : Predictor
        A single Keras network, such as a `Run`.
    patches : PatchSet
    out : str or Path
        The file to write. `numpy.load` reads it: ``features`` (float32 of shape ``(n, k)``), ``id``, ``label`` (int8,
        -1 if unknown), ``split`` and ``slide`` (empty if unknown), and ``sha1`` of the pixels, which identifies copies
        of a patch.

    Returns
    -------
    dict
        The content of the json.

    Raises
    ------
    ConfigError
        `out` does not end in ``.npz``.
    ModelError
        The model is not a single Keras network, or has another last layer.

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
    check_ending(out, ".npz")
    network = feature_model(run.model)
    count, width = len(patches), int(network.output_shape[-1])
    sha1: list[str] = []
    with atomic_file(out) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            with archive.open("features.npy", "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
                np.lib.format.write_array_header_1_0(file, header)
                for part, hashed in _in_batches(network, patches, pixel_sha1):
                    file.write(np.ascontiguousarray(part, dtype="<f4").tobytes())
                    sha1 += hashed
            for name, column in _columns(patches.table, sha1).items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, column, allow_pickle=False)
        made_by_path(out).unlink(missing_ok=True)  # Killed in between, no features have the model of others.
    about = {"sentinode": __version__, "data": patches.path, "patches": count, "features": width, **run.identity}
    write_json(made_by_path(out), about)
    return about


def feature_model(model: "keras.Model") -> "keras.Model":
    """Return the model without its last layer; the other layers are shared.

    Raises
    ------
    ModelError
        The last layer is not ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.
    """
    import keras

    from sentinode.keras_compat.graph import node_within

    check_last_layer(model)
    return keras.Model(model.inputs[0], node_within(model, model.layers[-1]).input_tensors[0])


def _in_batches(
    network: "keras.Model", patches: PatchSet, work: Callable[[UInt8Array], Found]
) -> Iterator[tuple[NDArray[np.float32], Found]]:
    """Yield the features of each batch, and what `work` makes of its pixels."""
    from sentinode.models.backend import silence_retracing_warning

    batches = map_patches(patches, lambda pixels: (pixels, work(pixels)), "embedding", chunk_size=BATCH_SIZE)
    for pixels, found in batches:
        with silence_retracing_warning():
            features = network.predict_on_batch(pixels)
        yield np.asarray(features, dtype=np.float32), found


def _columns(table: pd.DataFrame, sha1: list[str]) -> dict[str, np.ndarray]:
    """Return the columns as arrays that can be read without pickle."""
    texts = {name: table[name].fillna("").to_numpy(dtype=np.str_) for name in ("id", "split", "slide")}
    labels = table["label"].fillna(-1).to_numpy(dtype=np.int8)
    return {**texts, "label": labels, "sha1": np.array(sha1, dtype=np.str_)}
