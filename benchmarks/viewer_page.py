"""Measure how smoothly the page of the viewer moves in a headless browser without a GPU.

python benchmarks/viewer_page.py SLIDE [--seconds 10]

The heat map is made up: smooth noise on the grid that a scan of the slide would have, with lesions found in it. The
window has 1280 × 800 px, the overlay is on. Three passes: dragging with the mouse at 5×, flying between magnifications,
and moving the threshold over the whole slide.

Printed are the frames (by requestAnimationFrame) and the longest task of the page's main thread: by the clock, as
PerformanceObserver reports it, and in processor time, which other work on the machine does not lengthen.
"""

import argparse
import json
import math
import platform
import re
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from scipy import ndimage

from sentinode.serialize import to_json
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.results.lesions import find_lesions, to_geojson
from sentinode.slides.slide import fingerprint, open_slide
from sentinode.storage import write_json

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
LONG_TASK_MS = 50
TASKS = ("RunTask", "ThreadControllerImpl::RunTask")

RECORD = """() => {
  window.frames_ms = [];
  window.tasks_ms = [];
  let before = performance.now();
  const frame = (now) => {
    frames_ms.push(now - before);
    before = now;
    window.recording = requestAnimationFrame(frame);
  };
  window.recording = requestAnimationFrame(frame);
  window.observer = new PerformanceObserver((list) => tasks_ms.push(...list.getEntries().map((each) => each.duration)));
  observer.observe({ type: 'longtask' });
}"""
FINISH = """() => {
  cancelAnimationFrame(recording);
  observer.disconnect();
  return { frames: frames_ms.slice(1), tasks: tasks_ms };
}"""


def main() -> None:
    """Start the viewer and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {arguments.slide.name}")
    with tempfile.TemporaryDirectory() as results:
        lesions = make_up_result(arguments.slide, Path(results))
        print(f"{lesions} lesions")
        command = ["sentinode", "view", "--no-browser", arguments.slide, results]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = next(found.group(1) for line in server.stdout if (found := re.search(r"viewing (\S+)", line)))
            measure(address, arguments.seconds)
        finally:
            server.terminate()
            server.wait()


def make_up_result(path: Path, results: Path) -> int:
    """Write the result of a scan that never was; return the number of lesions."""
    with open_slide(path) as slide:
        full, spacing = slide.levels[0], slide.spacing_um_px
        step_um = 7.776
        step_px = step_um / spacing
        shape = int(full.height_px / step_px) - 12, int(full.width_px / step_px) - 12
        bounds = slide.bounds_px
    rng = np.random.default_rng(0)
    coarse = ndimage.gaussian_filter(rng.normal(size=(shape[0] // 8 + 2, shape[1] // 8 + 2)), 6)
    log_odds = ndimage.zoom(coarse / coarse.std() * 3 - 5, 8, order=1)[: shape[0], : shape[1]]
    texture = ndimage.gaussian_filter(rng.normal(size=log_odds.shape).astype(np.float32), 2)
    log_odds = (log_odds + texture / texture.std()).astype(np.float32)
    heatmap = Heatmap(log_odds, 6 * step_px, step_px, step_um)
    lesions = find_lesions(heatmap)
    folder = results / path.stem
    folder.mkdir()
    np.save(folder / "log_odds.npy", log_odds)
    geojson = to_geojson(lesions, identity=path.name, offset_px=bounds[:2])
    (folder / "lesions.geojson").write_text(json.dumps(geojson), encoding="utf-8")
    settings = {"slide": path.name, "slide_fingerprint": fingerprint(path), "model": "made up", "weights_sha256": []}
    write_json(folder / "settings.json", settings)
    grid = {"origin_px": heatmap.origin_px, "step_level0_px": step_px, "step_um": step_um}
    known = {"slide_score": 0.5, "tissue_mm2": 1.0, "out_of_distribution": 0.0, "warnings": [], "grid": grid}
    largest = max(lesion.diameter_mm for lesion in lesions)
    summary = {**settings, **known, "lesions": to_json(lesions), "largest_lesion_mm": largest, "bounds_px": bounds}
    write_json(folder / "summary.json", summary)
    return len(lesions)


def measure(address: str, seconds: float) -> None:
    """Move the page in a browser, and print what was seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        started = time.perf_counter()
        page.goto(f"{address}#/slide/s1")
        page.wait_for_selector(".zoom:not(:empty)")
        print(f"slide on screen after {time.perf_counter() - started:.1f} s\n")
        page.wait_for_selector("[role=option]")
        page.wait_for_timeout(6000)
        print("| movement | frames/s, median | 5th percentile | longest task: clock | processor time | over 50 ms |")
        print("|---|---|---|---|---|---|")
        for name, move in (("dragging", drag), ("zooming", zoom), ("threshold", slide_threshold)):
            page.evaluate(RECORD)
            browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
            move(page, seconds)
            found = page.evaluate(FINISH)
            report(name, found, cpu_ms(json.loads(browser.stop_tracing())["traceEvents"]))
        browser.close()


def drag(page: Page, seconds: float) -> None:
    """Drag the slide in circles at a medium magnification."""
    page.keyboard.press("5")
    page.wait_for_timeout(1500)
    page.evaluate("frames_ms.length = tasks_ms.length = 0")
    page.mouse.move(460, 400)
    page.mouse.down()
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        page.mouse.move(460 + 260 * math.sin(2.1 * left), 400 + 220 * math.cos(1.3 * left))
        page.wait_for_timeout(8)
    page.mouse.up()


def zoom(page: Page, seconds: float) -> None:
    """Fly between magnifications."""
    end = time.perf_counter() + seconds
    for key in "6758" * 100:
        if time.perf_counter() > end:
            return
        page.keyboard.press(key)
        page.wait_for_timeout(700)


def slide_threshold(page: Page, seconds: float) -> None:
    """Move the threshold while the whole slide is on screen."""
    page.keyboard.press("0")
    page.wait_for_timeout(2000)
    page.evaluate("frames_ms.length = tasks_ms.length = 0")
    page.get_by_role("slider", name="Threshold").focus()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(30)


def cpu_ms(events: list[dict[str, Any]]) -> list[float]:
    """Return the processor time of each task of the renderers' main threads."""
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [event for event in events if event["name"] in TASKS and (event["pid"], event["tid"]) in mains]
    return [event["tdur"] / 1000 for event in tasks if "tdur" in event]


def report(name: str, found: dict[str, list[float]], cpu: list[float]) -> None:
    """Print a row of the table."""
    frames = sorted(found["frames"])
    median, slow = frames[len(frames) // 2], frames[int(0.95 * len(frames))]
    by_clock = f"{max(found['tasks']):.0f} ms" if found["tasks"] else f"< {LONG_TASK_MS} ms"
    long = sum(each > LONG_TASK_MS for each in cpu)
    rates = f"{1000 / median:.0f} | {1000 / slow:.0f}"
    print(f"| {name} | {rates} | {by_clock} | {max(cpu):.0f} ms | {long} of {len(cpu):,} |")


if __name__ == "__main__":
    main()
