"""Fixtures of the viewer: a slide with a dark lesion, its scan without a network, and a running server."""

import re
import shutil

import numpy as np
import pytest
from tests.slides.conftest import GLASS, mosaic, slide_file, write_pyramid  # noqa: F401
from tests.viewer.pages import DESKTOP, annotations
from tests.viewer.serving import LocalServer

from sentinode.slides.scanning.folder import scan_to_folder
from sentinode.slides.scanning.scanner import Scanner
from sentinode.slides.slide import open_slide

SIDE_PX, TISSUE, LESION = 1300, (200, 1100), (500, 750)


class DarkIsTumour:
    """A model whose log-odds grow with darkness, for tests that need no network."""

    name, threshold, identity = "dark", 0.5, {"weights_sha256": "0" * 64}

    def warnings(self, pixels):
        return None


def darkness(pixels, wanted):
    """Compute the log-odds of all patches of a block."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels[..., 1], (96, 96))[::8, ::8, 32:64:8, 32:64:8]
    return ((150 - windows.mean(axis=(2, 3))) / 8).astype(np.float32)


@pytest.fixture(scope="session")
def view_slide(tmp_path_factory):
    """Pink tissue with a dark square on glass at 0.972 µm/px."""
    rng = np.random.default_rng(0)
    pixels = np.full((SIDE_PX, SIDE_PX, 3), GLASS, np.uint8)
    for (start, end), color in ((TISSUE, (220, 170, 200)), (LESION, (120, 70, 140))):
        pixels[start:end, start:end] = color
    noise = rng.integers(-12, 12, (SIDE_PX // 4, SIDE_PX // 4, 1)).repeat(4, 0).repeat(4, 1)
    pixels = np.clip(pixels.astype(int) + noise, 0, 254).astype(np.uint8)
    return write_pyramid(tmp_path_factory.mktemp("viewed") / "secretname.tif", pixels)


@pytest.fixture(scope="session")
def results(view_slide, tmp_path_factory):
    out = tmp_path_factory.mktemp("view") / "results"
    with open_slide(view_slide) as slide:
        scan_to_folder(slide, Scanner(DarkIsTumour(), 8, "patches", darkness), out / view_slide.stem)
    return out


@pytest.fixture(scope="session")
def server(view_slide, results):
    with LocalServer([view_slide, results], results) as running:
        yield running


@pytest.fixture(scope="session")
def page_server(view_slide, results, tmp_path_factory):
    """A viewer of two slides, one of them scanned."""
    folder = tmp_path_factory.mktemp("page")
    other = shutil.copy(view_slide, folder / "other.tif")
    copied = shutil.copytree(results, folder / "results")
    with LocalServer([view_slide, other, copied], copied, show_names=True, user="ada") as running:
        yield running


@pytest.fixture
def visit(browser, page_server):
    """Open the page in a window of its own; fail in the end if it logged an error that was not expected."""
    contexts, wrong = [], []

    def open_page(address="", expected="", before=None, server=page_server, **options):
        context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        failed = lambda text: wrong.append(text) if not expected or not re.search(expected, text) else None  # noqa: E731
        page.on("console", lambda message: failed(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: failed(str(error)))
        if before:
            before(page)
        page.goto(f"{server.address}/?token={server.token}{address}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def slide(page_server):
    """The address of the scanned slide, whose annotations are deleted first."""
    found = next(each for each in page_server.get("/api/slides")["slides"] if each["state"] == "done")
    for feature in annotations(page_server, found["id"]):
        version = feature["properties"]["sentinode"]["version"]
        path = f"/api/slides/{found['id']}/annotations/{feature['id']}?base_version={version}"
        assert page_server.request(path, method="DELETE")[0] == 200
    return f"#/slide/{found['id']}"
