"""Networks for patches compute regions with the same outputs, if no output depends on the place in a region."""

from importlib import import_module

import numpy as np
import pytest

from sentinode.data.stain.exposure import EXPOSURE_FACTORS, SPOT_PX
from sentinode.errors import ModelError
from sentinode.inference.engines import open_engine, openvino
from sentinode.inference.regions import RegionEngine

pytest.importorskip("openvino")


def write_network(path, padding=0, quantized=False, logarithm=False, exposure=False, seed=0):
    """Write a small network in the form in which runs of d4net are exported; its strides multiply to 8."""
    vino, nodes, rng = openvino(), import_module("openvino.opset13"), np.random.default_rng(seed)
    patches = nodes.parameter([-1, 96, 96, 3], np.uint8, name="patches")
    x, channels = nodes.transpose(nodes.convert(patches, "f32"), np.array([0, 3, 1, 2])), 3
    if exposure:
        spots = nodes.avg_pool(x, [SPOT_PX] * 2, [0, 0], [0, 0], [SPOT_PX] * 2, True)
        brightest = nodes.add(nodes.reduce_max(spots, np.array([1, 2, 3]), True), np.float32(0.5))
        x = nodes.multiply(x, nodes.gather(EXPOSURE_FACTORS, nodes.convert(brightest, "i32"), np.int32(0)))
        x = nodes.minimum(x, np.float32(255))
    if logarithm:
        x = nodes.log(nodes.divide(nodes.maximum(x, np.float32(8)), np.float32(255)))
    for filters, stride in ((8, 2), (12, 4)):
        kernel = rng.normal(size=(filters, channels, 3, 3)).astype(np.float32) / (30 * channels)
        if quantized:
            low, high = np.float32(0), np.float32(255 if channels == 3 else 8)
            x = nodes.fake_quantize(x, low, high, low, high, 256)
        x = nodes.convolution(x, kernel, [stride] * 2, [padding] * 2, [padding] * 2, [1, 1])
        x, channels = nodes.relu(nodes.add(x, rng.normal(size=(1, filters, 1, 1)).astype(np.float32))), filters
    mean = nodes.reduce_mean(x, np.array([2, 3]), False)
    product = nodes.matmul(mean, rng.normal(size=(1, channels)).astype(np.float32), False, True)
    logit = nodes.add(product, np.array([[0.5]], np.float32))
    logit.output(0).set_names({"logit"})
    vino.save_model(vino.Model([logit, nodes.sigmoid(logit)], [patches]), str(path), compress_to_fp16=False)
    return path


@pytest.mark.parametrize(
    ("step", "options"),
    [(8, {}), (32, {}), (8, {"quantized": True}), (8, {"logarithm": True}), (8, {"exposure": True})],
    ids=str,
)
def test_a_region_gives_the_logits_of_its_patches(tmp_path, step, options):
    file = write_network(tmp_path / "network.xml", **options)
    compute, alone = RegionEngine(file, step), open_engine("openvino", file)
    for rows, columns in ((4, 4), (2, 5), (4, 4), (1, 1)):
        size = [96 + (count - 1) * step for count in (rows, columns)]
        region = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
        across, down = ((np.arange(side) % 48 < 4) for side in (size[1], size[0]))
        region[down[:, None] & across] = 255  # No patch is underexposed.
        found = compute(region)
        assert found.shape == (rows, columns)
        corners = [(row * step, column * step) for row in range(rows) for column in range(columns)]
        windows = [region[y : y + 96, x : x + 96] for y, x in corners]
        np.testing.assert_allclose(found.ravel(), alone(np.stack(windows)), atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"quantized": True}, {"logarithm": True}], ids=str)
def test_a_region_of_underexposed_patches_has_the_factor_that_is_asked_for(tmp_path, options):
    file = write_network(tmp_path / "network.xml", exposure=True, **options)
    engine, alone = RegionEngine(file, 8), open_engine("openvino", file)
    assert engine.corrects_exposure
    assert not RegionEngine(write_network(tmp_path / "other.xml", **options), 8).corrects_exposure
    dark = np.random.default_rng(1).integers(0, 151, (96, 96, 3), dtype=np.uint8)
    dark[:4, :4, 0] = 150
    assert engine(dark, float(EXPOSURE_FACTORS[150]))[0, 0] == pytest.approx(alone(dark[None])[0], abs=1e-4)
    assert abs(engine(dark)[0, 0] - alone(dark[None])[0]) > 5e-4


def test_a_network_that_pads_and_a_step_between_its_strides_are_refused(tmp_path):
    with pytest.raises(ModelError, match="patch by patch"):
        RegionEngine(write_network(tmp_path / "padded.xml", padding=1), 8)
    with pytest.raises(ModelError, match="multiple of 8"):
        RegionEngine(write_network(tmp_path / "network.xml"), 12)
