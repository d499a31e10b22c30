"""Make the picture of a report for the README: that of the pretrained weights, on a wide screen and on a phone.

python scripts/make_report_picture.py pcam-small.zip
"""

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from sentinode.cli.main import main as sentinode

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "report.webp"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
HEIGHT, GAP = 1150, 40


def main() -> None:
    """Write the report, and take screenshots of it."""
    patches = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        name = Path(patches).name
        Path(name).symlink_to(patches)
        for command in (
            ["stress", name, "--split", "valid", "--quick"],
            ["report", "d4net-m", name, "--split", "valid"],
        ):
            if sentinode(command):
                raise SystemExit(1)
        report = Path(folder) / "d4net-m" / "report.html"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
            wide = browser.new_page(viewport={"width": 1180, "height": HEIGHT})
            wide.goto(report.as_uri())
            wide.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
            wide.evaluate("document.getElementById('s-thresholds').scrollIntoView()")
            plot = wide.locator("#roc svg").bounding_box()
            assert plot is not None
            wide.mouse.move(plot["x"] + 0.3 * plot["width"], plot["y"] + 0.12 * plot["height"])
            phone = browser.new_page(viewport={"width": 390, "height": HEIGHT}, color_scheme="dark")
            phone.goto(report.as_uri())
            parts = [_screenshot(wide), _screenshot(phone)]
            phone.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
            phone.locator("#overlay").check()
            phone.evaluate("document.querySelector('#s-examples .controls').scrollIntoView()")
            parts.append(_screenshot(phone))
            browser.close()
    whole = Image.new("RGB", (sum(part.width for part in parts) + GAP * (len(parts) - 1), HEIGHT), "#c3c7ce")
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width + GAP
    whole.save(PICTURE, quality=82, method=6)
    print(f"{PICTURE}: {whole.width} × {whole.height} px, {PICTURE.stat().st_size / 1000:.0f} kB")


def _screenshot(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    main()
