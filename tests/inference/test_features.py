"""Features of patches: what goes into the last layer, in memory and as a file."""

import hashlib
import json

import numpy as np
import pytest
from tests.cli.test_cli import files_named, refused, sentinode, succeeded

from sentinode import Ensemble, build_model, embed, load_run
from sentinode.errors import ConfigError, ModelError
from sentinode.inference.features import write_features
from sentinode.inference.logits import logit_model

NETWORKS = {
    "d4net": {"name": "d4net"},
    "cnn": {"name": "cnn", "output": "softmax"},
    "resnet18": {"name": "resnet18", "width": 8},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_features_and_the_last_layer_are_the_whole_network(name, mini):
    model, patches = build_model(**NETWORKS[name]), mini.select(range(0, 1660, 12))  # More than one batch.
    features = embed(model, patches)
    kernel, bias = model.layers[-1].get_weights()
    assert features.dtype == np.float32
    assert features.shape == (len(patches), len(kernel))
    said = logit_model(model).predict_on_batch(patches.read())
    np.testing.assert_allclose(features @ kernel + bias, said, atol=1e-4)


def test_a_file_of_features_says_what_is_known_of_each_patch(tiny_run, mini, tmp_path):
    patches = mini.select(range(0, len(mini), 10))
    about = write_features(tiny_run, patches, tmp_path / "it.npz")
    with np.load(tmp_path / "it.npz") as file:
        found = dict(file)
    np.testing.assert_array_equal(found["features"], embed(tiny_run, patches))
    assert found["id"].tolist() == patches.table["id"].tolist()
    assert found["label"].tolist() == patches.labels.tolist()
    assert found["sha1"].tolist() == patches.table["sha1"].tolist()
    assert set(found["split"]) == {"train", "valid", "test"}
    assert set(found["slide"]) == {""}
    assert json.loads((tmp_path / "it.npz.json").read_text()) == about
    assert about["weights_sha256"] == tiny_run.identity["weights_sha256"]


def test_a_write_that_fails_leaves_the_file_that_was_there(tiny_run, mini, tmp_path):
    (tmp_path / "it.npz").write_bytes(b"precious")

    class Gone:
        def read(self, rows):
            raise OSError("the drive is gone")

    from dataclasses import replace

    with pytest.raises(OSError, match="the drive is gone"):
        write_features(tiny_run, replace(mini, pixels=Gone()), tmp_path / "it.npz")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"precious"]


def test_features_never_stand_beside_the_model_of_others(tiny_run, mini, tmp_path, monkeypatch):
    few = mini.select(range(4))
    write_features(tiny_run, few, tmp_path / "it.npz")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sentinode.inference.features.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        write_features(tiny_run, few.select([0]), tmp_path / "it.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["it.npz"]


def test_an_ensemble_and_another_ending_are_refused(tiny_run, other_run, mini, tmp_path):
    with pytest.raises(ModelError, match="an ensemble is not a single Keras network"):
        embed(Ensemble((tiny_run, other_run)), mini)
    with pytest.raises(ConfigError, match=r"it\.csv: use a name that ends in \.npz"):
        write_features(tiny_run, mini, tmp_path / "it.csv")
    with pytest.raises(ModelError, match="expected Dense"):
        embed(logit_model(tiny_run.model), mini)


def test_the_command_writes_features_of_images_without_labels(tiny_run, mini, tmp_path):
    from PIL import Image

    pixels = mini.read(range(3))
    (tmp_path / "images").mkdir()
    for number, patch in enumerate(pixels):
        Image.fromarray(patch).save(tmp_path / "images" / f"{number}.png")
    asked = ["embed", tmp_path / "images", "--out", tmp_path / "it.npz"]
    output = succeeded(sentinode(*asked, "--model", tiny_run.path))
    assert files_named(output) == [tmp_path / "it.npz", tmp_path / "it.npz.json"]
    with np.load(tmp_path / "it.npz") as file:
        assert file["label"].tolist() == [-1, -1, -1]
        assert file["sha1"].tolist() == [hashlib.sha1(patch.tobytes()).hexdigest() for patch in pixels]
        np.testing.assert_allclose(file["features"], embed(tiny_run, mini.select(range(3))), atol=1e-6)
    shipped = json.loads(succeeded(sentinode(*asked, "--json")))
    assert (shipped["patches"], shipped["features"]) == (3, 24)
    assert shipped["model"] == load_run("d4net-m").identity["model"]
    refused(sentinode("embed", tmp_path / "images", "--out", tmp_path / "it.csv"), "it.csv", ".npz")
