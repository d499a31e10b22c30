"""The thresholds that a page moves along: each with the counts that it gives, whatever the predictions are."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from sentinode.report.threshold_table import MOST, Histogram, Steps

SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(st.integers(0, 1), SHARES), min_size=1, max_size=60), st.lists(SHARES, max_size=4))
def test_counts_are_those_of_each_threshold(patches, named):
    table = pd.DataFrame(patches, columns=["label", "probability"])
    found = Steps.of(table, named)
    assert np.all(np.diff(found.thresholds) < 0)
    assert set(found.thresholds) == set(table["probability"]) | set(named)
    for threshold, true, false in zip(found.thresholds, found.true_positives, found.false_positives, strict=True):
        called = table["label"][table["probability"] >= threshold]
        assert (true, false) == (int(called.sum()), int((called == 0).sum()))
    assert all(found.thresholds[found.place(threshold)] == threshold for threshold in named)


def test_of_many_thresholds_some_are_kept_and_stay_exact():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"label": rng.integers(0, 2, 20_000), "probability": rng.uniform(size=20_000)})
    found = Steps.of(table, [0.5])
    assert len(found.thresholds) == MOST + 1
    assert (found.thresholds[0], found.thresholds[-1]) == (table["probability"].max(), table["probability"].min())
    for place in range(0, len(found.thresholds), 97):
        called = table["label"][table["probability"] >= found.thresholds[place]]
        assert found.true_positives[place] == called.sum()


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-1e3, 1e3)), min_size=1, max_size=40))
def test_every_patch_is_in_the_histogram(patches):
    found = Histogram.of(pd.DataFrame(patches, columns=["label", "logit"]))
    assert found.normal.sum() + found.tumour.sum() == len(patches)
    assert found.low < found.high
    assert all(0 <= at <= 1 for _, at in found.marks())
    assert (found.share(-np.inf), found.share(np.inf)) == (0, 1)
