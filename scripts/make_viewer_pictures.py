"""Make the pictures of the viewer and of a scan for the documentation.

python scripts/make_viewer_pictures.py CMU-1-Small-Region.svs
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

PICTURES = Path(__file__).parents[1] / "docs" / "images"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
WIDTH, HEIGHT = 1280, 760
SETTLE_MS = 4000  # Tiles and animations.


def main() -> None:
    """Scan the slide, open the viewer, and take screenshots."""
    slide = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results"
        subprocess.run(["sentinode", "scan", slide, "--out", out, "--force"], check=True, stdout=subprocess.DEVNULL)
        with Image.open(out / slide.stem / "overview.png") as overview:
            overview.thumbnail((900, 900))
            overview.convert("RGB").save(PICTURES / "scan-skin.webp", quality=82, method=6)
        command = ["sentinode", "view", "--no-browser", "--show-names", slide, out, "d4net-m", "pcam-mini"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = next(found.group(1) for line in server.stdout if (found := re.search(r"viewing (\S+)", line)))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
                take(browser, address)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def take(browser: Browser, address: str) -> None:
    """Take all pictures."""
    page = visit(browser, address, "#/slide/s1")
    page.keyboard.press("n")
    page.keyboard.press("a")
    save("viewer", page)

    page = visit(browser, address, "#/slide/s1", color_scheme="dark")
    page.keyboard.press("7")
    page.mouse.move(420, 330)
    page.wait_for_timeout(SETTLE_MS)
    page.keyboard.press("i")
    page.wait_for_selector(".verdict", timeout=120_000)
    save("viewer-patch", page)

    page = visit(browser, address, "#/compare/s1")
    save("viewer-compare", page)

    page = visit(browser, address, "#/patches", color_scheme="dark")
    page.keyboard.press("Tab")
    page.get_by_role("listbox").focus()
    page.keyboard.press("End")
    save("viewer-patches", page)


def visit(browser: Browser, address: str, view: str, **options: str) -> Page:
    """Open a view in a window of its own."""
    page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, **options).new_page()
    page.goto(address + view)
    page.wait_for_timeout(SETTLE_MS)
    return page


def save(name: str, page: Page) -> None:
    """Write a screenshot for the documentation."""
    page.wait_for_timeout(SETTLE_MS)
    path = PICTURES / f"{name}.webp"
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.save(path, quality=76, method=6)
    print(f"{path.name}: {image.width} × {image.height} px, {path.stat().st_size / 1000:.0f} kB")
    page.context.close()


if __name__ == "__main__":
    main()
