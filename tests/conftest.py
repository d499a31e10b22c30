"""What all tests share: a cache of their own, the sample, a tiny trained run, and the real data where they are."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import sentinode  # noqa: F401  # Before any test imports Keras: it sets up TensorFlow, here as for users.

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep decoded patches out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENTINODE_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """Keep a command called within the tests' process from changing what later tests see in the log."""
    log = logging.getLogger("sentinode")
    before = log.level
    yield
    log.setLevel(before)


@pytest.fixture(scope="session")
def mini():
    """The sample that ships with the package, decoded."""
    from sentinode import open_patches

    return open_patches("pcam-mini").cached()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, mini):
    """A finished run of one epoch on a twentieth of the sample; do not write into it."""
    from sentinode import TrainConfig, build_model, train

    few = mini.select(range(0, len(mini), 20))
    return train(build_model("cnn"), few, TrainConfig(epochs=1), out=tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def other_run(tmp_path_factory, mini):
    """A second one, from other weights and on other patches; do not write into it."""
    from sentinode import TrainConfig, build_model, train

    few, out = mini.select(range(1, len(mini), 20)), tmp_path_factory.mktemp("runs") / "other"
    return train(build_model("cnn", seed=5), few, TrainConfig(epochs=1), out=out)


@pytest.fixture(scope="session")
def devices_runs(tmp_path_factory):
    """The same training on one and on four devices, on JAX in a process of its own."""
    from tests.jobs import Job

    from sentinode import load_run

    folder = tmp_path_factory.mktemp("devices")
    [(status, said)] = Job({"1": [folder / "1"], "all": [folder / "4"]}, virtual=4).end()
    assert status == 0, said
    return {devices: load_run(folder / str(devices)) for devices in (1, 4)}


@pytest.fixture(scope="session")
def pcam_small() -> Path:
    """23,000 real patches, where they are."""
    return _real("pcam-small.zip")


@pytest.fixture(scope="session")
def kaggle_mini() -> Path:
    """618 real files of Kaggle's layout, where they are."""
    return _real("kaggle-mini.zip")


def _real(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not here")
    return path
