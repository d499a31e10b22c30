"""The process of the model, without a server."""

import asyncio

import numpy as np
import pytest

from sentinode.viewer.model import ModelWorker


@pytest.mark.slow
def test_neighbors_are_other_training_patches_each_once(mini, tiny_run, tmp_path):
    trained = mini.select(np.flatnonzero(tiny_run.trained_on(mini.table["sha1"]))[:8]).read()
    np.save(tmp_path / "patches.npy", np.concatenate([trained, trained]))
    worker = ModelWorker(str(tiny_run.path), str(tmp_path / "patches.npy"))
    try:
        [found] = asyncio.run(worker.ask("neighbors", trained[:1]))
    finally:
        worker.close()
    indices = [each["index"] for each in found]
    assert len(set(indices)) == 5 and set(indices) <= set(range(1, 8))
