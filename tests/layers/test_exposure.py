"""Underexposed patches are brightened, and no others."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode.data.stain.exposure import EXPOSURE_FACTORS
from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.errors import ModelError
from sentinode.layers.preprocessing import ExposureCorrection


def corrected(patches: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(ExposureCorrection()(patches))


@settings(deadline=None, max_examples=20)
@given(exposure=st.floats(0.26, 0.7), seed=st.integers(0, 99))
def test_an_underexposed_patch_is_restored_to_within_nine_percent(exposure, seed):
    patch = np.random.default_rng(seed).integers(0, 256, (1, 96, 96, 3), np.uint8)
    patch[0, :4, :4] = 255
    dark = np.rint(patch * exposure).astype(np.uint8)
    restored = corrected(dark)
    assert 0.91 <= restored.max() / 255 <= 1
    np.testing.assert_allclose(restored / dark.clip(1), np.where(dark, restored.max() / dark.max(), 0), rtol=1e-5)


@pytest.mark.parametrize("quality", [75, 90])
def test_a_patch_that_was_compressed_after_it_was_darkened_is_brightened(mini, quality):
    patches = mini.read(range(0, 1600, 50))
    dark = PERTURBATIONS["JPEG"](np.rint(patches * 0.65).astype(np.uint8), quality)
    assert np.mean(corrected(dark).mean(axis=(1, 2, 3)) > 1.1 * dark.mean(axis=(1, 2, 3))) > 0.95
    np.testing.assert_array_equal(corrected(patches), patches)


@settings(deadline=None, max_examples=20)
@given(brightest=st.integers(0, 63) | st.integers(191, 255), seed=st.integers(0, 99))
def test_patches_with_a_bright_spot_or_no_light_stay_the_same(brightest, seed):
    patch = np.random.default_rng(seed).integers(0, brightest + 1, (1, 96, 96, 3), np.uint8)
    patch[0, 48:52, 48:52, 1] = brightest
    np.testing.assert_array_equal(corrected(patch), patch)


def test_a_brighter_patch_never_gets_a_larger_factor_and_none_gets_brighter_than_white():
    assert (np.diff(EXPOSURE_FACTORS[64:]) <= 0).all()
    assert (np.arange(256) * EXPOSURE_FACTORS <= 255).all()
    assert (EXPOSURE_FACTORS[:64] == 1).all()
    assert EXPOSURE_FACTORS[190] > EXPOSURE_FACTORS[191] == 1


def test_a_network_that_was_saved_with_another_rule_is_refused():
    config = ExposureCorrection().get_config()
    assert ExposureCorrection.from_config(config).get_config() == config
    with pytest.raises(ModelError, match=r"'brightest': 180.*'brightest': 190.*train it again"):
        ExposureCorrection(rule={**config["rule"], "brightest": 180})
