"""What is decided in the viewer is what `sentinode extract` and `sentinode train` learn from."""

import uuid

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.commands import sentinode, succeeded
from tests.slides.conftest import write_pyramid
from tests.viewer.serving import LocalServer
from tests.viewer.test_server import drawn

from sentinode import open_patches
from sentinode.slides import open_slide

pytestmark = pytest.mark.slow
NORMAL = {"type": "Polygon", "coordinates": [[[300, 900], [1000, 900], [1000, 1050], [300, 1050], [300, 900]]]}
DARK = {"type": "Polygon", "coordinates": [[[510, 560], [740, 560], [740, 790], [510, 790], [510, 560]]]}


def test_an_accepted_lesion_and_a_drawn_region_are_extracted_and_trained_on(view_slide, results, tmp_path):
    out = tmp_path / "decisions"
    with open_slide(view_slide) as slide:
        full = slide.levels[0]
        pixels = slide.reader.read(0, 0, 0, full.width_px, full.height_px)
    # Training and validation need a slide each.
    other = write_pyramid(tmp_path / "other.tif", np.clip(pixels[::-1], 5, 250) - 5)
    with LocalServer([view_slide, other, results], out) as server:
        [result] = server.get("/api/slides/s1")["results"]
        [lesion] = server.get(f"/api/slides/s1/results/{result['id']}/lesions")["lesions"]
        for body in (
            drawn(geometry=lesion["polygon"], source="lesion", lesion=lesion["id"]),
            drawn(geometry=NORMAL, decision=None, **{"class": "Normal"}),
        ):
            assert server.put(f"/api/slides/s1/annotations/{uuid.uuid4()}", **body)[0] == 200
        for name, region in (("Tumor", DARK), ("Normal", NORMAL)):
            body = drawn(geometry=region, decision=None, **{"class": name})
            assert server.put(f"/api/slides/s2/annotations/{uuid.uuid4()}", **body)[0] == 200
    extracted = tmp_path / "extracted"
    succeeded(sentinode("extract", view_slide, other, "--annotations", out, "--annotated-only", "--out", extracted))
    patches = open_patches(extracted)
    tumour = (patches.table["label"] == 1).to_numpy()
    pixels = patches.read(range(len(patches)))
    dark = pixels[:, 32:64, 32:64, 1].min(axis=(1, 2)) < 120  # The lesion is around the dark part of the slide.
    assert not dark[~tumour].any() and (~tumour).any()
    assert dark[tumour].mean() > 0.5
    run = tmp_path / "run"
    succeeded(sentinode("train", extracted, "--model", "cnn", "--epochs", "1", "--out", run))
    assert pd.read_csv(run / "history.csv").shape[0] == 1


def test_labels_of_the_gallery_are_those_that_training_uses(mini, tmp_path):
    images, out, run = tmp_path / "images", tmp_path / "decisions", tmp_path / "run"
    images.mkdir()
    for number, pixels in enumerate(mini.read(range(40))):
        Image.fromarray(pixels).save(images / f"{number:02d}.png")
    with LocalServer([images], out) as server:
        for index in range(32):
            body = {"label": index % 2, "decision": None, "base_version": 0}
            assert server.put(f"/api/patches/{index}", **body)[0] == 200
    used = open_patches(images, table=out / "patches.csv")
    assert used.table["label"].tolist() == [0, 1] * 16
    succeeded(
        sentinode("train", images, "--table", out / "patches.csv", "--model", "cnn", "--epochs", "1", "--out", run)
    )
    assert pd.read_csv(run / "history.csv").shape[0] == 1
