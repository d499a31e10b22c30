"""The viewer's page in a browser: mouse, touch, keyboard, faults, and what axe says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.report.pages import violations
from tests.viewer.pages import (
    CENTER_OF_LESION,
    DESKTOP,
    DRAWN,
    PHONE,
    SPACING_UM,
    annotations,
    decisions,
    loaded,
    place,
    saved,
    until,
)
from tests.viewer.serving import LocalServer

ROOT = Path(__file__).parents[2]


def test_the_worklist_shows_what_is_known_and_leads_to_a_slide(visit):
    page = visit()
    row = page.get_by_role("row", name="secretname.tif")
    assert "Done" in row.inner_text()
    assert page.get_by_role("row", name="other.tif").get_by_text("Not scanned").is_visible()
    assert page.get_by_text("Research use only").is_visible()
    row.get_by_role("link", name="secretname.tif").click()
    loaded(page)
    assert page.get_by_text("1 lesion").is_visible()
    page.go_back()
    page.get_by_role("link", name="other.tif").click()
    page.get_by_text("This slide has not been scanned").wait_for()


def test_lesions_are_decided_and_undone_by_keyboard(visit, slide, page_server):
    page = loaded(visit(slide))
    page.keyboard.press("n")
    assert page.locator("[role=option]").get_attribute("aria-selected") == "true"
    for key, expected in (("a", ["accepted"]), ("r", ["rejected"]), ("3", [None])):
        page.keyboard.press(key)
        saved(page)
        assert decisions(page_server, slide) == expected
    [feature] = annotations(page_server, slide)
    assert feature["properties"]["classification"]["name"] == "Uncertain"
    assert feature["properties"]["sentinode"]["user"] == "ada"
    page.keyboard.press("u")
    page.keyboard.press("Control+z")
    saved(page)
    assert decisions(page_server, slide) == ["accepted"]
    page.keyboard.press("u")
    saved(page)
    assert annotations(page_server, slide) == []
    page.keyboard.press("Control+Shift+Z")
    saved(page)
    assert decisions(page_server, slide) == ["accepted"]


def test_magnification_place_and_scale_follow_the_view(visit, slide):
    page = loaded(visit(slide))
    page.get_by_role("button", name="10×", exact=True).click()
    until(page, "document.querySelector('.zoom').textContent.startsWith('10×')")
    assert page.locator(".zoom").inner_text() == "10× · 1.0 µm/px"
    bar = page.locator(".scalebar")
    length = page.locator(".rule").bounding_box()["width"]
    assert bar.inner_text().strip() == "100 µm"
    assert length == pytest.approx(100, abs=1)
    x, y = place(page, *CENTER_OF_LESION)
    page.mouse.move(x, y)
    shown = page.locator(".status .place")
    until(page, "document.querySelector('.status .place').textContent.includes('µm')")
    um, px = shown.inner_text().split(" · ")
    assert [int(part) for part in px.removesuffix(" px").split(", ")] == pytest.approx(CENTER_OF_LESION, abs=2)
    assert int(um.split(",")[0]) == pytest.approx(625 * SPACING_UM, abs=3)
    assert "probability" in page.locator(".status .value").inner_text()
    page.keyboard.press("]")
    until(page, "document.querySelector('.turned').textContent === 'turned 90°'")
    page.keyboard.press("7")
    until(page, "document.querySelector('.zoom').textContent.startsWith('20×')")


def test_threshold_opacity_and_switches_act_at_once_without_the_server(visit, slide):
    page = loaded(visit(slide))
    page.wait_for_load_state("networkidle")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/tiles/" not in request.url else None)
    with_contours = page.evaluate(DRAWN)
    page.keyboard.press("c")
    until(page, f"({DRAWN})() < {with_contours}")
    before = page.evaluate(DRAWN)
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    page.keyboard.press("Home")
    until(page, f"({DRAWN})() > 2 * {before}")
    page.keyboard.press("End")
    until(page, f"({DRAWN})() < {before}")
    page.get_by_role("button", name="Reset").click()
    until(page, f"({DRAWN})() === {before}")
    page.keyboard.press("h")
    until(page, f"({DRAWN})() === 0")
    page.keyboard.press("c")
    until(page, f"({DRAWN})() > 0")
    page.locator(".stage").focus()
    page.keyboard.press(" ")
    until(page, f"({DRAWN})() === 0")
    page.get_by_label("Colors", exact=True).select_option("cividis")
    assert asked == []


def test_a_region_is_drawn_and_its_points_are_moved(visit, slide, page_server):
    page = loaded(visit(slide))
    page.keyboard.press("d")
    corners = [(300, 300), (450, 300), (450, 420)]
    for x, y in corners:
        page.mouse.click(*place(page, x, y))
    page.keyboard.press("Enter")
    saved(page)
    [feature] = annotations(page_server, slide)
    [ring] = feature["geometry"]["coordinates"]
    assert feature["properties"]["sentinode"]["source"] == "drawn"
    assert {(round(x, -1), round(y, -1)) for x, y in ring} == set(corners)
    page.keyboard.press("e")
    page.mouse.move(*place(page, 450, 420))
    page.mouse.down()
    page.mouse.move(*place(page, 400, 480), steps=4)
    page.mouse.up()
    page.keyboard.press("Enter")
    saved(page)
    [feature] = annotations(page_server, slide)
    assert (400, 480) in {(round(x, -1), round(y, -1)) for x, y in feature["geometry"]["coordinates"][0]}
    page.keyboard.press("Delete")
    saved(page)
    assert annotations(page_server, slide) == []


def test_a_region_is_drawn_by_keyboard_alone(visit, slide, page_server):
    page = loaded(visit(slide))
    page.locator(".stage").focus()
    page.keyboard.press("d")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(" ")
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    page.keyboard.press("Enter")
    saved(page)
    [feature] = annotations(page_server, slide)
    assert len(feature["geometry"]["coordinates"][0]) == 4
    page.keyboard.press("2")
    saved(page)
    assert annotations(page_server, slide)[0]["properties"]["classification"]["name"] == "Normal"


def test_an_outline_that_crosses_itself_is_not_closed(visit, slide, page_server):
    page = loaded(visit(slide))
    page.keyboard.press("d")
    for x, y in [(300, 300), (400, 400), (400, 300), (300, 400)]:
        page.mouse.click(*place(page, x, y))
    page.keyboard.press("Enter")
    page.get_by_text("The outline crosses itself").wait_for()
    page.keyboard.press("Escape")
    assert annotations(page_server, slide) == []


@pytest.mark.parametrize(("choice", "expected"), [("Keep mine", "rejected"), ("Take theirs", "accepted")])
def test_two_windows_that_decide_differently_ask_which_decision_counts(visit, slide, page_server, choice, expected):
    one, other = (loaded(visit(slide, expected="409")) for _ in range(2))
    for page in (one, other):
        page.keyboard.press("n")
    one.keyboard.press("a")
    saved(one)
    other.keyboard.press("r")
    dialog = other.get_by_role("alertdialog")
    assert "ada" in dialog.inner_text()
    dialog.get_by_role("button", name=choice).click()
    saved(other)
    assert decisions(page_server, slide) == [expected]
    assert expected.capitalize() in other.locator("[role=option]").inner_text()


def test_decisions_survive_a_lost_server_and_a_reload(visit, slide, page_server):
    page = loaded(visit(slide, expected="Failed to load resource"))
    page.route("**/annotations/**", lambda route: route.abort())
    page.keyboard.press("n")
    page.wait_for_selector("[role=option][aria-selected=true]")
    page.keyboard.press("a")
    page.wait_for_selector(".saving.retrying")
    page.get_by_text("The server does not respond").wait_for()
    assert "Accepted" in page.locator("[role=option]").inner_text()
    assert decisions(page_server, slide) == []
    page.reload()
    page.locator("[role=option]", has_text="Accepted").wait_for()
    page.unroute("**/annotations/**")
    saved(page)
    assert decisions(page_server, slide) == ["accepted"]


def test_a_refused_change_is_told_and_can_be_sent_again(visit, slide, page_server):
    page = loaded(visit(slide, expected="Failed to load resource"))
    full = {"error": "results/a.geojson: no space left on the disk; free some and try again"}
    page.route("**/annotations/**", lambda route: route.fulfill(status=403, body=json.dumps(full)))
    page.keyboard.press("n")
    page.wait_for_selector("[role=option][aria-selected=true]")
    page.keyboard.press("a")
    page.get_by_role("alert").get_by_text("no space left").wait_for()
    page.unroute("**/annotations/**")
    page.get_by_role("button", name="Try again").click()
    saved(page)
    assert decisions(page_server, slide) == ["accepted"]


def test_tiles_that_cannot_be_read_are_told(visit, slide):
    page = visit(
        slide,
        expected="Failed to load resource|Tile %s failed",
        before=lambda page: page.route("**/tiles/**", lambda route: route.abort()),
    )
    page.wait_for_selector(".trouble:not([hidden])", timeout=25_000)
    assert "cannot be read" in page.locator(".trouble").inner_text()


def test_a_tap_selects_a_lesion_on_a_phone(visit, slide):
    page = loaded(visit(slide, viewport=PHONE, has_touch=True, is_mobile=True))
    page.touchscreen.tap(*place(page, *CENTER_OF_LESION))
    page.wait_for_selector("[role=option][aria-selected=true]")
    page.get_by_role("button", name="Accept").tap()
    saved(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]


def test_the_patch_under_the_cursor_is_explained(visit, slide):
    page = loaded(visit(slide))
    found = {
        "probability": 0.873,
        "threshold": 0.48,
        "warning": "Out of distribution: focus or scale",
        "spacing_um_px": 0.972,
        "attribution": True,
        "neighbors": [{"index": 3, "label": 1, "split": "train", "similarity": 0.93}],
    }
    picture = "<svg xmlns='http://www.w3.org/2000/svg'/>"
    asked = []
    page.route("**/*.png?*", lambda route: route.fulfill(content_type="image/svg+xml", body=picture))
    page.route("**/sheet.jpg?*", lambda route: route.fulfill(content_type="image/svg+xml", body=picture))
    page.route("**/patch?*", lambda route: (asked.append(route.request.url), route.fulfill(json=found)))
    page.mouse.move(*place(page, *CENTER_OF_LESION))
    page.keyboard.press("i")
    panel = page.get_by_role("region", name="Patch")
    panel.get_by_text("0.873").wait_for()
    assert "x=62" in asked[0]
    assert "Out of distribution" in panel.inner_text()
    assert panel.get_by_role("img", name="Attribution map").count() == 1
    page.get_by_role("button", name="Inspect a patch").click()
    page.mouse.click(*place(page, 400, 400))
    until(page, "document.querySelector('.patch-frame').getAttribute('d').startsWith('M35')")
    assert "x=400" in asked[1]
    panel.get_by_role("button", name="Close the patch").click()
    assert panel.count() == 0 or not panel.is_visible()


def test_patches_are_labeled_one_after_the_other(visit, slide, page_server):
    page = visit("#/queue")
    progress = page.locator(".queue-bar progress")
    progress.wait_for()
    page.keyboard.press("1")
    page.keyboard.press("2")
    until(page, "document.querySelector('.queue-bar progress').value === 2")
    saved(page)
    classes = [each["properties"]["classification"]["name"] for each in annotations(page_server, slide)]
    assert sorted(classes) == ["Normal", "Tumor"]
    assert violations(page) == []
    page.keyboard.press("u")
    until(page, "document.querySelector('.queue-bar progress').value === 1")
    saved(page)
    [left] = annotations(page_server, slide)
    assert left["properties"]["sentinode"]["source"] == "patch"


def test_the_view_its_contours_and_the_annotations_are_exported(visit, slide):
    page = loaded(visit(slide))
    page.keyboard.press("n")
    page.wait_for_selector("[role=option][aria-selected=true]")
    page.keyboard.press("a")
    saved(page)
    for entry, start in (
        ("Figure of this view", b"\x89PNG"),
        ("Contours of this view", b"<svg"),
        ("Annotations", b"{"),
    ):
        page.locator(".menu summary").click()
        with page.expect_download() as download:
            page.get_by_role("button", name=entry).click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(start)
        if start == b"<svg":
            assert content.count(b"M") > 1


def test_scans_are_watched_and_cancelled_from_the_worklist(visit, page_server):
    listed = page_server.get("/api/slides")["slides"]
    waiting = {
        **next(each for each in listed if each["state"] != "done"),
        "state": "scanning",
        "progress": 0.4,
        "can_cancel": True,
    }
    stream = f"event: slide\ndata: {json.dumps(waiting)}\n\n"
    cancelled = []

    def answer(route):
        cancelled.append((route.request.method, route.request.url))
        route.fulfill(json={})

    def routes(page):
        page.route("**/api/events", lambda route: route.fulfill(content_type="text/event-stream", body=stream))
        page.route("**/api/scans/**", answer)

    page = visit(before=routes)
    row = page.get_by_role("row", name="other.tif")
    row.get_by_role("progressbar").wait_for()
    row.get_by_role("button", name="Cancel").click()
    page.wait_for_timeout(200)
    [(method, address)] = cancelled
    assert method == "DELETE"
    assert address.endswith(f"/api/scans/{waiting['id']}")


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_axe_finds_nothing(visit, slide, viewport, scheme):
    page = visit(viewport=viewport, color_scheme=scheme)
    page.get_by_role("row", name="secretname.tif").wait_for()
    assert violations(page) == []
    page.evaluate(f"location.hash = {slide!r}")
    loaded(page)
    page.keyboard.press("n")
    page.wait_for_selector("[role=option][aria-selected=true]")
    page.keyboard.press("a")
    saved(page)
    assert violations(page) == []
    page.keyboard.press("?")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.evaluate(f"location.hash = {slide.replace('slide', 'compare')!r}")
    page.wait_for_selector(".areas dd")
    assert violations(page) == []


def test_thresholds_side_by_side_move_together(visit, slide):
    page = visit(slide.replace("slide", "compare"))
    page.wait_for_selector(".areas dd")
    scales = page.locator(".scalebar")
    until(page, "[...document.querySelectorAll('.scalebar span:first-child')].every((each) => each.textContent)")
    before = scales.all_inner_texts()
    assert before[0] == before[1]
    page.locator(".stage").first.focus()
    for _ in range(4):
        page.keyboard.press("+")
    texts = "[...document.querySelectorAll('.scalebar')].map((each) => each.innerText)"
    until(page, f"(([a, b]) => a === b && a !== {before[0]!r})({texts})")
    assert "100 % of the area" not in page.locator(".areas").inner_text()
    page.get_by_role("region", name="Right").get_by_role("slider").fill("0.5")
    until(page, "document.querySelector('.areas').innerText.includes('100.0 %')")


def test_a_read_only_viewer_offers_no_decisions(visit, view_slide, results):
    with LocalServer([view_slide, results], results, read_only=True) as server:
        page = loaded(visit(server=server))
        page.keyboard.press("n")
        page.keyboard.press("a")
        page.get_by_text("Read only").wait_for()
        assert page.get_by_role("button", name="Accept").count() == 0
        assert page.get_by_role("button", name="Draw a region").count() == 0
        page.context.close()


def test_contours_enclose_the_area_above_the_threshold(visit):
    page = visit()
    area = page.evaluate(
        """async () => {
          const { contourSegments, joinSegments } = await import('./static/slide/contours.js');
          const [side, radius] = [101, 30];
          const values = Uint8Array.from({ length: side * side }, (_, at) =>
            255 * (Math.hypot(at % side - 50, Math.floor(at / side) - 50) <= radius));
          const lines = joinSegments(contourSegments(values, side, side, 128));
          return lines.map((line) => {
            let sum = 0;
            for (let at = 0; at + 3 < line.length; at += 2) {
              sum += line[at] * line[at + 3] - line[at + 2] * line[at + 1];
            }
            return [Math.abs(sum) / 2, line[0] === line.at(-2) && line[1] === line.at(-1)];
          });
        }"""
    )
    [[enclosed, closed]] = area
    assert closed
    assert enclosed == pytest.approx(3.14159 * 30**2, rel=0.02)


def test_contours_are_closed_where_high_places_touch_at_corners(visit):
    open_lines = visit().evaluate(
        """async () => {
          const { contourSegments, joinSegments } = await import('./static/slide/contours.js');
          const values = Uint8Array.from({ length: 900 }, (_, at) => (at * 7919) % 256);
          return joinSegments(contourSegments(values, 30, 30, 128))
            .filter((line) => line[0] !== line.at(-2) || line[1] !== line.at(-1)).length;
        }"""
    )
    assert open_lines == 0


def test_the_gallery_keeps_a_hundred_thousand_patches_smooth(visit):
    count = 100_000

    def answer(route):
        address = route.request.url
        if "sheet.jpg" in address:
            return route.fulfill(
                status=200, content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>"
            )
        if "/rows" not in address:
            return route.fulfill(json={"count": count, "splits": ["test"], "has_predictions": True})
        start = int(address.split("start=")[1].split("&")[0])
        rows = [
            {"index": at, "id": f"p{at}", "split": "test", "label": at % 2, "probability": 0.3, "prediction": 0}
            for at in range(start, min(start + 128, count))
        ]
        return route.fulfill(json={"total": count, "rows": rows})

    page = visit("#/patches", before=lambda page: page.route("**/api/patches**", answer))
    page.get_by_role("option", name="p0", exact=False).first.wait_for()
    assert page.get_by_role("search").get_by_text("100,000 patches").is_visible()
    page.get_by_role("listbox").focus()
    page.keyboard.press("End")
    page.get_by_role("complementary").get_by_text("p99999").wait_for()
    assert page.locator("[role=option]").count() < 200
    assert violations(page) == []


@pytest.mark.slow
def test_the_vendored_library_equals_that_of_the_registry():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_openseadragon.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 2:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout
