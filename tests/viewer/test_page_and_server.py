"""The page in a browser with a server that scans, saves and compares: nothing is made up."""

import csv
import shutil

import numpy as np
import pytest
from tests.slides.conftest import write_pyramid
from tests.viewer.pages import PHONE, annotations, loaded, place, saved, until
from tests.viewer.serving import LocalServer

from sentinode.slides.scanning.leases import take_lease

pytestmark = pytest.mark.slow


def test_a_region_is_drawn_by_touch(visit, slide, page_server):
    page = loaded(visit(slide, viewport=PHONE, has_touch=True, is_mobile=True))
    page.get_by_role("button", name="Draw a region").tap()
    corners = [(300, 300), (900, 300), (900, 900)]
    for x, y in corners:
        page.touchscreen.tap(*place(page, x, y))
        page.wait_for_timeout(400)  # Two taps in quick succession would close the outline.
    page.get_by_role("button", name="Close outline").tap()
    saved(page)
    [feature] = annotations(page_server, slide)
    [ring] = feature["geometry"]["coordinates"]
    found = {tuple(point) for point in ring}
    assert len(found) == 3
    for corner in corners:  # A pixel of the screen stands for some of the slide.
        assert min(np.hypot(x - corner[0], y - corner[1]) for x, y in found) < 12


def test_a_scan_is_started_and_canceled_on_the_page_of_a_slide(visit, view_slide, tmp_path):
    with LocalServer([view_slide], tmp_path) as server:
        page = visit(server=server)
        page.get_by_role("button", name="Scan Slide 1").click()
        page.get_by_role("button", name="Cancel the scan").click()
        page.get_by_role("button", name="Scan Slide 1").wait_for()
        assert page.get_by_text("Not scanned").is_visible()
        page.context.close()


def test_a_scan_is_watched_until_its_heat_map_is_drawn(visit, mosaic, tmp_path):
    small = write_pyramid(tmp_path / "small.tif", mosaic[:700, :700])
    with LocalServer([small], tmp_path / "out") as server:
        page = visit(server=server)
        page.get_by_role("button", name="Scan Slide 1").click()
        page.get_by_text("Scanning").wait_for()
        page.get_by_text("Slide score").wait_for(timeout=150_000)  # A backend is loaded meanwhile.
        until(page, "document.querySelector('.overlay')?.width > 300")
        assert page.get_by_role("link", name="Compare").is_visible()
        page.context.close()


def test_scans_of_other_processes_are_seen(visit, view_slide, results, tmp_path):
    other = shutil.copy(view_slide, tmp_path / "other.tif")
    out = tmp_path / "results"
    shutil.copytree(results, out)
    with LocalServer([view_slide, other], out, show_names=True, read_only=True) as server:
        page = visit(server=server)
        row = page.get_by_role("row", name="other.tif")
        row.get_by_text("Not scanned").wait_for()
        with take_lease(out, "other"):
            row.get_by_text("Scanning").wait_for()
            assert row.get_by_role("button").count() == 0
            shutil.copytree(results / view_slide.stem, out / "other")
            for file in (out / "other").glob("s*.json"):
                file.write_text(file.read_text().replace(view_slide.name, "other.tif"))
        row.get_by_text("Done").wait_for()
        page.context.close()


def test_the_difference_of_two_scans_is_drawn(visit, view_slide, results, tmp_path):
    second = tmp_path / "second"
    shutil.copytree(results, second)
    file = second / view_slide.stem / "log_odds.npy"
    log_odds = np.load(file)
    known = ~np.isnan(log_odds)
    middle = tuple(size // 2 for size in log_odds.shape)
    log_odds[: middle[0]][known[: middle[0]]] = -9  # Of the upper half less, of the lower half more.
    log_odds[middle[0] :][known[middle[0] :]] = 9
    np.save(file, log_odds)
    color = """([x, y]) => {
      const [, canvas] = document.querySelectorAll('.overlay');
      const scale = canvas.width / canvas.clientWidth;
      return [...canvas.getContext('2d').getImageData(x * scale, y * scale, 1, 1).data];
    }"""
    with LocalServer([view_slide, results, second], tmp_path / "out") as server:
        page = visit("#/compare/s1?a=r1&b=r2", server=server)
        page.wait_for_selector(".areas dd")
        assert float(page.locator(".areas dd").last.inner_text().split()[0]) < 100
        page.wait_for_timeout(500)
        page.keyboard.press("x")
        box = page.locator(".stage").nth(1).bounding_box()
        until(page, f"({color})([{box['width'] / 2}, {box['height'] * 0.75}])[3] > 0")
        below = page.evaluate(color, [box["width"] / 2, box["height"] * 0.75])
        above = page.evaluate(color, [box["width"] / 2, box["height"] / 2 - 0.06 * box["height"]])
        assert below[0] > below[2]  # Orange: more.
        assert above[2] > above[0]  # Blue: less.
        page.context.close()


def test_a_label_of_the_gallery_is_corrected_and_taken_back(visit, tmp_path):
    with LocalServer(["pcam-mini"], tmp_path) as server:
        page = visit("#/patches", server=server)
        page.locator("[role=listbox] [role=option]").first.click()
        inspector = page.get_by_role("complementary")
        label = server.get("/api/patches/rows?start=0&count=1")["rows"][0]["label"]
        page.keyboard.press("2" if label else "1")
        until(page, f"document.querySelector('.inspector dl').innerText.includes('{'Normal' if label else 'Tumour'}')")
        saved_rows = lambda: list(csv.DictReader((tmp_path / "patches.csv").open()))  # noqa: E731
        assert [row["label"] for row in saved_rows()] == [str(1 - label)]
        page.keyboard.press("u")
        until(page, f"document.querySelector('.inspector dl').innerText.includes('{'Tumour' if label else 'Normal'}')")
        assert [row["label"] for row in saved_rows()] == [str(label)]
        assert inspector.is_visible()
        page.context.close()


def test_the_page_shows_a_label_that_another_viewer_saved(visit, tmp_path):
    with LocalServer(["pcam-mini"], tmp_path) as server:
        page = visit("#/patches", server=server, expected="Failed to load resource")
        page.locator("[role=listbox] [role=option]").first.click()
        label = server.get("/api/patches/rows?start=0&count=1")["rows"][0]["label"]
        for other, version in ((1 - label, 0), (label, 1), (1 - label, 2)):
            server.put("/api/patches/0", label=other, decision="rejected", base_version=version)
        page.keyboard.press("2" if label else "1")
        page.get_by_text("labeled elsewhere").first.wait_for()
        until(page, f"document.querySelector('.inspector dl').innerText.includes('{'Normal' if label else 'Tumour'}')")
        page.keyboard.press("1" if label else "2")
        until(page, f"document.querySelector('.inspector dl').innerText.includes('{'Tumour' if label else 'Normal'}')")
        assert server.get("/api/patches/rows?start=0&count=1")["rows"][0]["version"] == 4
        page.context.close()


def test_the_page_says_which_slide_is_damaged_and_what_to_do(visit, view_slide, tmp_path):
    damaged = tmp_path / "private.tif"
    content = view_slide.read_bytes()
    third = len(content) // 3
    damaged.write_bytes(content[:third] + bytes(third) + content[2 * third :])
    with LocalServer([damaged], tmp_path / "out") as server:
        page = visit(server=server, expected="Failed to load resource|Tile %s failed")
        trouble = page.get_by_role("alert").get_by_text("the file is damaged there, copy it again")
        trouble.wait_for()
        assert "Slide 1" in trouble.inner_text() and "private" not in trouble.inner_text()
        page.context.close()
