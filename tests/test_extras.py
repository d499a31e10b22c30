"""What a feature says where the package that it needs is not installed."""

import sys
from pathlib import Path

import pytest

from sentinode import open_patches
from sentinode.errors import ConfigError
from sentinode.export.formats import find_format
from sentinode.inference.engines import open_engine
from sentinode.slides import open_slide
from sentinode.tuning.space import parse_dimension
from sentinode.tuning.study import tune


@pytest.fixture
def missing(monkeypatch):
    """Return a function that makes a package look as if it were not installed."""

    def hide(package):
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide


def test_a_parquet_file_without_pyarrow(missing, tmp_path):
    missing("pyarrow")
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    message = r"train\.parquet needs pyarrow, which is not installed; pip install 'sentinode\[parquet\]'"
    with pytest.raises(ConfigError, match=message):
        open_patches(tmp_path / "train.parquet")


def test_an_export_without_the_converter(missing):
    missing("tf2onnx")
    message = r"format onnx needs tf2onnx, which is not installed; pip install 'sentinode\[onnx\]'"
    with pytest.raises(ConfigError, match=message):
        find_format("onnx")


def test_an_engine_that_is_not_installed(missing):
    missing("onnxruntime")
    with pytest.raises(ConfigError, match=r"^onnxruntime is not installed; pip install 'sentinode\[onnx\]'$"):
        open_engine("onnxruntime", Path("model.onnx"))


def test_a_slide_without_tifffile(missing, tmp_path):
    missing("tifffile")
    (tmp_path / "slide.tif").write_bytes(b"II*\0")
    with pytest.raises(ConfigError, match=r"tifffile is not installed; pip install 'sentinode\[slides\]'"):
        open_slide(tmp_path / "slide.tif")


def test_a_search_without_optuna(missing, tmp_path):
    missing("optuna")
    space = [parse_dimension("epochs=1,2")]
    with pytest.raises(ConfigError, match=r"^optuna is not installed; pip install 'sentinode\[tune\]'$"):
        tune("cnn", open_patches("pcam-mini"), space, out=tmp_path / "study")
