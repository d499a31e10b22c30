"""The model that judges patches, in a process of its own: the server starts at once, and outlives a crash."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.errors import ModelError
from sentinode.slides.isolation import IsolatedWorker, ProcessDiedError
from sentinode.viewer.errors import ViewerError

# Of the training patches that are searched for neighbors; features of more take minutes.
MOST_SEARCHED, NEIGHBORS = 2000, 5

Job = tuple[str, UInt8Array]


class ModelWorker:
    """Computes predictions, attribution maps, features and neighbors of patches.

    Parameters
    ----------
    name : str
        A run, the name of pretrained weights, or a model file.
    patches : str or None
        A source of patches; those that the model was trained on are searched for neighbors.
    """

    def __init__(self, name: str, patches: str | None = None) -> None:
        self.name = name
        self._closed = threading.Event()
        self._worker: IsolatedWorker[Job, Any] = IsolatedWorker(partial(_prepare, name, patches), self._closed)
        self._thread = ThreadPoolExecutor(1, "model")

    async def ask(self, what: str, pixels: UInt8Array) -> Any:
        """Return predictions, attribution maps, features or neighbors of patches.

        Parameters
        ----------
        what : {"predict", "attribution", "features", "neighbors"}
        pixels : ndarray of uint8, shape (n, 96, 96, 3)
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, (what, pixels))

    def _call(self, job: Job) -> Any:
        try:
            return self._worker.call(job)
        except ProcessDiedError as error:
            raise ViewerError(f"the process of the model died ({error}); try again", 503) from error

    def close(self) -> None:
        """End the process."""
        self._closed.set()
        self._thread.shutdown(cancel_futures=True)
        self._worker.close()


def _prepare(name: str, source: str | None) -> Callable[[Job], Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from sentinode.inference.logits import probability
    from sentinode.training.load import load_predictor

    model = load_predictor([name])
    session = model.session()

    def predict(pixels: UInt8Array) -> dict[str, Any]:
        warnings = model.warnings(pixels) or [""] * len(pixels)
        return {
            "threshold": model.threshold,
            "probabilities": probability(session.compute(pixels)).tolist(),
            "warnings": warnings,
            "attribution": _has_network(model),
        }

    def attribution(pixels: UInt8Array) -> UInt8Array:
        from sentinode.explanation.attributions import attributions
        from sentinode.plots import attribution_overlay

        try:
            maps = attributions(model.model, pixels, "grad-cam")
        except ModelError:  # A network without a feature map.
            maps = attributions(model.model, pixels, "integrated-gradients")
        return np.stack([attribution_overlay(patch, each) for patch, each in zip(pixels, maps, strict=True)])

    def features(pixels: UInt8Array) -> Any:
        from sentinode.inference.features import embed

        return embed(model, pixels)

    jobs: dict[str, Callable[[UInt8Array], Any]] = {
        "predict": predict,
        "attribution": attribution,
        "features": features,
        "neighbors": _Trained(model, source).neighbors,
    }
    return lambda job: jobs[job[0]](job[1])


def _has_network(model: Any) -> bool:
    try:
        return model.model is not None
    except ModelError:
        return False


class _Trained:
    """Features of the patches that a model was trained on, computed when they are first needed."""

    def __init__(self, model: Any, source: str | None) -> None:
        self._model, self._source = model, source
        self._found: tuple[Any, Any] | None = None

    def neighbors(self, pixels: UInt8Array) -> list[list[dict[str, Any]]]:
        """Return for each patch the nearest training patches; see `nearest_training_patches`."""
        from sentinode.data.pixels import pixel_sha1
        from sentinode.explanation.neighbors import nearest
        from sentinode.inference.features import embed

        if self._found is None:
            self._found = self._compute()
        known, table = self._found
        if known is None:
            return [[] for _ in pixels]
        found = nearest(known, table["sha1"], embed(self._model, pixels), pixel_sha1(pixels), NEIGHBORS)
        return [
            [
                {
                    "index": int(table.index[row]),
                    "label": None if table["label"].isna().iloc[row] else int(table["label"].iloc[row]),
                    "similarity": round(float(1 / (1 + distance)), 4),
                }
                for row, distance in zip(*each, strict=True)
            ]
            for each in found
        ]

    def _compute(self) -> tuple[Any, Any]:
        """Return features and table of the searched patches; None where there are none."""
        from sentinode.data.open import open_patches
        from sentinode.explanation.neighbors import training_rows
        from sentinode.inference.features import embed

        if self._source is None or not _has_network(self._model):
            return None, None
        patches = open_patches(self._source).cached()
        rows = training_rows(self._model, patches.table["sha1"], MOST_SEARCHED)
        if len(rows) == 0:
            return None, None
        return embed(self._model, patches.select(rows)), patches.table.reset_index(drop=True).iloc[rows]
