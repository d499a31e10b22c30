"""What `predict` accepts: arrays, images, encoded images, paths, and lists of these; sessions that stay loaded."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sentinode import load_run, predict
from sentinode.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def pixels(mini):
    return mini.split("test").read([0, 150, 300])


@pytest.fixture(scope="module")
def expected(tiny_run, mini):
    return predict(tiny_run, mini.split("test").select([0, 150, 300])).table["logit"].to_numpy()


def encoded(patch) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(patch).save(buffer, format="png")
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["array", "arrays", "images", "bytes", "paths", "mixed"])
def test_every_form_of_the_same_patches_gives_the_same_logits(form, tiny_run, pixels, expected, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, patch in zip(paths, pixels, strict=True):
        path.write_bytes(encoded(patch))
    x = {
        "array": pixels,
        "arrays": list(pixels),
        "images": [Image.fromarray(patch) for patch in pixels],
        "bytes": [encoded(patch) for patch in pixels],
        "paths": [str(path) for path in paths],
        "mixed": [pixels[0], encoded(pixels[1]), paths[2]],
    }[form]
    found = predict(tiny_run, x)
    np.testing.assert_allclose(found.table["logit"], expected, atol=1e-6)
    assert Path(found.table["id"].tolist()[2]).name == ("2.png" if form in ("paths", "mixed") else "2")
    np.testing.assert_allclose(tiny_run.session().logits(x), expected, atol=1e-6)


def test_a_single_patch_of_every_form_gives_one_row(tiny_run, pixels, tmp_path):
    (tmp_path / "it.png").write_bytes(encoded(pixels[0]))
    for x in (pixels[0], Image.fromarray(pixels[0]), encoded(pixels[0]), tmp_path / "it.png"):
        assert len(predict(tiny_run, x)) == 1


@pytest.mark.parametrize(
    ("x", "named"),
    [
        (np.zeros((96, 96, 3), np.float32), "scale gray levels to 0…255"),
        (np.zeros((2, 3, 96, 96), np.uint8), r"\(2, 3, 96, 96\)"),
        (np.zeros((64, 64, 3), np.uint8), r"\(64, 64, 3\)"),
        (np.zeros((0, 96, 96, 3), np.uint8), "array of 0 patches"),
        (Image.new("RGB", (64, 64)), "64 × 64 px"),
        (Image.new("CMYK", (96, 96)), "CMYK"),
        (Image.new("RGBA", (96, 96), (0, 0, 0, 10)), "transparent"),
        ([Image.new("RGB", (96, 96)), b"no image"], "patch 1"),
        ([], "empty list"),
    ],
)
def test_what_is_not_a_patch_is_refused_with_its_place(tiny_run, x, named):
    with pytest.raises(DataError, match=named):
        predict(tiny_run, x)


def test_a_path_in_the_place_of_a_model_is_refused(pixels):
    with pytest.raises(ConfigError, match=r'load_run\("d4net-m"\)'):
        predict("d4net-m", pixels)


def test_a_run_keeps_one_session_for_each_set_of_options(tiny_run, pixels):
    assert tiny_run.session() is tiny_run.session()
    assert tiny_run.session() is not tiny_run.session(tta="d4")
    session = tiny_run.session()
    assert predict(session, pixels).table.equals(predict(tiny_run, pixels).table)
    assert session.probabilities(pixels) == pytest.approx(1 / (1 + np.exp(-session.logits(pixels))))


def test_predictions_describe_themselves_in_a_notebook(pixels):
    found = predict(load_run("d4net-m"), pixels)
    assert repr(found).startswith("<Predictions: 3 patches, ")
    html = found._repr_html_()
    assert "<table" in html
    assert "probability" in html
