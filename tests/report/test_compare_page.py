"""The page of a comparison in a browser."""

import re
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest
from tests.report.pages import DESKTOP, PHONE, opened, violations
from tests.report.test_data_page import Checked

from sentinode import compare, open_patches
from sentinode.cli.main import build_parser
from sentinode.evaluation.candidates import open_candidates
from sentinode.report.compare_page import sensitivity_at, write_compare_page


@pytest.fixture(scope="module")
def compared(tiny_run, other_run, mini, tmp_path_factory):
    few = mini.split("test").select(range(0, 400, 4))
    out = tmp_path_factory.mktemp("compared")
    theirs = out / "theirs.csv"
    guess = np.random.default_rng(0).uniform(size=len(few))
    pd.DataFrame({"id": few.table["id"], "probability": guess}).to_csv(theirs, index=False)
    models = [tiny_run, f"<b>seeds={tiny_run.path},{other_run.path}", f"theirs={theirs}"]
    found = compare(models, few, out=out)
    write_compare_page(found, out / "compare.html")
    return found, out / "compare.html"


def test_the_line_moves_and_every_model_says_its_sensitivity(browser, compared):
    found, path = compared
    with opened(browser, path) as page:
        for key in (None, "ArrowRight", "PageUp", "Home", "End"):
            if key:
                page.locator("#slider").focus()
                page.keyboard.press(key)
            rate = 1 - float(page.inner_text("#specificity"))
            for number, model in enumerate(found.models):
                shown = float(page.inner_text(f'[data-model="{number}"]'))
                assert shown == pytest.approx(sensitivity_at(model, rate), abs=0.5e-3 + 1e-9)
        computed = page.evaluate("[...Array(1001).keys()].map(rate => sensitivityAt(1, rate / 1000))")
    assert computed == pytest.approx([sensitivity_at(found.models[1], rate / 1000) for rate in range(1001)], rel=1e-12)


def test_the_tables_hold_what_was_compared(browser, compared):
    found, path = compared
    with opened(browser, path) as page:
        rows = page.locator("#s-results tbody tr").all_inner_texts()
        pairs = page.locator("#s-differences tbody tr").all_inner_texts()
        assert page.locator("main svg text", has_text="<b>seeds").count() >= 1
    for row, model in zip(rows, found.models, strict=True):
        assert row.startswith(model.name) and f"{model.auc.estimate:.3f}"[:4] in row
    assert len(pairs) == len(found.pairs) == 3


def test_every_figure_fits_on_a_phone(browser, compared):
    path = compared[1]
    with opened(browser, path, PHONE) as page:
        plots = page.locator(".panels .plot")
        assert plots.count() >= 6
        boxes = [plots.nth(number).bounding_box() for number in range(plots.count())]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= PHONE for box in boxes)


def test_optimistic_bias_is_reported(tiny_run, tmp_path):
    own = open_patches("pcam-mini").cached()
    own = own.select(range(0, len(own), 20))
    write_compare_page(compare([tiny_run, "d4net-m"], own, "valid"), tmp_path / "compare.html")
    text = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "to choose the threshold and best epoch of tiny; its results have an optimistic bias." in text


def test_the_page_has_every_section_of_a_report_and_no_absolute_folder(compared):
    path = compared[1]
    text = path.read_text(encoding="utf-8")
    parsed = Checked(text)
    assert all(each.startswith("#") for each in parsed.refers)
    for heading in ("ROC curves", "Differences", "Operating points", "Precision, calibration, decisions", "Subgroups"):
        assert f"<h2>{heading}</h2>" in text
    assert text.count("<b>seeds") == 0 and "&lt;b&gt;seeds" in text
    assert "matched to the patches by id" in text
    assert str(path.parent) not in text


def test_the_command_has_all_options_that_change_the_results(tiny_run, other_run, tmp_path):
    patches = open_patches("pcam-mini", gray="rgb")
    patches = patches.select(range(0, len(patches), 20))
    for run in (tiny_run, other_run):
        shutil.copy(run.path / "model.keras", tmp_path / f"{run.name}.keras")
    candidates = open_candidates(sorted(tmp_path.iterdir()), input_scale="1", model_output="probability")
    found = compare(candidates, patches, "test", point="youden", point_split="valid")
    write_compare_page(found, tmp_path / "compare.html")
    [command] = re.findall(r"<code>(sentinode compare .*?)</code>", (tmp_path / "compare.html").read_text("utf-8"))
    assert build_parser().parse_args(shlex.split(command)[1:])
    for words in ("compare pcam-mini --gray rgb", "--split test", "--point youden --point-split valid"):
        assert words in command
    assert command.endswith("--input-scale 1 --model-output probability")


@pytest.mark.parametrize(("width", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_it_is_accessible_and_fits(browser, compared, width, scheme):
    with opened(browser, compared[1], width, scheme) as page:
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
