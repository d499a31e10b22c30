"""Counts at each threshold are exact, whatever the predictions are."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from sentinode.report.threshold_table import MAX_THRESHOLDS, Histogram, ThresholdTable

SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(st.integers(0, 1), SHARES), min_size=1, max_size=60), st.lists(SHARES, max_size=4))
def test_counts_are_those_of_each_threshold(patches, named):
    table = pd.DataFrame(patches, columns=["label", "probability"])
    found = ThresholdTable.of(table, named)
    assert np.all(np.diff(found.thresholds) < 0)
    assert set(found.thresholds) == set(table["probability"]) | set(named)
    for threshold, true, false in zip(found.thresholds, found.true_positives, found.false_positives, strict=True):
        positive = table["label"][table["probability"] >= threshold]
        assert (true, false) == (int(positive.sum()), int((positive == 0).sum()))
    assert all(found.thresholds[found.index(threshold)] == threshold for threshold in named)


def test_of_many_thresholds_some_are_kept_and_stay_exact():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"label": rng.integers(0, 2, 20_000), "probability": rng.uniform(size=20_000)})
    found = ThresholdTable.of(table, [0.5])
    assert len(found.thresholds) == MAX_THRESHOLDS + 1
    assert (found.thresholds[0], found.thresholds[-1]) == (table["probability"].max(), table["probability"].min())
    for index in range(0, len(found.thresholds), 97):
        positive = table["label"][table["probability"] >= found.thresholds[index]]
        assert found.true_positives[index] == positive.sum()


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-1e3, 1e3)), min_size=1, max_size=40))
def test_every_patch_is_in_the_histogram(patches):
    found = Histogram.of(pd.DataFrame(patches, columns=["label", "logit"]))
    assert found.normal.sum() + found.tumour.sum() == len(patches)
    assert found.low < found.high
    assert all(0 <= at <= 1 for _, at in found.ticks())
    assert (found.position(-np.inf), found.position(np.inf)) == (0, 1)
