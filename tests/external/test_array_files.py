"""External ONNX, OpenVINO and TorchScript files: the right logits, every layout, and nothing outside is read."""

import importlib.util
import io
import struct
import warnings
import zipfile

import numpy as np
import pytest
from tests.commands import refused, sentinode, succeeded

from sentinode import Ensemble, evaluate, explain, predict
from sentinode.errors import ConfigError, ModelError
from sentinode.external.interpretation import to_logits
from sentinode.external.model import load_model_file

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None or importlib.util.find_spec("onnxruntime") is None,
    reason="onnx or onnxruntime is not installed",
)


def onnx_model(network, *, layout="nchw", batch="n", end="probability", dtype="float32", location=None):
    """Return an ONNX model of the same network."""
    from onnx import TensorProto, helper, numpy_helper

    conv, dense = network.layers[0].get_weights(), network.layers[-1].get_weights()
    kernel, bias = np.transpose(conv[0], (3, 2, 0, 1)), conv[1]
    weights = [dense[0], dense[1]]
    if end in ("softmax", "tumour-first"):
        columns = [np.zeros_like(dense[0]), dense[0]]
        biases = [np.zeros_like(dense[1]), dense[1]]
        order = (1, 0) if end == "tumour-first" else (0, 1)
        weights = [np.concatenate([part[each] for each in order], -1) for part in (columns, biases)]
    nodes, x = [], "patches"
    if dtype == "uint8":
        nodes += [helper.make_node("Cast", [x], ["cast"], to=TensorProto.FLOAT)]
        nodes += [helper.make_node("Div", ["cast", "scale"], ["scaled"])]
        x = "scaled"
    if layout == "nhwc":
        nodes += [helper.make_node("Transpose", [x], ["first"], perm=[0, 3, 1, 2])]
        x = "first"
    nodes += [
        helper.make_node("Conv", [x, "kernel", "bias"], ["conv"], strides=[3, 3]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["out" if end == "logit" else "logits"]),
    ]
    if end == "probability":
        nodes.append(helper.make_node("Sigmoid", ["logits"], ["out"]))
    elif end != "logit":
        nodes.append(helper.make_node("Softmax", ["logits"], ["out"]))
    tensors = {"kernel": kernel, "bias": bias, "w": weights[0], "b": weights[1], "scale": np.float32(255)}
    initializers = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in tensors.items()]
    if location is not None:
        from onnx.external_data_helper import set_external_data

        set_external_data(initializers[0], location, length=len(initializers[0].raw_data))
        initializers[0].ClearField("raw_data")
    shape = [batch, 3, 96, 96] if layout == "nchw" else [batch, 96, 96, 3]
    kind = TensorProto.UINT8 if dtype == "uint8" else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "it",
        [helper.make_tensor_value_info("patches", kind, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, weights[0].shape[1]])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), kernel


@pytest.fixture
def save(network, tmp_path):
    def save_as(name="my.onnx", **options):
        model, _ = onnx_model(network, **options)
        (tmp_path / name).write_bytes(model.SerializeToString())
        return tmp_path / name

    return save_as


@needs_onnx
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layout": "nhwc", "end": "logit"},
        {"batch": 1},
        {"batch": 16, "layout": "nhwc"},
        {"dtype": "uint8", "layout": "nhwc", "end": "softmax"},
        {"end": "softmax"},
    ],
)
def test_every_layout_batch_size_and_output_gives_the_logits_of_the_network(options, save, few, expected):
    model = load_model_file(save(**options))
    assert model.interpretation.scale.text == ("1" if options.get("dtype") else "1/255")
    found = predict(model, few)
    np.testing.assert_allclose(found.table["logit"], expected, atol=1e-3)
    assert found.made_by["engine"] == "onnxruntime"


@needs_onnx
def test_outputs_with_tumour_first_are_reported_and_can_be_stated(save, few, expected, caplog):
    file = save(end="tumour-first")
    load_model_file(file)
    assert caplog.text.rstrip().endswith("the classes seem to be swapped; use --model-output tumour-first")
    with pytest.raises(ModelError, match="2 outputs per patch, so --model-output must be softmax or tumour-first"):
        load_model_file(file, model_output="normal-probability")
    found = predict(load_model_file(file, model_output="tumour-first"), few)
    np.testing.assert_allclose(found.table["logit"], expected, atol=1e-3)


@needs_onnx
def test_an_onnx_file_is_evaluated_but_not_explained_or_trained(save, few, tmp_path):
    model = load_model_file(save())
    assert evaluate(model, few, "test", out=tmp_path / "it").ranking.auc.estimate > 0.6
    with pytest.raises(ModelError, match=r"my\.onnx is not a single Keras network"):
        explain(model, few)
    with pytest.raises(ConfigError, match="runs in onnxruntime, not in openvino"):
        predict(model, few, engine="openvino")
    with pytest.raises(ConfigError, match="leave precision out"):
        predict(model, few, precision="bfloat16")
    done = sentinode("train", "pcam-mini", "--model", tmp_path / "my.onnx", "--out", tmp_path / "run")
    refused(done, "my.onnx", "not a single Keras network")


@needs_onnx
def test_test_time_augmentation_is_the_mean_over_orientations(save, few):
    model = load_model_file(save())
    turned = predict(model, np.rot90(few.read(), axes=(1, 2))).table["logit"]
    straight = predict(model, few).table["logit"]
    assert np.abs(turned - straight).max() > 1e-4
    mean = predict(model, few, tta="d4").table["logit"]
    again = predict(model, np.rot90(few.read(), axes=(1, 2)).copy(), tta="d4").table["logit"]
    np.testing.assert_allclose(mean, again, atol=1e-5)


@needs_onnx
def test_an_ensemble_records_the_engine_of_each_member(save, tiny_run, few):
    file = load_model_file(save(), input_scale="1/255", model_output="probability")
    assert predict(Ensemble((file, tiny_run)), few).made_by["engine"] == ["onnxruntime", "keras"]
    assert predict(Ensemble((file,)), few).made_by["engine"] == "onnxruntime"


@needs_onnx
@pytest.mark.parametrize("location", ["../outside.bin", "/etc/passwd", "link.bin"])
def test_weights_outside_the_folder_are_refused(location, save, network, tmp_path):
    file = save(location=location)
    _, kernel = onnx_model(network)
    (tmp_path.parent / "outside.bin").write_bytes(np.asarray(kernel, np.float32).tobytes())
    (tmp_path / "link.bin").symlink_to(tmp_path.parent / "outside.bin")
    with pytest.raises(ModelError, match="refused, its weights are outside its folder"):
        load_model_file(file)


@needs_onnx
def test_weights_in_the_folder_are_read(save, network, few, expected, tmp_path):
    file = save(location="weights.bin")
    with pytest.raises(ModelError, match=r"weights\.bin, which contains its weights, is missing"):
        load_model_file(file)
    _, kernel = onnx_model(network)
    (tmp_path / "weights.bin").write_bytes(np.asarray(kernel, np.float32).tobytes())
    np.testing.assert_allclose(predict(load_model_file(file), few).table["logit"], expected, atol=1e-3)


@needs_onnx
def test_compare_accepts_a_model_file_and_a_run(save, few, tmp_path, tiny_run):
    np.savez(tmp_path / "test.npz", x=few.read(), y=few.labels)
    models = ("--model", f"theirs={save()}", "--model", f"ours={tiny_run.path}")
    text = succeeded(sentinode("compare", tmp_path / "test.npz", *models, "--out", tmp_path / "c"))
    assert "theirs" in text
    assert (tmp_path / "c" / "compare.json").is_file()


@needs_onnx
def test_openvino_reads_its_own_files(save, few, expected, tmp_path):
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    from sentinode.inference.engines import openvino

    vino = openvino()
    vino.save_model(vino.Core().read_model(str(save())), str(tmp_path / "my.xml"), compress_to_fp16=False)
    found = predict(load_model_file(tmp_path / "my.xml"), few)
    np.testing.assert_allclose(found.table["logit"], expected, atol=1e-3)


@pytest.mark.slow
def test_torchscript_gives_the_logits_and_pickles_are_refused(network, few, expected, tmp_path):
    torch = pytest.importorskip("torch")
    conv, dense = network.layers[0].get_weights(), network.layers[-1].get_weights()
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 24, 5, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 1),
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.from_numpy(np.transpose(conv[0], (3, 2, 0, 1)).copy()))
        model[0].bias.copy_(torch.from_numpy(conv[1]))
        model[4].weight.copy_(torch.from_numpy(dense[0].T.copy()))
        model[4].bias.copy_(torch.from_numpy(dense[1]))
    torch.jit.trace(model.eval(), torch.zeros(2, 3, 96, 96)).save(str(tmp_path / "my.pt"))
    found = predict(load_model_file(tmp_path / "my.pt"), few)
    np.testing.assert_allclose(found.table["logit"], expected, atol=1e-3)
    torch.save(model, tmp_path / "pickle.pt")
    with pytest.raises(ModelError, match=r"refused, a pickle of torch\.save"):
        load_model_file(tmp_path / "pickle.pt")


class Archive:
    """The entries of a small scripted model, to be written with other code."""

    def __init__(self, path):
        torch = pytest.importorskip("torch")

        class Mean(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.ops = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3))])

            def forward(self, x):
                for op in self.ops:
                    x = op(x)
                return x.mean(dim=(1, 2, 3))[:, None]

        self.path = path
        torch.jit.script(Mean()).save(str(path))
        with zipfile.ZipFile(path) as archive:
            self.entries = [(name, archive.read(name)) for name in archive.namelist()]
        self.name = next(name for name, content in self.entries if b"class Mean" in content and name.endswith(".py"))

    def code(self, statement):
        start = dict(self.entries)[self.name].decode()
        head = start.index("Tensor:\n") + len("Tensor:\n")
        return (start[:head] + f"    {statement}\n" + start[head:]).encode()

    def content(self, *others):
        """Return the archive, with other entries in the place of that of the code."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive, warnings.catch_warnings(action="ignore"):
            for name, old in self.entries:
                for entry in others if name == self.name and others else [(name, old)]:
                    archive.writestr(*entry)
        return content.getvalue()

    def refused(self, content, match):
        self.path.write_bytes(content)
        with pytest.raises(ModelError, match=match):
            load_model_file(self.path, input_scale="1")


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "it.pt")


@pytest.mark.slow
def test_a_scripted_model_is_loaded(archive):
    assert load_model_file(archive.path, input_scale="1").interpretation.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        'torch.save(x, "it.bin")',
        'torch .save(x, "it.bin")',
        '(torch. #\n save)(x, "it.bin")',
        'torch\\\n.save(x, "it.bin")',
        't = torch\n    t.save(x, "it.bin")',
        's = torch.save\n    s(x, "it.bin")',
        'torch.autograd.save(x, "it.bin")',
        'getattr(torch, "\\163ave")(x, "it.bin")',
        'ops.aten.save(x, "it.bin")',
        'o = ops\n    o.aten.save(x, "it.bin")',
        'y = torch.from_file("it.bin")',
        "c = __torch__\n    d = c.torch.classes.c10d.Work()",
        "d = __torch__.torch.classes.c10d.Work()",
    ],
)
def test_torchscript_that_reaches_beyond_the_model_is_refused(statement, archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive.refused(archive.content((archive.name, archive.code(statement))), "refused, its code uses")
    assert not (tmp_path / "it.bin").exists()


@pytest.mark.slow
def test_the_code_that_pytorch_finds_in_an_archive_is_checked(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harmful = archive.code('torch.save(x, "it.bin")')
    upper = archive.name.removesuffix(".py") + ".PY"
    archive.refused(archive.content((upper, harmful)), r"uses torch\.save")
    for name in (archive.name, upper):  # PyTorch may read the other one than zipfile.
        archive.refused(archive.content((name, harmful), (archive.name, archive.code("pass"))), "an entry twice")
    archive.refused(two_directories(archive.content((archive.name, harmful)), archive.content()), r"uses torch\.save")
    archive.refused(archive.content(("it/model.json", b"{}"), (archive.name, archive.code("pass"))), r"PyTorch 1\.2")
    assert not (tmp_path / "it.bin").exists()


def two_directories(first, second):
    """Return a zip that is the first for readers that follow its offsets, and the second for `zipfile`."""
    end = struct.Struct("<4s4H2LH")  # The end of central directory record.
    signature, *_, count, size, offset, _ = end.unpack(first[-end.size :])
    *_, other_offset, _ = end.unpack(second[-end.size :])
    start = len(first) - end.size
    body = bytearray(first[:start] + second[: -end.size])
    # zipfile takes for prepended bytes what lies between the stated and the real offset, and adds it to all others.
    prepended = start + other_offset - offset
    position = start + other_offset
    while position < len(body):
        name, extra, comment = struct.unpack_from("<3H", body, position + 28)
        (header,) = struct.unpack_from("<L", body, position + 42)
        struct.pack_into("<L", body, position + 42, header + start - prepended)
        position += 46 + name + extra + comment
    return bytes(body) + end.pack(signature, 0, 0, count, count, size, offset, 0)


def test_outputs_that_are_no_probabilities_are_refused_with_the_file_and_the_option():
    with pytest.raises(ModelError, match=r"my\.onnx: outputs range from -3 to 2, .*use --model-output logit"):
        to_logits(np.array([[-3.0], [2.0]]), "probability", "my.onnx")
