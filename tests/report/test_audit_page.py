"""The page of an audit: one file that needs nothing else, with the issues patches first."""

import re

import pytest
from tests.report.test_data_page import Checked

from sentinode import load_run
from sentinode.auditing.audit import audit
from sentinode.report.audit_page import SHOWN, write_audit_page


@pytest.fixture(scope="module")
def found(mini):
    return audit(load_run("d4net-m"), mini.select(range(0, len(mini), 8)))


@pytest.fixture(scope="module")
def text(found, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "it.html"
    write_audit_page(found, path)
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(text):
    parsed = Checked(text)
    assert parsed.refers and all(each.startswith("data:image/jpeg;base64,") for each in parsed.refers)
    assert "http://" not in text and "https://" not in text


def test_every_label_issue_is_shown_with_its_probability(found, text):
    issues = found.issues[found.issues["label_issue"]]
    assert 0 < len(issues) <= SHOWN
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    for row in issues.itertuples():
        assert any(caption.startswith(f"{row.id}: tumour ") for caption in captions)


def test_the_quality_of_the_set_stands_below(text):
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings.index("How labels and features are judged") < headings.index("Splits and classes")
    assert "How the checks work" in headings
