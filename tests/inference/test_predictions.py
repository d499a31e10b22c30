"""Predictions: as a table, as files, from every form of the same pixels, in memory that does not grow."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.special import expit

from sentinode import Predictions, build_model, open_patches, predict
from sentinode.data.patchset import patch_table
from sentinode.errors import DataError, ModelError
from sentinode.evaluation.prediction_files import PredictionsFile
from sentinode.inference.kaggle import kaggle_ids
from sentinode.inference.logits import logit_model, tumour_logit
from sentinode.inference.predict import predict_logits
from sentinode.models.plain import plain_network


@pytest.fixture(scope="module")
def test_part(mini):
    part = mini.split("test")
    return part.select(range(0, len(part), 25))


@pytest.fixture(scope="module")
def forms(test_part, tmp_path_factory) -> dict[str, Path]:
    """The same pixels in the same order: images named by Kaggle's ids, and one HDF5 file."""
    folder = tmp_path_factory.mktemp("forms")
    pixels = sorted(test_part.read(), key=lambda patch: hashlib.sha1(patch.tobytes()).hexdigest())
    for ending in ("tif", "png"):
        (folder / ending).mkdir()
        for patch in pixels:
            Image.fromarray(patch).save(folder / ending / f"{hashlib.sha1(patch.tobytes()).hexdigest()}.{ending}")
    x = folder / "camelyonpatch_level_2_split_test_x.h5"
    with h5py.File(x, "w") as file:
        file["x"] = np.stack(pixels)
    return {"tif": folder / "tif", "png": folder / "png", "hdf5": x}


def logits_table(logits) -> Predictions:
    table = patch_table(
        [f"{number}.png" for number in range(len(logits))], [number % 2 for number in range(len(logits))]
    )
    return Predictions.from_logits(table, np.array(logits, dtype=np.float64), {"model": "by hand"})


def test_predictions_are_in_the_order_of_the_patches(tiny_run, test_part):
    found = predict(tiny_run, test_part)
    assert found.table["id"].tolist() == test_part.table["id"].tolist()
    assert found.labels.tolist() == test_part.labels.tolist()
    assert np.array_equal(found.table["logit"], tiny_run.calibration(predict_logits(tiny_run.model, test_part)))
    turned = predict(tiny_run, test_part.select(range(len(test_part))[::-1]))
    assert turned.table["logit"].to_numpy()[::-1] == pytest.approx(found.table["logit"].to_numpy(), abs=1e-6)


def test_the_probability_is_the_sigmoid_of_the_logit_and_the_models_own(tiny_run, test_part):
    table = predict(tiny_run.model, test_part).table
    assert table["probability"].dtype == table["logit"].dtype == np.float64
    assert np.array_equal(table["probability"], expit(table["logit"]))
    assert table["probability"].to_numpy() == pytest.approx(
        tiny_run.model.predict_on_batch(test_part.read())[:, 0], abs=1e-6
    )


def test_the_csv_has_its_columns_and_a_json_that_says_what_made_it(tiny_run, test_part, tmp_path):
    found = predict(tiny_run, test_part)
    found.write(tmp_path / "deep" / "it.csv")
    content = (tmp_path / "deep" / "it.csv").read_bytes()
    assert content.startswith(b"id,label,probability,logit,prediction,warning\n")
    assert b"\r" not in content
    made = json.loads((tmp_path / "deep" / "it.csv.json").read_text())
    weights = hashlib.sha256((tiny_run.path / "best.weights.h5").read_bytes()).hexdigest()
    assert (made["weights_sha256"], made["threshold"]) == (weights, tiny_run.threshold)
    assert (made["patches"], made["model"], made["data"]) == (len(test_part), str(tiny_run.path), "pcam-mini")


def test_any_text_is_an_id(tmp_path):
    names = ["NA", "null", "nan", "None"]
    table = patch_table(names, [0, 1, 0, 1])
    Predictions.from_logits(table, np.arange(4.0), {"model": "it"}).write(tmp_path / "it.csv")
    assert Predictions.read(tmp_path / "it.csv").table["id"].tolist() == names


def test_predictions_without_labels_have_no_label_column(tiny_run, forms, tmp_path):
    predict(tiny_run, open_patches(forms["png"])).write(tmp_path / "it.csv")
    assert (tmp_path / "it.csv").read_text().splitlines()[0] == "id,probability,logit,prediction,warning"
    assert Predictions.read(tmp_path / "it.csv").table["label"].isna().all()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_numbers_come_back_from_the_csv_bit_by_bit(tmp_path_factory, logits):
    path = tmp_path_factory.getbasetemp() / "exact.csv"
    written = logits_table(logits)
    written.write(path)
    back = Predictions.read(path)
    pd.testing.assert_frame_equal(back.table, written.table, check_exact=True)
    assert back.table["logit"].to_numpy().tobytes() == np.array(logits, dtype=np.float64).tobytes()


def test_a_table_never_stands_beside_the_threshold_of_another_model(tmp_path, monkeypatch):
    before, after = (replace(logits_table([0.0, 1.0]), made_by={"threshold": each}) for each in (0.9, 0.2))
    before.write(tmp_path / "it.csv")

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sentinode.inference.predictions.write_json", killed)
        after.write(tmp_path / "it.csv")
    assert PredictionsFile(tmp_path / "it.csv").threshold == 0.5  # As of a table without a file beside it.


def test_numbers_are_written_with_the_fewest_digits(tmp_path):
    logits_table([0.0, 0.1, -2.5]).write(tmp_path / "it.csv")
    assert [row.split(",")[3] for row in (tmp_path / "it.csv").read_text().splitlines()[1:]] == ["0.0", "0.1", "-2.5"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_refused_by_name(value):
    with pytest.raises(DataError, match=r"'1\.png'"):
        logits_table([0.5, value])


@pytest.mark.parametrize(
    "content", [None, "", "a,b\n1,2\n", "id,probability\nx,0.5\n", "id,probability,logit\nx,y,z\n"]
)
def test_what_is_not_a_predictions_csv_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "it.csv").write_text(content)
    with pytest.raises(DataError, match=r"it\.csv") as refused:
        Predictions.read(tmp_path / "it.csv")
    assert "\n" not in str(refused.value)


def test_the_form_of_the_patches_does_not_change_their_predictions(tiny_run, forms):
    logits = {name: predict(tiny_run, open_patches(path)).table["logit"].to_numpy() for name, path in forms.items()}
    assert np.array_equal(logits["png"], logits["tif"])
    assert np.array_equal(logits["png"], logits["hdf5"])


def test_caching_does_not_change_predictions(tiny_run, mini):
    rows = range(150)
    bare = open_patches("pcam-mini", split="test").select(rows)
    assert "sha1" not in bare.table
    one, other = predict(tiny_run, bare).table, predict(tiny_run, mini.split("test").select(rows)).table
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_submission_has_the_same_ids_from_images_and_from_hdf5(tiny_run, forms, tmp_path):
    for name, path in forms.items():
        patches = open_patches(path)
        predict(tiny_run, patches).write_kaggle(tmp_path / f"{name}.csv", kaggle_ids(patches))
    images = (tmp_path / "tif.csv").read_text()
    assert images == (tmp_path / "png.csv").read_text() == (tmp_path / "hdf5.csv").read_text()
    rows = images.splitlines()
    assert rows[0] == "id,label"
    assert [row.split(",")[0] for row in rows[1:]] == sorted(file.stem for file in forms["tif"].iterdir())
    probabilities = predict(tiny_run, open_patches(forms["tif"])).table["probability"]
    assert [float(row.split(",")[1]) for row in rows[1:]] == probabilities.tolist()


def test_a_softmax_gives_the_difference_of_its_two_logits(test_part):
    model = build_model("cnn", output="softmax")
    kernel, bias = model.layers[-1].get_weights()
    features = keras.Model(model.inputs, model.layers[-2].output).predict_on_batch(test_part.read())
    both = features @ kernel + bias
    assert predict_logits(model, test_part) == pytest.approx(both[:, 1] - both[:, 0], abs=1e-5)
    assert tumour_logit(np.float32([[1, 4]])).tolist() == [3.0]


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_a_network_with_turned_kernels_is_predicted_as_it_is_written_out(test_part, output):
    model = build_model("d4net", output=output, seed=1)
    said = predict_logits(model, test_part)
    assert np.array_equal(said, tumour_logit(plain_network(model).predict_on_batch(test_part.read())))
    assert said == pytest.approx(tumour_logit(logit_model(model).predict_on_batch(test_part.read())), abs=1e-5)


@pytest.mark.parametrize("last", [("relu", 1), ("softmax", 1), ("sigmoid", 2), ("softmax", 3), (None, 1)])
def test_a_network_with_another_last_layer_is_refused(last):
    activation, units = last
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation, name="end")], name="odd")
    with pytest.raises(ModelError, match=r"'odd' ends in 'end' \(Dense\)"):
        logit_model(model)
    flat = keras.Sequential([keras.Input((4,)), keras.layers.Flatten(name="end")], name="odd")
    with pytest.raises(ModelError, match=r"'odd' ends in 'end' \(Flatten\)"):
        logit_model(flat)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_patches(tmp_path):
    for count in (2000, 8000):
        with h5py.File(tmp_path / f"{count}_x.h5", "w") as file:
            x = file.create_dataset("x", (count, 96, 96, 3), "uint8", chunks=(10, 96, 96, 3))
            for start in range(0, count, 100):
                x[start : start + 100] = np.random.default_rng(start).integers(0, 256, (100, 96, 96, 3), np.uint8)
    script = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from sentinode import build_model, open_patches, predict\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) * 1024\n"
        "model = build_model('cnn', first_filters=1, second_filters=1, dense_units=1)\n"
        "for file in sys.argv[1:]:\n"
        "    print(len(predict(model, open_patches(file))), peak())"
    )
    files = [str(tmp_path / f"{count}_x.h5") for count in (2000, 8000)]
    done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (few, small), (many, large) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (few, many) == (2000, 8000)
    # Threads that read and compute reach their peak at their own time; half of the pixels would still tell.
    assert large - small < 0.5 * (many - few) * 96 * 96 * 3


def test_two_patches_with_one_kaggle_id_are_refused(mini, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(mini.read([0])[0]).save(tmp_path / folder / "1.png")
    with pytest.raises(DataError, match="two patches have the Kaggle id '1'"):
        kaggle_ids(open_patches(tmp_path))
