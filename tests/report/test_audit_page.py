"""The page of an audit: one file that needs nothing else, with the doubtful patches first."""

import re

import pytest
from tests.report.test_data_page import Checked

from sentinode import load_run
from sentinode.auditing.audit import audit
from sentinode.report.audit_page import SHOWN, write_audit_page


@pytest.fixture(scope="module")
def found(mini):
    return audit(load_run("d4net-m"), mini.select(range(0, len(mini), 5)))


@pytest.fixture(scope="module")
def text(found, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "it.html"
    write_audit_page(found, path)
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(text):
    parsed = Checked(text)
    assert parsed.refers and all(each.startswith("data:image/jpeg;base64,") for each in parsed.refers)
    assert "http://" not in text and "https://" not in text


def test_every_doubtful_label_is_shown_with_what_the_network_says(found, text):
    doubtful = found.suspects[found.suspects["label_suspect"]]
    assert 0 < len(doubtful) <= SHOWN
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    for row in doubtful.itertuples():
        assert any(caption.startswith(f"{row.id}: tumour ") for caption in captions)


def test_the_quality_of_the_set_stands_below(text):
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings.index("How labels and features were judged") < headings.index("What there is")
    assert "How it was judged" in headings
