"""Exported networks in the software that they are for: the same logits as Keras', and refusals that leave nothing."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import expit

from sentinode import build_model, export_run, extras, load_run, open_patches, predict
from sentinode.cli.main import main
from sentinode.data.open import sample_patches
from sentinode.errors import ConfigError, ModelError, OutputError
from sentinode.export import export, formats
from sentinode.export.cached import engine_path
from sentinode.export.network import exported_network
from sentinode.export.runtimes import call_python, logits_of
from sentinode.inference.inputs import as_patches
from sentinode.inference.keras_predictor import KerasPredictor
from sentinode.metrics import Calibration

ALLOWED = 1e-4
NETWORKS: dict[str, dict[str, Any]] = {
    "cnn": {"name": "cnn", "output": "softmax"},
    "mlp": {"name": "mlp"},
    "d4net": {"name": "d4net", "size": "s", "exposure_correction": True},
    "transfer": {"name": "transfer", "backbone": "MobileNet", "output": "softmax"},
    "resnet18": {"name": "resnet18", "width": 8},
}


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def trained_model(model: keras.Model) -> KerasPredictor:
    """Return a predictor with a calibration and a threshold of its own."""
    return KerasPredictor(model, 0.3, Calibration(1.25, 0.5))


@pytest.fixture(scope="module")
def small() -> KerasPredictor:
    return trained_model(build_model("mlp", dense_units=2))


def with_values_of_its_own(model: keras.Model, sample: Any) -> KerasPredictor:
    """Give every weight a value of its own, and logits that differ from patch to patch."""
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(sample.read(), training=True)
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        if len(weight.shape) == 1:
            weight.assign(weight + 0.05 * rng.normal(size=weight.shape).astype("float32"))
    last, logits = model.layers[-1], predict(model, sample).table["logit"]
    kernel, bias = (weight / np.std(logits) for weight in last.get_weights())
    bias[-1] -= np.mean(logits) / np.std(logits)
    last.set_weights([kernel, bias])
    return trained_model(model)


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request, sample) -> KerasPredictor:
    return with_values_of_its_own(build_model(seed=2, **NETWORKS[request.param]), sample)


@pytest.fixture(scope="module")
def sample(mini):
    pixels = mini.split("test").select(range(0, 400, 50)).read()
    pixels[::4] //= 2  # Underexposed.
    return as_patches(pixels)


@pytest.fixture(scope="module")
def said(trained, sample) -> np.ndarray:
    logits = predict(trained, sample).table["logit"].to_numpy()
    assert np.ptp(logits) > 1
    return logits


@pytest.fixture(scope="module")
def network(trained, folder) -> Path:
    file = folder / f"{trained.model.name}.keras"
    exported_network(trained.model, trained.calibration).save(file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("networks")


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [inner for layer in model.layers for inner in (all_layers(layer) if hasattr(layer, "layers") else [layer])]


def test_the_keras_file_has_standard_layers_alone_and_the_same_answers(network, sample, said):
    loaded = keras.saving.load_model(network)
    assert {type(layer).__module__.split(".")[0] for layer in all_layers(loaded)} == {"keras"}
    assert (loaded.input_shape, loaded.inputs[0].dtype, loaded.output_shape) == ((None, 96, 96, 3), "uint8", (None, 1))
    np.testing.assert_allclose(loaded.predict_on_batch(sample.read())[:, 0], expit(said), atol=1e-5)
    np.testing.assert_allclose(logits_of("keras", network, sample.read()), said, atol=ALLOWED)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="converted on TensorFlow, and this is another")
def test_onnx_gives_logits_and_probabilities(network, sample, said, tmp_path):
    needs("tf2onnx")
    ort = pytest.importorskip("onnxruntime")
    from sentinode.export.conversion import convert

    convert("onnx", network, tmp_path / "model.onnx")
    np.testing.assert_allclose(logits_of("onnx", tmp_path / "model.onnx", sample.read()), said, atol=ALLOWED)
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    [patches] = session.get_inputs()
    assert (patches.name, patches.type, patches.shape[1:]) == ("patches", "tensor(uint8)", [96, 96, 3])
    probability, logit = session.run(["probability", "logit"], {"patches": sample.read()})
    assert probability.shape == logit.shape == (len(sample), 1)
    np.testing.assert_allclose(probability[:, 0], expit(said), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="converted on TensorFlow, and this is another")
def test_openvino_gives_logits_and_probabilities(network, sample, said, tmp_path):
    needs("openvino")
    from sentinode.export.conversion import convert
    from sentinode.inference.engines import openvino

    convert("openvino", network, tmp_path / "model.xml")
    np.testing.assert_allclose(logits_of("openvino", tmp_path / "model.xml", sample.read()), said, atol=ALLOWED)
    core = openvino().Core()
    compiled = core.compile_model(core.read_model(tmp_path / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert compiled.input().any_name == "patches"
    np.testing.assert_allclose(compiled(sample.read())["probability"][:, 0], expit(said), atol=1e-5)


def test_a_conversion_takes_no_module_from_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "planted.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"converting failed .*No module named 'planted'"):
        call_python("-c", "import planted", what="converting")


def test_openvino_tells_nobody_that_it_is_used():
    needs("openvino")
    script = (
        "import sys\nfrom sentinode.inference.engines import openvino\nopenvino().Core()\n"
        "assert sys.modules['openvino_telemetry'] is None"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.slow
def test_wsinfer_gives_two_logits_without_keras(sample, tmp_path):
    """All networks in one test, since each start of Keras on PyTorch takes seconds."""
    needs("torch")
    said = {}
    for name, options in NETWORKS.items():
        made = with_values_of_its_own(build_model(seed=2, **options), sample)
        said[name] = predict(made, sample).table["logit"].to_numpy()
        exported_network(made.model, made.calibration).save(tmp_path / f"{name}.keras")
    script = (
        "import sys\nfrom pathlib import Path\nfrom sentinode.export.conversion import convert\n"
        "for file in map(Path, sys.argv[1:]): convert('wsinfer', file, file.with_suffix('.pt'))"
    )
    files = [str(tmp_path / f"{name}.keras") for name in NETWORKS]
    call_python("-c", script, *files, what="converting", environment={**os.environ, "KERAS_BACKEND": "torch"})
    np.save(tmp_path / "pixels.npy", sample.read())
    computing = (
        "import sys\nimport numpy as np, torch\n"
        "tiles = torch.from_numpy(np.load(sys.argv[1])).permute(0, 3, 1, 2).contiguous().float().div(255)\n"
        "for file in sys.argv[2:]:\n"
        "    network = torch.jit.load(file, map_location='cpu').eval()\n"
        "    with torch.no_grad():\n"
        "        logits = torch.cat([network(part) for part in (tiles[:1], tiles[1:])]).double()\n"
        "    np.save(f'{file}.npy', (logits[:, 1] - logits[:, 0]).numpy())\n"
        "assert not {'keras', 'sentinode'} & set(sys.modules)"
    )
    made = [str(tmp_path / f"{name}.pt") for name in NETWORKS]
    call_python("-c", computing, str(tmp_path / "pixels.npy"), *made, what="computing")
    for name, logits in said.items():
        file = tmp_path / f"{name}.pt"
        np.testing.assert_allclose(np.load(f"{file}.npy"), logits, atol=ALLOWED, err_msg=name)
        with zipfile.ZipFile(file) as archive:
            code = "".join(archive.read(part).decode() for part in archive.namelist() if part.endswith(".py"))
        assert "torch.device(" not in code, f"{name}: a device is written into the network"


def test_a_network_with_custom_layers_is_refused_as_a_file_of_keras(tmp_path):
    with pytest.raises(ModelError, match="D4Conv"):
        export_run(build_model("p4m-densenet", first_filters=1, growth=1), tmp_path / "it.keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_folder_for_wsinfer_follows_its_schema(small, tmp_path):
    needs("torch")
    needs("wsinfer_zoo")
    from wsinfer_zoo import client as zoo

    made = export_run(small, tmp_path / "ours", "wsinfer")
    assert made.difference <= ALLOWED
    assert sorted(path.name for path in made.path.iterdir()) == ["config.json", "torchscript_model.pt"]
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]
    config = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert zoo.validate_config_json(config)
    read = zoo.ModelConfiguration.from_dict({name: config[name] for name in config if name != "sentinode"})
    assert read.get_slide_patch_size(0.486) == 192
    expected = {
        "spec_version": "1.0",
        "architecture": "mlp",
        "num_classes": 2,
        "patch_size_pixels": 96,
        "spacing_um_px": 0.972,
        "class_names": ["normal", "tumour"],
        "transform": [{"name": "Resize", "arguments": {"size": 96}}, {"name": "ToTensor"}],
    }
    assert {name: config[name] for name in expected} == expected
    assert set(config) == {*expected, "sentinode"}


# The first swaps colors and subtracts a mean of each; the others scale in their own ways, or not at all.
@pytest.mark.parametrize("backbone", ["VGG16", "ResNet50V2", "DenseNet121", "EfficientNetB0"])
def test_every_preprocessing_of_a_backbone_becomes_standard_layers(backbone, sample):
    from sentinode.layers.preprocessing import BackbonePreprocessing

    module = getattr(keras.applications, backbone).__module__.rsplit(".", 1)[-1]
    patches = keras.Input((96, 96, 3), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(BackbonePreprocessing(module)(patches))
    model = keras.Model(patches, keras.layers.Dense(1, "sigmoid")(x))
    standard = exported_network(model)
    assert {type(layer).__module__.split(".")[0] for layer in all_layers(standard)} == {"keras"}
    said = predict(model, sample).table["logit"].to_numpy()
    # Rounding is a share of the largest numbers within the network, not of each logit.
    np.testing.assert_allclose(predict(standard, sample).table["logit"], said, atol=1e-5 * np.abs(said).max())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "engine"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_an_engine_predicts_what_keras_predicts_and_starts_without_it(kind, engine, sample, tmp_path):
    for module in formats.FORMATS[kind].needs:
        needs(module)
    run = load_run("d4net-m")  # Other tests need its exports too.
    expected = predict(run, sample).table
    found = predict(run, sample, engine=engine)
    np.testing.assert_allclose(found.table["logit"], expected["logit"], atol=ALLOWED)
    assert found.table["id"].tolist() == expected["id"].tolist()
    assert found.made_by["engine"] == engine
    file = engine_path(run, run.path / "model.json", engine)
    assert Path(os.environ["SENTINODE_CACHE"]) in file.parents
    before = file.stat().st_mtime_ns
    script = (
        "import sys\nfrom sentinode.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\nassert not {'keras', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    arguments = ["predict", "pcam-mini", "--split", "test", "--model", "d4net-m", "--engine", engine]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments), "--out", str(tmp_path / "it.csv")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "it.csv").read_text().splitlines()) == 401
    assert file.stat().st_mtime_ns == before


def test_the_command_writes_a_file_and_says_how_far_it_is_from_keras(tiny_run, tmp_path, capsys):
    out = tmp_path / "deep" / "model.keras"
    assert main(["export", "--model", str(tiny_run.path), "--format", "keras", "--out", str(out)]) == 0
    assert "expects uint8 patches from 0 to 255" in capsys.readouterr().out
    about = json.loads(Path(f"{out}.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.keras", "model.keras.json"]
    assert (about["threshold"], Calibration(**about["calibration"])) == (tiny_run.threshold, tiny_run.calibration)
    assert about["weights_sha256"] == tiny_run.identity["weights_sha256"]
    assert about["class_names"] == ["normal", "tumour"]
    assert str(tiny_run.path.parent) not in Path(f"{out}.json").read_text(encoding="utf-8")


def test_an_export_again_replaces_the_first(small, tmp_path):
    export_run(small, tmp_path / "it.keras")
    export_run(small, tmp_path / "it.keras", spacing_um_px=0.5)
    about = json.loads((tmp_path / "it.keras.json").read_text(encoding="utf-8"))
    assert about["input"]["spacing_um_px"] == 0.5


@pytest.mark.parametrize(
    ("kind", "out", "said"),
    [
        ("keras", "it.h5", r"it\.h5: format keras is a file that ends in \.keras"),
        ("keras", "folder.keras", r"folder\.keras: format keras is a file"),
        ("nonsense", "it.nonsense", "format must be one of keras, onnx, openvino, wsinfer; got 'nonsense'"),
    ],
)
def test_another_place_or_format_is_refused(small, tmp_path, kind, out, said):
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ConfigError, match=said):
        export_run(small, tmp_path / out, kind)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.keras"]


@pytest.mark.slow
def test_a_folder_that_is_no_export_is_left_alone(small, tmp_path):
    needs("torch")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="this is something else"):
        export_run(small, tmp_path, "wsinfer")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_missing_package_is_named_with_its_extra(small, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    for kind, extra in (("onnx", "onnx"), ("openvino", "openvino"), ("wsinfer", "torch")):
        with pytest.raises(ConfigError, match=rf"format {kind} needs .*pip install 'sentinode\[{extra}\]'"):
            export_run(small, tmp_path / f"it{formats.FORMATS[kind].ending}", kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by", [0.01, float("nan")])
def test_an_export_with_other_predictions_is_refused_and_leaves_nothing(small, tmp_path, monkeypatch, by):
    monkeypatch.setattr(export, "logits_of", lambda kind, file, pixels: logits_of(kind, file, pixels) + by)
    with pytest.raises(ModelError, match=r"it\.keras: not written, because the logits of keras .* differ"):
        export_run(small, tmp_path / "it.keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_conversion_that_fails_says_so_in_one_line(small, tmp_path, monkeypatch):
    needs("torch")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    (tmp_path / "modules" / "torch").mkdir(parents=True)
    (tmp_path / "modules" / "torch" / "__init__.py").write_text("raise RuntimeError('broken on purpose')")
    with pytest.raises(ModelError, match=r"the conversion to wsinfer with Keras on torch failed \(") as refused:
        export_run(small, tmp_path / "out", "wsinfer")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_engine_is_refused(small, sample):
    with pytest.raises(ConfigError, match="engine must be one of keras, onnxruntime, openvino; got 'nonsense'"):
        predict(small, sample, engine="nonsense")
    with pytest.raises(ConfigError, match="engine openvino needs a run"):
        predict(small.model, sample, engine="openvino")


def test_a_broken_file_in_the_cache_is_refused_by_name(tmp_path):
    needs("onnxruntime")
    from sentinode.inference.engines import open_engine

    (tmp_path / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot load it \(.*\); delete the file") as refused:
        open_engine("onnxruntime", tmp_path / "model.onnx")
    assert "\n" not in str(refused.value)


def test_the_sample_that_checks_an_export_has_both_classes():
    sample = sample_patches("test", export.SAMPLE_PATCHES)
    assert len(sample) == export.SAMPLE_PATCHES
    assert set(sample.labels) == {0, 1}
    assert sample.path == open_patches("pcam-mini").path


def test_notes_in_a_folder_for_wsinfer_are_not_deleted(tmp_path):
    (tmp_path / "config.json").write_text('{"sentinode": {}}')
    formats.check_export_path(tmp_path, "wsinfer")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"contains notes\.txt"):
        formats.check_export_path(tmp_path, "wsinfer")


def test_a_file_that_is_no_part_of_an_export_is_not_written_over(tmp_path):
    (tmp_path / "it.bin").write_text("mine")
    with pytest.raises(ConfigError, match=r"it\.bin exists without it\.xml; delete it, or choose another output file"):
        formats.check_export_path(tmp_path / "it.xml", "openvino")
    (tmp_path / "it.xml").touch()
    formats.check_export_path(tmp_path / "it.xml", "openvino")
    (tmp_path / "folder.bin").mkdir()
    with pytest.raises(OutputError, match=r"folder\.bin: is a folder"):
        formats.check_export_path(tmp_path / "folder.xml", "openvino")


def test_an_export_that_is_killed_leaves_no_description_of_other_weights(tmp_path, monkeypatch):
    for name in ("it.xml", "it.bin", "model.xml", "model.bin"):
        (tmp_path / name).write_text(name)

    def until_the_description(source, target):
        if source.suffix == ".xml":
            raise KeyboardInterrupt
        Path(target).write_bytes(source.read_bytes())

    monkeypatch.setattr("shutil.copyfile", until_the_description)
    with pytest.raises(KeyboardInterrupt):
        export._place_files(tmp_path, tmp_path / "it.xml", "openvino")
    assert (tmp_path / "it.bin").read_text() == "model.bin"
    assert not (tmp_path / "it.xml").exists()
