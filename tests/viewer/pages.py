"""What tests of the viewer's page ask of the page and of its server."""

import time

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CENTER_OF_LESION, SPACING_UM = (625, 625), 0.972


def annotations(server, slide):
    return server.get(f"/api/slides/{slide.rpartition('/')[2]}/annotations")["features"]


def decisions(server, slide):
    return [feature["properties"]["sentinode"]["decision"] for feature in annotations(server, slide)]


def loaded(page):
    """Wait for tiles, overlay and lesions."""
    page.wait_for_selector("[role=option]")
    until(page, "document.querySelector('.overlay')?.width > 300")
    until(page, f"({DRAWN})() > 0")
    return page


def saved(page):
    page.wait_for_selector(".saving.saved")


DRAWN = """() => {
  const canvas = document.querySelector('.overlay');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let drawn = 0;
  for (let at = 3; at < pixels.length; at += 4) drawn += pixels[at] > 0;
  return drawn;
}"""
# Where a place of the slide is in the window.
PLACE = """([x, y]) => {
  const stage = document.querySelector('.stage').getBoundingClientRect();
  const at = document.querySelector('.shapes g').transform.baseVal.consolidate().matrix;
  return [stage.x + at.a * x + at.c * y + at.e, stage.y + at.b * x + at.d * y + at.f];
}"""


def until(page, condition):
    """Wait for a condition; the page's policy forbids playwright's own way, which evaluates text in the page."""
    end = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def place(page, x, y):
    return page.evaluate(PLACE, [x, y])
