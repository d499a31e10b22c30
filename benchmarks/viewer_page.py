"""Measure how smoothly the page of the viewer moves in a headless browser without a GPU.

python benchmarks/viewer_page.py SLIDE RESULTS [--seconds 10]

The window has 1280 × 800 px, the overlay is on. Two passes: dragging with the mouse, and flying between magnifications.
Printed are the frames (by requestAnimationFrame) and the longest task of the main thread (PerformanceObserver).
"""

import argparse
import math
import re
import shutil
import subprocess
import time

from playwright.sync_api import Page, sync_playwright

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
LONG_TASK_MS = 50

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
    parser.add_argument("slide")
    parser.add_argument("results")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    command = ["sentinode", "view", "--no-browser", arguments.slide, arguments.results]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = next(found.group(1) for line in server.stdout if (found := re.search(r"viewing (\S+)", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            started = time.perf_counter()
            page.goto(f"{address}#/slide/s1")
            page.wait_for_selector(".zoom:not(:empty)")
            print(f"slide on screen after {time.perf_counter() - started:.1f} s\n")
            page.wait_for_timeout(4000)
            print("| movement | frames/s, median | 5th percentile | longest task | tasks over 50 ms |")
            print("|---|---|---|---|---|")
            for name, move in (("dragging", drag), ("zooming", zoom)):
                page.evaluate(RECORD)
                move(page, arguments.seconds)
                report(name, page.evaluate(FINISH))
            browser.close()
    finally:
        server.terminate()
        server.wait()


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


def report(name: str, found: dict[str, list[float]]) -> None:
    """Print a row of the table."""
    frames = sorted(found["frames"])
    median, slow = frames[len(frames) // 2], frames[int(0.95 * len(frames))]
    tasks = [task for task in found["tasks"] if task > LONG_TASK_MS]
    longest = f"{max(tasks):.0f} ms" if tasks else f"< {LONG_TASK_MS} ms"
    print(f"| {name} | {1000 / median:.0f} | {1000 / slow:.0f} | {longest} | {len(tasks)} |")


if __name__ == "__main__":
    main()
