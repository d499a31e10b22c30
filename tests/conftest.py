"""Fixtures for all tests: a cache of their own, the sample, trained runs, and extra data from SENTINODE_TEST_DATA."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tests.once import made_once

import sentinode  # noqa: F401  # Sets up TensorFlow, so it must come before any test imports Keras.

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A busy machine is no reason to fail.
settings.register_profile("busy", deadline=None, max_examples=50)
settings.load_profile("busy")

# Examples that write a whole report, start a backend in a process of its own, or train several networks.
SLOW_EXAMPLES = (
    "sentinode.report.report.write_report",
    "sentinode.doctor.diagnose",
    "sentinode.explanation.explain.explain",
    "sentinode.auditing.audit.audit",
)
# To build one takes seconds. The other networks and sizes are tested by `make test`.
LARGE_NETWORKS = re.compile(r"transfer|resnet18|p4m-densenet|Xception|'[ml]', '|\[[ml]\]")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests with a browser or a large network as slow, and the examples that take long."""
    for item in items:
        has_browser = "browser" in getattr(item, "fixturenames", ())
        if has_browser or item.name in SLOW_EXAMPLES or LARGE_NETWORKS.search(item.name):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all worker processes of one test session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(shared_folder: Path) -> Iterator[Path]:
    """Keep decoded patches out of the user's cache."""
    folder = shared_folder / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENTINODE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A headless browser with a new, empty profile: Debian's Chromium, without a network."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        reason = f"no browser is installed ({', '.join(BROWSERS)}); on Debian: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    # Closed with the module: while it runs no other event loop can.
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="session")
def mini():
    """The decoded sample that ships with the package."""
    from sentinode import open_patches

    return open_patches("pcam-mini").cached()


@pytest.fixture(scope="session")
def tiny_run(shared_folder, mini):
    """A run of one epoch on a twentieth of the sample; tests do not write into it."""
    from sentinode import TrainConfig, build_model, load_run, train

    def tiny(out: Path) -> None:
        train(build_model("cnn"), mini.select(range(0, len(mini), 20)), TrainConfig(epochs=1), out=out)

    return load_run(made_once(shared_folder / "tiny", tiny))


@pytest.fixture(scope="session")
def other_run(shared_folder, mini):
    """A second run with other weights and other patches; tests do not write into it."""
    from sentinode import TrainConfig, build_model, load_run, train

    def other(out: Path) -> None:
        train(build_model("cnn", seed=5), mini.select(range(1, len(mini), 20)), TrainConfig(epochs=1), out=out)

    return load_run(made_once(shared_folder / "other", other))


@pytest.fixture(scope="session")
def devices_runs(shared_folder):
    """The same training on one and on four devices, on JAX in a process of its own."""
    from tests.jobs import Job

    from sentinode import load_run

    def both(_: Path) -> None:
        [(status, output)] = Job({"1": [shared_folder / "one"], "all": [shared_folder / "four"]}, virtual=4).end()
        assert status == 0, output

    made_once(shared_folder / "four", both)
    return {1: load_run(shared_folder / "one"), 4: load_run(shared_folder / "four")}


@pytest.fixture(scope="session")
def pcam_small() -> Path:
    """23,000 real patches, not part of the repository."""
    return real_data("pcam-small.zip")


@pytest.fixture(scope="session")
def kaggle_mini() -> Path:
    """618 real files in Kaggle's layout, not part of the repository."""
    return real_data("kaggle-mini.zip")


def real_data(name: str) -> Path:
    """Return a file of the folder that SENTINODE_TEST_DATA names; skip the test where there is none."""
    path = Path(os.environ.get("SENTINODE_TEST_DATA", "")) / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the folder SENTINODE_TEST_DATA")
    return path
