"""Objects show a summary in notebooks, in which every text is escaped."""

import pandas as pd
import pytest

from sentinode import PatchSet, load_run
from sentinode.notebook import summary_html


def test_a_summary_escapes_names_values_and_tables():
    text = summary_html("<b>", {"<i>": "<u>"}, pd.DataFrame({"<p>": ["<s>"]}))
    assert not any(tag in text for tag in ("<b>", "<i>", "<u>", "<p>", "<s>"))
    assert all(f"&lt;{letter}&gt;" in text for letter in "biups")


def test_patches_show_their_counts(mini: PatchSet):
    html = mini._repr_html_()
    assert "pcam-mini" in html and "1,660" in html and "<th>tumour</th>" in html


@pytest.mark.parametrize("words", ["d4net-m", "189,793", "research use only"])
def test_a_run_shows_its_network(words):
    assert words in load_run("d4net-m")._repr_html_()
