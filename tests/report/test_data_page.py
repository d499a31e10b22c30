"""The page of a look at patches: one file that needs nothing else, holds what was found, and invents nothing."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.quality.inspection import inspect_patches
from sentinode.report.data_page import write_data_page

VOID = {"meta", "img", "br", "link", "input"}


class Checked(HTMLParser):
    """Collects what a page refers to; fails where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.images, self.refers = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            assert "alt" in attributes
            self.images.append(attributes["src"])
        self.refers += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def planted(mini, tmp_path_factory) -> PatchSet:
    few = mini.select(range(0, len(mini), 20))
    pixels = few.read([0, 1, 2, 3])
    extra = {
        "train/0/<b>blank & co<b>.png": np.full((96, 96, 3), 240, np.uint8),
        "train/0/turned.png": np.ascontiguousarray(np.rot90(pixels[0])),
        "valid/0/mirrored.png": np.ascontiguousarray(pixels[1][::-1]),
    }
    files = forms.class_folders(few, "png")[0] | {name: forms.encode(each) for name, each in extra.items()}
    return open_patches(forms.write(files, tmp_path_factory.mktemp("page"))).cached()


def page(patches: PatchSet, path) -> str:
    write_data_page(path, patches, inspect_patches(patches, quality=True))
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(planted, tmp_path):
    text = page(planted, tmp_path / "it.html")
    parsed = Checked(text)
    assert parsed.refers and all(each.startswith("data:image/jpeg;base64,") for each in parsed.refers)
    assert "http://" not in text and "https://" not in text and "url(" not in text
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
    assert len(text) < 3_000_000


def test_pictures_are_those_of_the_patches(planted, tmp_path):
    parsed = Checked(page(planted, tmp_path / "it.html"))
    assert len(parsed.images) == 1 + 2 * 2  # The blank one, and two pairs.
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(parsed.images[0].split(",")[1]))))
    assert shown.shape == (96, 96, 3) and np.abs(shown.astype(int) - 240).max() < 4


def test_findings_are_listed_and_ids_are_escaped(planted, tmp_path):
    text = page(planted, tmp_path / "it.html")
    assert "2 pairs of near duplicates (recompressed" in text
    assert "2 pairs of near duplicates in different splits" in text
    assert "&lt;b&gt;blank &amp; co" in text and "<b>blank" not in text


def test_leaking_slides_are_the_first_finding(planted, tmp_path):
    table = planted.table.assign(slide="camelyon16_train_normal_001")
    text = page(replace(planted, table=table), tmp_path / "it.html")
    first = re.search(r'<li class="(\w+)"><b>\w+</b><span>(.*?)</span>', text)
    assert first[1] == "bad" and first[2].startswith("1 slide with patches in more than one split")


def test_a_set_without_problems_says_so(mini, tmp_path):
    text = page(mini.select(range(0, len(mini), 20)), tmp_path / "it.html")
    assert "No problems found." in text


def test_the_same_patches_give_the_same_bytes(planted, tmp_path):
    assert page(planted, tmp_path / "a.html") == page(planted, tmp_path / "b.html")


def test_absolute_folders_are_left_out(planted, tmp_path):
    assert str(planted.path).startswith("/") and str(planted.path) not in page(planted, tmp_path / "it.html")
