"""A page in a browser, where nothing may go wrong unseen."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = 1360, 390


@contextmanager
def opened(browser: "Browser", path: Path, width: int = DESKTOP, scheme: str = "light") -> "Iterator[Page]":
    """Open a file; fail in the end if it logged an error or asked for anything but itself."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith("data:") else wrong.append(asked.url))
    address = path.as_uri()
    page.goto(address)
    yield page
    page.close()
    assert wrong == [address]


def violations(page: "Page") -> list[str]:
    """Return what axe finds wrong for people who see, hear or move differently."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
