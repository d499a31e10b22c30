"""A run with results to report on."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from sentinode import evaluate, load_run, stress
from sentinode.report.attribution_overlays import AttributionOverlays
from sentinode.report.data import load_report_data
from sentinode.report.report import write_report_page

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="session")
def run(tiny_run, tmp_path_factory):
    return load_run(shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("reported") / "run"))


@pytest.fixture(scope="session")
def patches(mini):
    """Labeled patches whose names, slides and centres would be markup if they were not escaped."""
    few = mini.split("test").select(range(0, 400, 2))
    rows = np.arange(len(few))
    known = {"slide": [f"slide {row % 9}" for row in rows], "centre": [f"{HOSTILE} {row % 3}" for row in rows]}
    return replace(few, table=few.table.assign(id=[f"{HOSTILE}{row}" for row in rows], **known))


@pytest.fixture(scope="session")
def report_data(run, patches):
    folder = run.path / "evaluations"
    options = {"points": ["sensitivity>=0.9", 0.3], "prevalences": [0.05, 0.02]}
    evaluate(run, patches, out=folder / "test", **options)
    stress(run, patches, quick=True, out=folder / "stress-test-quick")
    return load_report_data(run, patches)


@pytest.fixture(scope="session")
def report(report_data, tmp_path_factory):
    """The page of a report with made-up attribution overlays."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    overlay = np.full((96, 96, 3), 200, np.uint8)
    write_report_page(report_data, path, lambda pixels: AttributionOverlays([overlay] * len(pixels), "Made up."))
    return path
