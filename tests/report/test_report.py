"""The report in a browser: it needs nothing, says what metrics.json says, and can be used by mouse, keys and reader."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.report.pages import DESKTOP, PHONE, opened, violations

from sentinode import evaluate, load_run, stress, write_report
from sentinode.metrics import operating_point
from sentinode.report.attribution_overlays import AttributionOverlays
from sentinode.report.data import gather
from sentinode.report.page import data_uri
from sentinode.report.report import write_facts

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
CELLS = {"tp": "true_positives", "fp": "false_positives", "tn": "true_negatives", "fn": "false_negatives"}
NAMES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
NAMES += ("positive_likelihood_ratio", "negative_likelihood_ratio")


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    return load_run(shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("reported") / "run"))


@pytest.fixture(scope="module")
def patches(mini):
    """Labelled patches with names, slides and centres that would like to be more than text."""
    few = mini.split("test").select(range(0, 400, 2))
    rows = np.arange(len(few))
    known = {"slide": [f"slide {row % 9}" for row in rows], "centre": [f"{HOSTILE} {row % 3}" for row in rows]}
    return replace(few, table=few.table.assign(id=[f"{HOSTILE}{row}" for row in rows], **known))


@pytest.fixture(scope="module")
def report(run, patches):
    evaluations = run.path / "evaluations"
    points = ["sensitivity>=0.9", 0.3]
    evaluate(run, patches, points=points, prevalences=[0.05, 0.02], out=evaluations / "test")
    stress(run, patches, quick=True, out=evaluations / "stress-test-quick")
    return write_report(run, patches, model_card=True)[0]


@pytest.fixture(scope="module")
def metrics(report, run):
    return json.loads(next(run.path.glob("evaluations/test*/metrics.json")).read_text(encoding="utf-8"))


def shows(page, metrics, name):
    """Check that the page shows the figures of a named threshold."""
    point = metrics["operating_points"][name]
    for cell, key in CELLS.items():
        assert page.inner_text(f"#{cell}") == f"{point['counts'][key]:,}"
    for key in NAMES:
        same(page.inner_text(f"#{key}"), point[key]["estimate"] if point[key] else None)
    same(page.inner_text("#threshold"), point["threshold"], 0.5e-4)


def same(text, value, tolerance=0.5e-3):
    if value is None:
        assert text in ("–", "∞")
    else:
        assert float(text) == pytest.approx(value, abs=tolerance + 1e-9)


@pytest.mark.parametrize("scripts", [True, False])
def test_it_opens_with_the_figures_of_metrics_json(browser, report, metrics, scripts):
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    page.goto(report.as_uri())
    shows(page, metrics, "validation")
    tiles = page.locator(".tiles dd").all_inner_texts()
    same(tiles[0].split()[0], metrics["auc"])
    prevalent = metrics["operating_points"]["validation"]["at_prevalence"][0]
    assert prevalent["prevalence"] == 0.05
    same(page.inner_text("#ppv-there"), prevalent["ppv"]["estimate"])
    same(page.inner_text("#npv-there"), prevalent["npv"]["estimate"])
    context.close()


def test_every_operating_point_is_in_the_table_with_its_limits(browser, report, metrics):
    with opened(browser, report) as page:
        rows = page.locator("#points + .wide tbody tr").all()
        cells = [row.locator("td").all_inner_texts() for row in rows]
    first = {name: texts for name, *texts in cells}
    points = metrics["operating_points"]
    own_first = {"validation": points["validation"], **points}
    names = {"Sensitivity": "sensitivity", "Specificity": "specificity", "PPV": "ppv", "NPV": "npv", "F1": "f1"}
    names |= {"Accuracy": "accuracy", "MCC": "mcc", "LR+": "positive_likelihood_ratio"}
    for name, key in {**names, "LR−": "negative_likelihood_ratio"}.items():
        for text, point in zip(first[name], own_first.values(), strict=True):
            with_its_limits(text, point[key])
    for prevalence in (0.02, 0.05):
        for key in ("ppv", "npv"):
            texts = first[f"{key.upper()} where {prevalence:.0%} are tumour".replace("%", " %")]
            for text, point in zip(texts, own_first.values(), strict=True):
                there = [each[key] for each in point["at_prevalence"] if each["prevalence"] == prevalence]
                with_its_limits(text, there[0] if there else None)


def test_ranking_and_calibration_stand_below_their_curves(browser, report, metrics):
    with opened(browser, report) as page:
        text = page.inner_text("#s-curves")
    with_its_limits(text.split("Average precision ")[1].split(". ")[0], metrics["ranking"]["average_precision"])
    error = metrics["calibration"]["error"]
    found = re.search(r"Calibration error ([\d.]+); 95 % of probabilities that are right stay below ([\d.]+)\.", text)
    same(found[1], error["estimate"])
    same(found[2], error["q95_if_calibrated"])


def with_its_limits(text, interval):
    """An estimate, and its limits behind it; what is not defined is a dash."""
    if interval is None:
        assert text == "–"
        return
    found = re.fullmatch(r"(\S+) (-?[\d.]+)(?:–| to )(\S+)", text)
    for part, end in zip(found.groups(), ("estimate", "low", "high"), strict=True):
        same(part, interval[end])


def test_what_javascript_computes_is_what_python_computes(browser, report, run, metrics):
    from sentinode.inference.predictions import Predictions

    table = Predictions.read(next(run.path.glob("evaluations/test*/predictions.csv"))).table
    labels, probabilities = table["label"].to_numpy(int), table["probability"].to_numpy()
    with opened(browser, report) as page:
        thresholds = page.evaluate("steps.thresholds")
        found = page.evaluate(
            "steps.thresholds.map((_, place) => { const at = measure(place); "
            "return {...at, there: predictive(at, 0.02), place: placeOf(steps.thresholds[place])}; })"
        )
    assert set(thresholds) == set(probabilities) | {each["threshold"] for each in metrics["operating_points"].values()}
    for place, (threshold, at) in enumerate(zip(thresholds, found, strict=True)):
        assert at["place"] == place
        if place % 11 and place not in (0, len(thresholds) - 1):
            continue
        right = operating_point(labels, probabilities, threshold, prevalences=[0.02])
        assert [at[cell] for cell in CELLS] == [getattr(right.point, key) for key in CELLS.values()]
        for key in NAMES:
            value = getattr(right, key)
            if value is None or not np.isfinite(value.estimate):
                assert at[key] in (None, float("inf"))
            else:
                assert at[key] == pytest.approx(value.estimate, rel=1e-12)
        if right.at_prevalence:
            assert at["there"]["ppv"] == pytest.approx(right.at_prevalence[0].ppv.estimate, rel=1e-9)
            assert at["there"]["npv"] == pytest.approx(right.at_prevalence[0].npv.estimate, rel=1e-9)


def test_the_slider_moves_by_mouse_and_by_keys(browser, report, patches):
    tumour = int(patches.labels.sum())

    def now(page):
        threshold = page.evaluate("steps.thresholds[now]")
        shown = {cell: int(page.inner_text(f"#{cell}").replace(",", "")) for cell in CELLS}
        same(page.inner_text("#threshold"), threshold, 0.5e-4)
        assert shown == {cell: page.evaluate(f"measure(now).{cell}") for cell in CELLS}
        assert (shown["tp"] + shown["fn"], shown["fp"] + shown["tn"]) == (tumour, len(patches) - tumour)
        return shown

    with opened(browser, report) as page:
        before = now(page)
        slider = page.locator("#slider")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        thumb = box["x"] + 10 + page.evaluate("shareOf(steps.thresholds[now])") * (box["width"] - 20)
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
        places = [page.evaluate("now")]
        for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft"):
            page.keyboard.press(key)
            places.append(page.evaluate("now"))
        assert np.diff(places).tolist() == [-1, -1, -1, 1]
        page.keyboard.press("Home")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("now") == page.evaluate("steps.thresholds.length - 1")


def test_a_named_threshold_is_taken_whole(browser, report, metrics):
    with opened(browser, report) as page:
        for name in metrics["operating_points"]:
            button = page.locator(f'[data-point="{name}"]')
            button.focus()
            page.keyboard.press("Enter")
            assert button.get_attribute("aria-pressed") == "true"
            shows(page, metrics, name)


def test_the_roc_curve_is_looked_along_by_pointer_and_by_keys(browser, report):
    def tip(page):
        names, values = (page.locator(f"#roc-tip {kind}").all_inner_texts() for kind in ("span", "b"))
        return dict(zip(names, values, strict=True))

    with opened(browser, report) as page:
        plot = page.locator("#roc")
        plot.scroll_into_view_if_needed()
        box = plot.locator("svg").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
        place = page.evaluate("looked")
        shown, at = tip(page), page.evaluate("measure(looked)")
        assert (shown["found"], shown["false alarms"]) == (str(at["tp"]), str(at["fp"]))
        same(shown["sensitivity"], at["sensitivity"])
        page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
        assert page.evaluate("now") == place
        page.mouse.move(0, 0)
        assert page.locator("#roc-tip").is_hidden()
        page.locator("h1").click()
        plot.focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("looked") == place + 1 and page.evaluate("now") == place
        assert tip(page)["threshold"] in plot.get_attribute("aria-valuetext")
        page.keyboard.press("Enter")
        assert page.evaluate("now") == place + 1


def test_the_reader_types_a_prevalence(browser, report, metrics):
    at = {each["prevalence"]: each for each in metrics["operating_points"]["validation"]["at_prevalence"]}
    with opened(browser, report) as page:
        page.fill("#prevalence", "2")
        same(page.inner_text("#ppv-there"), at[0.02]["ppv"]["estimate"])
        same(page.inner_text("#npv-there"), at[0.02]["npv"]["estimate"])
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
            page.locator(f"[name=outcome][value={outcome}]").focus()
            page.keyboard.press("Space")
            found = page.evaluate(shown)
            assert outcome == "all" or {each["outcome"] for each in found} <= {outcome}
        confidence = [float(each["sureness"]) for each in found]
        assert len(found) > 10 and confidence == sorted(confidence, reverse=True)
        page.select_option("#order", "unsure")
        assert [float(each["sureness"]) for each in page.evaluate(shown)] == sorted(confidence)
        page.locator("#patches .thumb").first.focus()
        page.keyboard.press("Enter")
        assert HOSTILE in page.locator("#large p").inner_text()
        page.keyboard.press("Escape")
        assert page.locator("#large").is_hidden()


def test_what_is_laid_over_patches_is_shown_when_asked_for(browser, run, patches, report, tmp_path):
    overlay = data_uri(np.full((96, 96, 3), 200, np.uint8))
    write_facts(
        gather(run, patches),
        tmp_path / "it.html",
        lambda pixels: AttributionOverlays([overlay] * len(pixels), "Made up."),
    )
    with opened(browser, tmp_path / "it.html") as page:
        over = page.locator("#patches figure:not([hidden]) .over")
        assert not over.first.is_visible()
        page.locator("#overlay").check()
        assert over.first.is_visible()
        assert page.locator("#looked").inner_text() == "Made up."
        page.locator("#patches figure:not([hidden]) .thumb").first.click()
        assert page.locator("#large .over").is_visible()


def test_names_stay_text(browser, report):
    with opened(browser, report) as page:
        assert page.evaluate("typeof window.hacked") == "undefined"
        assert page.locator("img[src=x]").count() == 0
        assert HOSTILE in page.locator("#s-groups").inner_text()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits(browser, report, width, scheme):
    with opened(browser, report, width, scheme) as page:
        page.locator("[name=outcome][value=all]").focus()
        page.keyboard.press("Space")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_it_is_one_small_file_with_everything_in_it(report, patches):
    text = report.read_text(encoding="utf-8")
    assert len(text.encode()) < 5_000_000
    assert "http://" not in text and "https://" not in text and "@import" not in text
    for words in ("Research use only", patches.fingerprint, "sentinode evaluate", "sentinode stress", "By centre"):
        assert words in text


def test_an_evaluation_that_is_there_is_used_and_a_stale_one_is_not(run, patches, report):
    written = next(run.path.glob("evaluations/test*/metrics.json"))
    before, page = written.stat().st_mtime_ns, report.read_bytes()
    write_report(run, patches)
    assert (written.stat().st_mtime_ns, report.read_bytes()) == (before, page)
    elsewhere = load_run(shutil.copytree(run.path, run.path.with_name("copy")))
    write_report(elsewhere, patches)  # A run that was moved keeps its evaluations.
    copied = next(elsewhere.path.glob("evaluations/test*/metrics.json"))
    found = json.loads(copied.read_text(encoding="utf-8"))
    assert "sensitivity>=0.9" in found["operating_points"]
    found["made_by"]["weights_sha256"] = "0" * 64
    copied.write_text(json.dumps(found), encoding="utf-8")
    write_report(elsewhere, patches)
    again = json.loads(copied.read_text(encoding="utf-8"))
    assert again["made_by"]["weights_sha256"] == run.identity["weights_sha256"]


def test_a_run_that_was_never_evaluated_is_evaluated(tiny_run, mini, tmp_path):
    fresh = load_run(shutil.copytree(tiny_run.path, tmp_path / "run"))
    few = mini.split("test").select(range(0, 400, 10))
    [page] = write_report(fresh, few)
    assert page == fresh.path / "report.html"
    assert (fresh.path / "evaluations" / "test" / "metrics.json").is_file()
    text = page.read_text(encoding="utf-8")
    assert "No stress test of this run" in text and "No column of these patches says" in text
