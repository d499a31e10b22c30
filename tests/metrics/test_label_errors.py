"""Confident learning: the labels that another's implementation finds, and laws of it."""

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from hypothesis import given
from hypothesis import strategies as st

from sentinode.errors import DataError
from sentinode.metrics import find_label_errors

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which some are wrong, and probabilities that know most."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 2
    sure, offset, wrong = rng.uniform(0.3, 4), rng.normal(0, 1), rng.uniform(0, 0.3)
    tumour = 1 / (1 + np.exp(-(sure * (2 * truth - 1) + offset + rng.normal(0, 1.5, count))))
    return np.where(rng.random(count) < wrong, 1 - truth, truth), tumour


@given(SEEDS)
def test_it_finds_what_cleanlab_finds(seed):
    labels, tumour = drawn(seed)
    theirs = find_label_issues(
        labels, np.column_stack([1 - tumour, tumour]), filter_by="confident_learning", n_jobs=1, verbose=False
    )
    np.testing.assert_array_equal(find_label_errors(labels, tumour).suspect, theirs)


@given(SEEDS)
def test_classes_may_change_places(seed):
    labels, tumour = drawn(seed)
    found, other = find_label_errors(labels, tumour), find_label_errors(1 - labels, 1 - tumour)
    np.testing.assert_array_equal(found.suspect, other.suspect)
    np.testing.assert_array_equal(found.joint, other.joint[::-1, ::-1])


@given(SEEDS)
def test_the_order_of_patches_does_not_matter(seed):
    labels, tumour = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    found = find_label_errors(labels, tumour).suspect
    np.testing.assert_array_equal(find_label_errors(labels[order], tumour[order]).suspect, found[order])


@given(SEEDS)
def test_suspected_label_errors_are_off_the_diagonal_and_improbable(seed):
    labels, tumour = drawn(seed)
    found = find_label_errors(labels, tumour)
    assert (np.where(labels == 1, tumour, 1 - tumour)[found.suspect] < 0.5).all()
    assert (found.suspect & (labels == 0)).sum() <= found.joint[0, 1]
    assert (found.suspect & (labels == 1)).sum() <= found.joint[1, 0]
    assert found.joint.sum() <= len(labels)


def test_one_class_or_a_logit_is_refused():
    with pytest.raises(DataError, match="needs both classes"):
        find_label_errors([1, 1], [0.2, 0.3])
    with pytest.raises(DataError, match="logits"):
        find_label_errors([0, 1], [-2.0, 0.3])
