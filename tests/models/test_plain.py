"""D4Net as an ordinary network: the same logits for patches and regions."""

from typing import Any

import keras
import numpy as np
import pytest

from sentinode import build_model
from sentinode.data.stain.exposure import EXPOSURE_FACTORS
from sentinode.errors import ModelError
from sentinode.inference.logits import logit_model
from sentinode.models.d4net import WIDTHS
from sentinode.models.plain import plain_network


def trained_a_little(options: dict[str, Any], pixels: np.ndarray) -> keras.Model:
    """Give statistics and offsets values of their own; those of a fresh network hide mistakes."""
    model = build_model("d4net", **options, seed=2)
    rng = np.random.default_rng(0)
    for _ in range(2):
        model(pixels, training=True)
    for weight in model.trainable_variables:
        if len(weight.shape) == 1:
            weight.assign(weight + 0.1 * rng.normal(size=weight.shape).astype("float32"))
    return model


OPTIONS = [{"size": "s", "output": "softmax"}, *({"size": size} for size in WIDTHS)]

OTHERS = [{"brightness_invariant": True}, {"exposure_correction": True}]
OTHERS += [{"brightness_invariant": True, "exposure_correction": True}]


@pytest.fixture(scope="module", params=[*OPTIONS, *OTHERS], ids=str)
def network(request, mini) -> keras.Model:
    return trained_a_little(request.param, mini.read(range(32)))


def test_a_written_out_network_gives_the_same_logits(network, mini):
    pixels = mini.read(range(16))
    pixels[::4] //= 2
    said = logit_model(network).predict_on_batch(pixels)
    assert np.ptp(said) > 1e-3
    plain = plain_network(network)
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    np.testing.assert_allclose(plain.predict_on_batch(pixels), said, atol=1e-4)


@pytest.mark.parametrize("step_px", [8, 32])
def test_a_scan_of_a_region_gives_the_logits_of_its_patches(network, mini, step_px):
    pixels = mini.read(range(6))
    region = np.concatenate([np.concatenate(list(row), axis=1) for row in (pixels[:3], pixels[3:])], axis=0)
    scan, inputs = plain_network(network, step_px=step_px), [region[None], np.ones((1, 1, 1, 1), np.float32)]
    scanned = keras.ops.convert_to_numpy(scan(inputs if len(scan.inputs) > 1 else inputs[0]))[0]
    rows, columns = ((side - 96) // step_px + 1 for side in region.shape[:2])
    assert scanned.shape[:2] == (rows, columns)
    places = [(row, column) for row in range(0, rows, 3) for column in range(0, columns, 3)]
    cut = np.stack([region[step_px * r : step_px * r + 96, step_px * c : step_px * c + 96] for r, c in places])
    alone = logit_model(network).predict_on_batch(cut)
    np.testing.assert_allclose([scanned[place] for place in places], alone, atol=1e-4)


def test_each_region_has_the_factor_that_its_patches_would_have(mini):
    network = trained_a_little({"exposure_correction": True}, mini.read(range(32)))
    levels = np.array([127, 100, 191])
    dark = np.minimum(mini.read(range(3)), levels[:, None, None, None]).astype(np.uint8)
    dark[:, :4, :4, 0] = levels[:, None, None]
    factors = EXPOSURE_FACTORS[levels].reshape(-1, 1, 1, 1)
    assert len(np.unique(factors)) == 3
    scanned = keras.ops.convert_to_numpy(plain_network(network, step_px=8)([dark, factors]))[:, 0, 0]
    np.testing.assert_allclose(scanned, logit_model(network).predict_on_batch(dark), atol=1e-4)


@pytest.mark.parametrize("step_px", [0, 4, 12])
def test_a_step_between_the_strides_is_refused(step_px):
    with pytest.raises(ModelError, match=f"step_px must be a multiple of 8, the product of the strides; got {step_px}"):
        plain_network(build_model("d4net"), step_px=step_px)


def test_another_network_is_refused():
    with pytest.raises(ModelError, match=r"'cnn': layer conv_1 \(Conv2D\) is not part of d4net"):
        plain_network(build_model("cnn"))
