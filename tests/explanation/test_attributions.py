"""Attribution maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode import build_model, load_run, open_patches
from sentinode.data.stain.exposure import BRIGHTEST_UNDEREXPOSED, EXPOSURE_FACTORS
from sentinode.errors import ConfigError, DataError, ModelError
from sentinode.explanation.attributions import METHODS, attributions, mean_color
from sentinode.explanation.model_split import (
    after_exposure_correction,
    split_after_first_layer,
    split_at_last_feature_map,
)
from sentinode.inference.logits import logit_model, tumour_logit
from sentinode.layers.d4 import ORDER, apply_symmetry


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return open_patches("pcam-mini", split="test").read([0, 210])


@pytest.fixture(scope="module")
def flagship():
    return load_run("d4net-m").model


@pytest.mark.slow
@settings(max_examples=4)
@given(symmetry=st.integers(1, ORDER - 1), method=st.sampled_from(sorted(METHODS)))
def test_maps_of_a_symmetric_network_follow_the_orientation_of_the_patch(symmetry: int, method: str):
    model = load_run("d4net-m").model
    patch = open_patches("pcam-mini", split="test").read([210])
    straight = attributions(model, patch, method)
    turned = attributions(model, apply_symmetry(patch, symmetry), method)
    # Integrated gradients meet kinks of ReLU, where rounding decides which way a slope goes.
    share = 5e-3 if method == "integrated-gradients" else 1e-4
    there = apply_symmetry(straight[..., None], symmetry)[..., 0]
    np.testing.assert_allclose(turned, there, atol=share * np.abs(straight).max())


def test_pixels_are_checked_as_for_predictions(flagship, pixels):
    for wrong, said in ((pixels / 255.0, "float64"), (pixels[:, :50], "50")):
        with pytest.raises(DataError, match=said):
            attributions(flagship, wrong, "occlusion")
    one = attributions(load_run("d4net-m"), pixels[1], "grad-cam")
    np.testing.assert_allclose(one, attributions(flagship, pixels[1:], "grad-cam"), atol=1e-6)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_integrated_gradients_sum_to_the_difference_of_the_logits(pixels, output: str):
    model = build_model("cnn", seed=1, output=output)
    network = logit_model(model)
    ends = [tumour_logit(network.predict_on_batch(each)) for each in (pixels, np.ascontiguousarray(mean_color(pixels)))]
    found = attributions(model, pixels, "integrated-gradients").sum(axis=(1, 2))
    np.testing.assert_allclose(found, ends[0] - ends[1], atol=0.01)


@pytest.mark.slow
def test_integrated_gradients_of_d4net_sum_to_the_difference_of_the_logits(flagship):
    pixels = open_patches("pcam-mini", split="test").read(range(0, 400, 100))
    found = attributions(flagship, pixels, "integrated-gradients").sum(axis=(1, 2))
    model, pixels = after_exposure_correction(flagship, pixels)  # A mean color alone would be brightened.
    network = logit_model(model)
    ends = [tumour_logit(network.predict_on_batch(each)) for each in (pixels, np.ascontiguousarray(mean_color(pixels)))]
    np.testing.assert_allclose(found, ends[0] - ends[1], atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_the_exposure_is_that_of_the_patch_also_where_pixels_are_missing(method):
    plain, correcting = (build_model("d4net", seed=1, exposure_correction=each) for each in (False, True))
    bright = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), np.uint8)
    bright[0, :4, :4] = 255
    assert mean_color(bright).max() <= BRIGHTEST_UNDEREXPOSED
    dark = bright // 2
    dark[0, :4, :4, 0] = 127
    restored = np.rint(np.minimum(dark * EXPOSURE_FACTORS[127], 255)).astype(np.uint8)
    for patch, seen in ((bright, bright), (dark, restored)):
        expected = attributions(plain, seen, method)
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(attributions(correcting, patch, method), expected, atol=1e-6)


def test_what_no_layer_reads_gets_nothing(pixels):
    import keras

    inputs = keras.Input((96, 96, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Flatten()(keras.layers.Cropping2D(40)(x))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    found = attributions(model, pixels, "integrated-gradients")
    assert np.abs(found[:, 40:56, 40:56]).sum() > 0
    found[:, 40:56, 40:56] = 0
    assert not found.any()
    hidden = attributions(model, pixels, "occlusion")
    assert not hidden[:, :24].any()
    assert hidden[:, 40:56, 40:56].any()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cnn", {}),
        ("cnn", {"output": "softmax"}),
        ("resnet18", {}),
        ("p4m-densenet", {}),
        ("transfer", {"backbone": "MobileNet"}),
    ],
)
def test_every_network_with_a_feature_map_supports_every_method(pixels, name: str, options: dict):
    model = build_model(name, seed=0, **options)
    whole = np.asarray(logit_model(model)(pixels, training=False))
    for halves in (split_after_first_layer(model), split_at_last_feature_map(model)):
        np.testing.assert_allclose(np.asarray(halves.after(halves.before(pixels))), whole, rtol=1e-3, atol=1e-4)
    for method in ("grad-cam", "grad-cam++"):
        found = attributions(model, pixels, method)
        assert found.shape == (2, 96, 96)
        assert found.min() >= 0
        assert np.isfinite(found).all()


def test_a_network_without_a_feature_map_refuses_grad_cam_only(pixels):
    model = build_model("mlp", seed=0)
    with pytest.raises(ModelError, match="integrated-gradients or occlusion"):
        attributions(model, pixels, "grad-cam")
    assert np.isfinite(attributions(model, pixels, "integrated-gradients")).all()


def test_an_unknown_method_is_refused(pixels):
    with pytest.raises(ConfigError, match="occlusion"):
        attributions(build_model("cnn"), pixels, "saliency")
