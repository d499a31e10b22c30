"""FROC curves as the two CAMELYON16 scripts compute them, on cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinode.errors import DataError
from sentinode.slides.froc import evaluation_mask, froc, match_detections

# µm per pixel of the masks at level 5: 0.243 × 32.
SPACING = 0.243 * 32


def mask_of(*boxes, side=400, value=255):
    """Return a mask with filled boxes: row, column, height, width."""
    mask = np.zeros((side, side), np.uint8)
    for row, column, height, width in boxes:
        mask[row : row + height, column : column + width] = value
    return mask


def disc(diameter, side=121):
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    return np.where(np.hypot(rows, columns) <= diameter / 2, 255, 0)


@pytest.mark.parametrize(("gap", "lesions"), [(8, 1), (9, 2)])
def test_lesions_merge_at_gaps_up_to_eight_pixels(gap, lesions):
    mask = mask_of((100, 100, 60, 60), (100, 160 + gap, 60, 60))
    assert evaluation_mask(mask, SPACING).lesions == lesions


@pytest.mark.parametrize(("side", "lesions"), [(22, 0), (23, 1)])
def test_a_square_counts_as_a_lesion_from_23_pixels_on(side, lesions):
    assert evaluation_mask(mask_of((50, 50, side, side)), SPACING).lesions == lesions


@pytest.mark.parametrize(("diameter", "lesions"), [(25, 0), (27, 1)])
def test_a_disc_counts_as_a_lesion_from_27_pixels_on(diameter, lesions):
    assert evaluation_mask(disc(diameter), SPACING).lesions == lesions


def test_holes_belong_to_their_lesion():
    mask = mask_of((50, 50, 100, 100))
    mask[90:110, 90:110] = 0
    assert evaluation_mask(mask, SPACING).labels[100, 100] == 1


def test_lesions_that_touch_at_corners_are_one():
    assert evaluation_mask(mask_of((50, 50, 50, 50), (100, 100, 50, 50)), SPACING).lesions == 1


def test_a_mask_of_the_other_script_is_refused():
    with pytest.raises(DataError, match="no tumour value 255 but 2"):
        evaluation_mask(mask_of((50, 50, 50, 50), value=2), SPACING)
    assert evaluation_mask(mask_of((50, 50, 50, 50), value=2), SPACING, variant="data").lesions == 1


def test_a_blank_mask_has_no_lesion():
    assert evaluation_mask(mask_of(), SPACING).lesions == 0


@pytest.fixture
def two_lesions():
    """Two lesions and isolated tumour cells."""
    return evaluation_mask(mask_of((50, 50, 60, 60), (200, 200, 60, 60), (300, 50, 10, 10)), SPACING)


def test_hits_count_once_outside_counts_always_and_isolated_cells_never(two_lesions):
    x, y = np.array([80, 70, 230, 55, 350, 10]) * 32.0, np.array([80, 70, 230, 305, 350, 10]) * 32.0
    found = match_detections([0.5, 0.7, 0.6, 0.99, 0.4, 0.3], x, y, two_lesions)
    assert found.lesions == 2
    assert sorted(found.true_positives.tolist()) == pytest.approx([0, 0.6, 0.7])
    assert found.false_positives.tolist() == [0.4, 0.3]


def test_the_curve_of_a_case_worked_out_by_hand(two_lesions):
    tumour = match_detections(
        [0.9, 0.5, 0.7], [80 * 32, 230 * 32, 350 * 32], [80 * 32, 230 * 32, 350 * 32], two_lesions
    )
    normal = match_detections([0.8], [0], [0], None)
    curve = froc([tumour, normal])
    # Thresholds 0.5, 0.7, 0.8, 0.9 and none: 0 is skipped, it stands for the isolated cells.
    assert curve.false_positives_per_slide.tolist() == [1, 1, 0.5, 0, 0]
    assert curve.sensitivity.tolist() == [1, 0.5, 0.5, 0.5, 0]
    # At 1 FP per slide two points of the curve lie above each other.
    assert curve.sensitivities[:2] == (0.5, 0.5)
    assert curve.sensitivities[3:] == (1, 1, 1)


def test_the_lowest_score_is_no_threshold_in_the_original_script():
    mask = evaluation_mask(mask_of((50, 50, 60, 60)), SPACING)
    only = match_detections([0.9], [80 * 32], [80 * 32], mask)
    assert froc([only]).score == 0
    assert froc([only], variant="data").score == 1


def test_the_newer_script_rounds_coordinates_and_does_not_interpolate():
    mask = evaluation_mask(mask_of((50, 50, 60, 60)), SPACING, variant="2016")
    edge = int(np.flatnonzero(mask.labels[80])[0])
    x = [(edge - 0.4) * 32]
    assert len(match_detections([0.9], x, [80 * 32], mask).false_positives) == 1
    assert len(match_detections([0.9], x, [80 * 32], mask, variant="data").false_positives) == 0


@pytest.mark.parametrize(("score", "sensitivity"), [(0.6, 1), (0.9, 0.25)])
def test_a_hit_outlasts_a_false_positive_of_the_same_score_where_float32_rounds_it_up(score, sensitivity):
    mask = evaluation_mask(mask_of((50, 50, 60, 60)), SPACING)
    place = [80 * 32, 0], [80 * 32, 0]
    # The original script compares the hit 0.60000002 with the false positive 0.6. 0.9 becomes 0.89999998.
    original = froc([match_detections([score, score], *place, mask)])
    assert original.sensitivities[0] == sensitivity
    newer = froc([match_detections([score, score], *place, mask, variant="data")], variant="data")
    assert (newer.false_positives_per_slide.tolist(), newer.sensitivity.tolist()) == ([1, 0], [1, 0])


def test_a_detection_outside_the_slide_is_refused_and_named(two_lesions):
    with pytest.raises(DataError, match="detection 1 "):
        match_detections([0.5, 0.5], [0, 400 * 32], [0, 0], two_lesions)


def test_without_lesions_there_is_no_curve():
    with pytest.raises(DataError, match="0 lesions"):
        froc([match_detections([0.5], [0], [0], None)])


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=20), st.integers(0, 2**31))
def test_more_false_positives_never_raise_the_score(scores, seed):
    mask = evaluation_mask(mask_of((50, 50, 60, 60), side=200), SPACING)
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 199, (2, len(scores))) * 32
    found = match_detections(scores, x, y, mask)
    fewer = froc([found, match_detections([0.2], [0], [0], None)])
    more = froc([found, match_detections([0.2, 0.6, 0.9], [0, 0, 0], [0, 0, 0], None)])
    assert more.score <= fewer.score + 1e-9


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="detection 1 is NaN"):
        match_detections([0.9, np.nan], [0, 0], [0, 0], None)
