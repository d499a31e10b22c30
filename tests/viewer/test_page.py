"""The files of the viewer's page: vendored library, modules, policy, colors, pictures in the documentation."""

import hashlib
import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

VIEWER = Path(__file__).parents[2] / "src" / "sentinode" / "viewer"
STATIC = VIEWER / "static"
VENDORED = STATIC / "vendor" / "openseadragon"
MODULES = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)


def test_the_vendored_library_is_the_one_whose_checksum_and_license_are_recorded():
    source = json.loads((VENDORED / "SOURCE.json").read_text())
    assert {path.name for path in VENDORED.iterdir()} == {*source["files"], "SOURCE.json"}
    for name, expected in source["files"].items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == expected["sha256"]
    assert f"openseadragon {source['version']}" in (VENDORED / "openseadragon.min.js").read_text()[:200]
    assert "Redistribution and use" in (VENDORED / "LICENSE.txt").read_text()
    assert sum(path.stat().st_size for path in VENDORED.iterdir()) < 600_000


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_module_imports_only_what_others_export(module):
    for names, target in re.findall(r'^import (.+?) from "(.+?)";', module.read_text(), re.MULTILINE):
        imported = (module.parent / target).resolve()
        assert imported.is_file()
        if names.startswith("{"):
            exported = re.findall(
                r"^export (?:async )?(?:function|class|const) (\w+)", imported.read_text(), re.MULTILINE
            )
            assert {name.strip() for name in names.strip("{ }").split(",")} <= set(exported)


def test_every_module_is_used():
    reached, left = set(), [STATIC / "app.js"]
    while left:
        module = left.pop()
        reached.add(module)
        targets = re.findall(r'from "(.+?)";', module.read_text())
        left += [path for each in targets if (path := (module.parent / each).resolve()) not in reached]
    assert reached == set(MODULES)


def test_the_page_has_neither_inline_script_nor_style_nor_addresses_of_other_sites():
    page = (VIEWER / "index.html.j2").read_text()
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for file in [VIEWER / "index.html.j2", *MODULES, *STATIC.glob("*.css")]:
        assert set(re.findall(r"https?://[\w.]+", file.read_text())) <= {"http://www.w3.org"}
    for name in re.findall(r'(?:src|href)="static/(.+?)"', page):
        assert (STATIC / name).is_file()


@pytest.mark.parametrize("name", ["viridis", "cividis", "magma"])
def test_color_maps_are_those_of_matplotlib(name):
    text = re.search(rf'{name}:\s+"(.+?)"', (STATIC / "slide" / "colormaps.js").read_text()).group(1)
    colors = np.array([[int(color[at : at + 2], 16) for at in (0, 2, 4)] for color in text.split()])
    places = np.linspace(0, 1, 256)
    known = matplotlib.colormaps[name](places)[:, :3] * 255
    drawn = np.column_stack([np.interp(places, np.linspace(0, 1, len(colors)), channel) for channel in colors.T])
    assert np.abs(drawn - known).max() < 6


def test_the_pictures_of_the_walk_through_exist_and_are_small():
    docs = VIEWER.parents[2] / "docs"
    pictures = re.findall(r"\((images/viewer[\w-]*\.webp)\)", (docs / "viewer.md").read_text())
    assert pictures
    assert sum((docs / name).stat().st_size for name in pictures) < 500_000
    assert {f"images/{path.name}" for path in (docs / "images").glob("viewer*.webp")} == set(pictures)
