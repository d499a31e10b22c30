"""The benchmark for a user's copy of CAMELYON16, on two synthetic slides in its layout."""

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.slides.conftest import MARGIN_PX, mosaic, slide_file, write_pyramid  # noqa: F401

pytest.importorskip("shapely")

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "camelyon16.py"
XML = """<ASAP_Annotations><Annotations><Annotation Name="a" Type="Polygon" PartOfGroup="_0"><Coordinates>
{}</Coordinates></Annotation></Annotations></ASAP_Annotations>"""


@pytest.mark.slow
def test_scores_are_those_of_the_lesions_that_are_drawn(slide_file, mosaic, tmp_path, monkeypatch, capfd):  # noqa: F811
    slides, annotations = tmp_path / "images", tmp_path / "annotations"
    slides.mkdir()
    annotations.mkdir()
    shutil.copy(slide_file, slides / "test_001.tif")
    low, high = MARGIN_PX + 3 * 96, MARGIN_PX + 7 * 96
    normal = mosaic.copy()
    normal[low:high, low:high] = np.tile(mosaic[MARGIN_PX : MARGIN_PX + 192, MARGIN_PX : MARGIN_PX + 192], (2, 2, 1))
    write_pyramid(slides / "test_002.tif", normal)
    corners = [(low, low), (high, low), (high, high), (low, high)]
    points = "\n".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(corners))
    (annotations / "test_001.xml").write_text(XML.format(points))
    words = [str(slides), str(annotations), "--out", str(tmp_path / "scans"), "--step", "32"]
    monkeypatch.setattr(sys, "argv", ["camelyon16.py", *words])
    runpy.run_path(str(BENCHMARK))["main"]()
    printed = capfd.readouterr().out
    assert "2 slides, 1 with tumour" in printed
    assert "FROC, script of data: 1.0000" in printed, printed
    assert "FROC, script of 2016" in printed
    assert "AUC of the slide score: 1.0000" in printed
    assert "mm²/s" in printed
