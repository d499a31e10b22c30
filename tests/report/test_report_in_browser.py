"""The report in a browser: it says what the evaluation says, and can be used by mouse, keyboard and screen reader."""

import csv
import io
import re

import numpy as np
import pytest
from tests.report.conftest import HOSTILE
from tests.report.pages import DESKTOP, PHONE, opened, violations

from sentinode.metrics import operating_point

CELLS = {"tp": "true_positives", "fp": "false_positives", "tn": "true_negatives", "fn": "false_negatives"}
NAMES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
NAMES += ("positive_likelihood_ratio", "negative_likelihood_ratio")


@pytest.fixture(scope="module")
def evaluation(report_data):
    return report_data.evaluation


def shows(page, evaluation, name):
    """Check that the page shows the metrics of a named threshold."""
    point = evaluation.operating_points[name]
    for cell, key in CELLS.items():
        assert page.inner_text(f"#{cell}") == f"{getattr(point.counts, key):,}"
    for key in NAMES:
        interval = getattr(point, key)
        same(page.inner_text(f"#{key}"), interval.estimate if interval else None)
    same(page.inner_text("#threshold"), point.threshold, 0.5e-4)


def same(text, value, tolerance=0.5e-3):
    if value is None or np.isinf(value):
        assert text in ("–", "∞")
    else:
        assert float(text) == pytest.approx(value, abs=tolerance + 1e-9)


@pytest.mark.parametrize("scripts", [True, False])
def test_it_opens_with_the_results_of_the_evaluation(browser, report, evaluation, scripts):
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    page.goto(report.as_uri())
    shows(page, evaluation, "validation")
    tiles = page.locator(".tiles dd").all_inner_texts()
    same(tiles[0].split()[0], evaluation.auc)
    common = evaluation.operating_point.at_prevalence[0]
    assert common.prevalence == 0.05
    same(page.inner_text("#ppv-there"), common.ppv.estimate)
    same(page.inner_text("#npv-there"), common.npv.estimate)
    context.close()


def test_every_operating_point_is_in_the_table_with_its_limits(browser, report, evaluation):
    with opened(browser, report) as page:
        rows = page.locator('table[data-name="operating-points"] tbody tr').all()
        cells = {name: texts for name, *texts in (row.locator("td").all_inner_texts() for row in rows)}
    points = evaluation.operating_points
    points = list({"validation": points["validation"], **points}.values())
    names = {"Sensitivity": "sensitivity", "Specificity": "specificity", "PPV": "ppv", "NPV": "npv", "F1": "f1"}
    names |= {"Accuracy": "accuracy", "MCC": "mcc", "LR+": "positive_likelihood_ratio"}
    for name, key in {**names, "LR−": "negative_likelihood_ratio"}.items():
        for text, point in zip(cells[name], points, strict=True):
            has_limits(text, getattr(point, key))
    for prevalence, shown in ((0.02, "2"), (0.05, "5")):
        for key in ("ppv", "npv"):
            for text, point in zip(cells[f"{key.upper()} at {shown}\xa0% prevalence"], points, strict=True):
                found = [getattr(each, key) for each in point.at_prevalence if each.prevalence == prevalence]
                has_limits(text, found[0] if found else None)


def has_limits(text, interval):
    """Check an estimate with its limits; a metric that is not defined is a dash."""
    if interval is None:
        assert text == "–"
        return
    found = re.fullmatch(r"(\S+) (-?[\d.]+)(?:–| to )(\S+)", text)
    for part, end in zip(found.groups(), ("estimate", "low", "high"), strict=True):
        same(part, getattr(interval, end))


def test_a_table_can_be_downloaded_as_csv_and_copied_as_latex(browser, report, evaluation):
    with opened(browser, report) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        tools = page.locator('.wide:has(table[data-name="operating-points"]) + .tools')
        with page.expect_download() as download:
            tools.locator("button", has_text="CSV").click()
        assert download.value.suggested_filename == "operating-points.csv"
        rows = list(csv.reader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
        tools.locator("button", has_text="LaTeX").click()
        tools.locator("button", has_text="✓").nth(1).wait_for()
        latex = page.evaluate("navigator.clipboard.readText()")
    sensitivity = evaluation.operating_point.sensitivity
    assert rows[0][2:4] == [f"{rows[0][1]} low", f"{rows[0][1]} high"]
    numbers = [f"{each:.3f}" for each in (sensitivity.estimate, sensitivity.low, sensitivity.high)]
    assert rows[1][:4] == ["Sensitivity", *numbers]
    assert latex.startswith("\\begin{tabular}{lrrrr}\n\\toprule\nmetric & the run's own (")
    assert f"Sensitivity & {sensitivity.estimate:.3f} ({sensitivity.low:.3f}--{sensitivity.high:.3f}) &" in latex
    assert "PPV at 5\xa0\\% prevalence" in latex and "$\\geq$" in latex


def test_what_javascript_computes_is_what_python_computes(browser, report, evaluation):
    table = evaluation.predictions.table
    labels, probabilities = table["label"].to_numpy(int), table["probability"].to_numpy()
    with opened(browser, report) as page:
        thresholds = page.evaluate("table.thresholds")
        found = page.evaluate(
            "table.thresholds.map((threshold, index) => { const at = measure(index); "
            "return {...at, there: predictive(at, 0.02), index: indexOf(threshold)}; })"
        )
    assert set(thresholds) == set(probabilities) | {each.threshold for each in evaluation.operating_points.values()}
    for index, (threshold, at) in enumerate(zip(thresholds, found, strict=True)):
        assert at["index"] == index
        if index % 11 and index not in (0, len(thresholds) - 1):
            continue
        expected = operating_point(labels, probabilities, threshold, prevalences=[0.02])
        assert [at[cell] for cell in CELLS] == [getattr(expected.counts, key) for key in CELLS.values()]
        for key in NAMES:
            value = getattr(expected, key)
            if value is None or not np.isfinite(value.estimate):
                assert at[key] in (None, float("inf"))
            else:
                assert at[key] == pytest.approx(value.estimate, rel=1e-12)
        if expected.at_prevalence:
            assert at["there"]["ppv"] == pytest.approx(expected.at_prevalence[0].ppv.estimate, rel=1e-9)
            assert at["there"]["npv"] == pytest.approx(expected.at_prevalence[0].npv.estimate, rel=1e-9)


def test_the_slider_moves_by_mouse_and_by_keys(browser, report, patches):
    tumour = int(patches.labels.sum())

    def now(page):
        threshold = page.evaluate("table.thresholds[current]")
        shown = {cell: int(page.inner_text(f"#{cell}").replace(",", "")) for cell in CELLS}
        same(page.inner_text("#threshold"), threshold, 0.5e-4)
        assert shown == {cell: page.evaluate(f"measure(current).{cell}") for cell in CELLS}
        assert (shown["tp"] + shown["fn"], shown["fp"] + shown["tn"]) == (tumour, len(patches) - tumour)
        return shown

    with opened(browser, report) as page:
        before = now(page)
        slider = page.locator("#slider")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        thumb = box["x"] + 10 + page.evaluate("sliderPosition(table.thresholds[current])") * (box["width"] - 20)
        page.mouse.move(thumb, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 2, middle, steps=5)
        page.mouse.up()
        lowest = now(page)
        assert lowest["tp"] == tumour and lowest != before
        slider.focus()
        page.keyboard.press("End")
        highest = now(page)
        assert highest["tp"] + highest["fp"] <= 1
        page.keyboard.press("Home")
        assert now(page) == lowest
        page.keyboard.press("PageUp")
        page.keyboard.press("ArrowRight")
        assert now(page)["fp"] < lowest["fp"]
        assert "sensitivity" in slider.get_attribute("aria-valuetext")


def test_arrow_keys_go_through_every_threshold(browser, report):
    with opened(browser, report) as page:
        page.locator("#slider").focus()
        page.keyboard.press("Home")
        indices = [page.evaluate("current")]
        for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft"):
            page.keyboard.press(key)
            indices.append(page.evaluate("current"))
        assert np.diff(indices).tolist() == [-1, -1, -1, 1]
        page.keyboard.press("Home")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("current") == page.evaluate("last")


def test_a_named_threshold_is_exact(browser, report, evaluation):
    with opened(browser, report) as page:
        for name in evaluation.operating_points:
            button = page.locator(f'[data-point="{name}"]')
            button.focus()
            page.keyboard.press("Enter")
            assert button.get_attribute("aria-pressed") == "true"
            shows(page, evaluation, name)


def test_the_roc_curve_is_explored_by_pointer_and_by_keys(browser, report):
    def tip(page):
        names, values = (page.locator(f"#roc-tip {kind}").all_inner_texts() for kind in ("span", "b"))
        return dict(zip(names, values, strict=True))

    with opened(browser, report) as page:
        plot = page.locator("#roc")
        plot.scroll_into_view_if_needed()
        box = plot.locator("svg").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
        index = page.evaluate("previewed")
        shown, at = tip(page), page.evaluate("measure(previewed)")
        assert (shown["true positives"], shown["false positives"]) == (str(at["tp"]), str(at["fp"]))
        same(shown["sensitivity"], at["sensitivity"])
        page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
        assert page.evaluate("current") == index
        page.mouse.move(0, 0)
        assert page.locator("#roc-tip").is_hidden()
        page.locator("h1").click()
        plot.focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("previewed") == index + 1 and page.evaluate("current") == index
        assert tip(page)["threshold"] in plot.get_attribute("aria-valuetext")
        page.keyboard.press("Enter")
        assert page.evaluate("current") == index + 1


def test_the_reader_types_a_prevalence(browser, report, evaluation):
    at = {each.prevalence: each for each in evaluation.operating_point.at_prevalence}
    with opened(browser, report) as page:
        page.fill("#prevalence", "2")
        same(page.inner_text("#ppv-there"), at[0.02].ppv.estimate)
        same(page.inner_text("#npv-there"), at[0.02].npv.estimate)
        for wrong in ("0", "100", "-3", ""):
            page.fill("#prevalence", wrong)
            assert page.inner_text("#ppv-there") == "–"
            assert page.locator("#prevalence-wrong").is_visible()
        page.fill("#prevalence", "2.5")
        assert page.locator("#prevalence-wrong").is_hidden()


def test_the_gallery_filters_sorts_and_enlarges(browser, report):
    with opened(browser, report) as page:
        shown = "[...document.querySelectorAll('#patches figure:not([hidden])')].map(each => ({...each.dataset}))"
        assert {each["outcome"] for each in page.evaluate(shown)} <= {"false negative", "false positive"}
        for outcome in ("false negative", "false positive", "true positive", "true negative", "all"):
            page.locator(f"[name=outcome][value='{outcome}']").focus()
            page.keyboard.press("Space")
            found = page.evaluate(shown)
            assert outcome == "all" or {each["outcome"] for each in found} <= {outcome}
        confidence = [float(each["confidence"]) for each in found]
        assert len(found) > 10 and confidence == sorted(confidence, reverse=True)
        page.select_option("#order", "least")
        assert [float(each["confidence"]) for each in page.evaluate(shown)] == sorted(confidence)
        page.locator("#patches .thumb").first.focus()
        page.keyboard.press("Enter")
        assert HOSTILE in page.locator("#large p").inner_text()
        page.keyboard.press("Escape")
        assert page.locator("#large").is_hidden()


def test_attribution_overlays_are_shown_on_request(browser, report):
    with opened(browser, report) as page:
        over = page.locator("#patches figure:not([hidden]) .over")
        assert not over.first.is_visible()
        page.locator("#overlay").check()
        assert over.first.is_visible()
        assert page.locator("#explained").inner_text() == "Made up."
        page.locator("#patches figure:not([hidden]) .thumb").first.click()
        assert page.locator("#large .over").is_visible()


def test_hostile_names_are_escaped(browser, report):
    with opened(browser, report) as page:
        assert page.evaluate("typeof window.hacked") == "undefined"
        assert page.locator("img[src=x]").count() == 0
        assert HOSTILE in page.locator("#s-groups").inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_it_is_accessible_and_fits(browser, report, width, scheme):
    with opened(browser, report, width, scheme) as page:
        page.locator("[name=outcome][value=all]").focus()
        page.keyboard.press("Space")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
