"""Broken and hostile HDF5 files: refused by name, never a crash."""

import random

import h5py
import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches

X, Y, META = (f"{forms.PCAM}train_{part}" for part in ("x.h5", "y.h5", "meta.csv"))


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 60))


def link(kind, *place: str):
    """Return a maker of a link to a real data set, in the same file or in another."""

    def make(file: h5py.File, key: str) -> None:
        file["elsewhere"] = np.zeros((9, 96, 96, 3), np.uint8)
        file[key] = kind(*place)

    return make


def virtual(file: h5py.File, key: str) -> None:
    layout = h5py.VirtualLayout((18, 96, 96, 3), "uint8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (18, 96, 96, 3))
    file.create_virtual_dataset(key, layout)


def kept_elsewhere(file: h5py.File, key: str) -> None:
    file.create_dataset(key, (18, 96, 96, 3), "uint8", external=[("/etc/hostname", 0, 18 * 27648)])


def labels_with(value) -> bytes:
    return forms.hdf5(y=np.array([0, 1, 0, value] + [1] * 14).reshape(-1, 1, 1, 1))


HDF5 = {
    "x truncated": (X, lambda p: forms.hdf5(x=p)[:-100], "not a readable HDF5"),
    "x is text": (X, lambda p: b"no patches\n" * 99, "not a readable HDF5"),
    "x empty file": (X, lambda p: b"", "not a readable HDF5"),
    "x of another name": (X, lambda p: forms.hdf5(a=p, b=p), "no data set 'x'", "a, b"),
    "x a group": (X, lambda p: forms.hdf5(x=lambda file, key: file.create_group(key)), "no data set 'x'"),
    "x float": (X, lambda p: forms.hdf5(x=p / np.float32(255)), "float32"),
    "x too small": (X, lambda p: forms.hdf5(x=p[:, :95]), "96 × 95 px"),
    "x channels first": (X, lambda p: forms.hdf5(x=p.transpose(0, 3, 1, 2)), "(18, 3, 96, 96)"),
    "x one patch": (X, lambda p: forms.hdf5(x=p[0]), "(96, 96, 3)"),
    "x without a shape": (X, lambda p: forms.hdf5(x=h5py.Empty("uint8"))),
    "x soft link": (X, lambda p: forms.hdf5(x=link(h5py.SoftLink, "/elsewhere")), "'x'"),
    "x external link": (X, lambda p: forms.hdf5(x=link(h5py.ExternalLink, "other.h5", "/x")), "'x'"),
    "x virtual": (X, lambda p: forms.hdf5(x=virtual), "other files"),
    "x kept elsewhere": (X, lambda p: forms.hdf5(x=kept_elsewhere), "other files"),
    "x shorter than y": (X, lambda p: forms.hdf5(x=p[1:]), "18 labels for 17 patches"),
    "y truncated": (Y, lambda p: labels_with(0)[:-10], "not a readable HDF5"),
    "y of 2": (Y, lambda p: labels_with(2), "row 3", "label 2"),
    "y of NaN": (Y, lambda p: labels_with(np.nan), "row 3", "nan"),
    "y of a half": (Y, lambda p: labels_with(0.5), "row 3", "0.5"),
    "y of words": (Y, lambda p: forms.hdf5(y=[b"unsure"] * 18), "row 0", "unsure"),
    "y without a shape": (Y, lambda p: forms.hdf5(y=h5py.Empty("uint8"))),
    "meta shorter": (META, lambda p: forms.meta_csv([0] * 17), "17 rows for 18 patches"),
    "meta without slide": (META, lambda p: forms.meta_csv([0] * 18).replace(b"wsi", b"slide"), "no column wsi"),
    "meta empty": (META, lambda p: b"", "not a readable csv"),
    "meta position a word": (META, lambda p: forms.meta_csv([0] * 18).replace(b",47,", b",left,"), "coord_y"),
    "meta position a half": (META, lambda p: forms.meta_csv([0] * 18).replace(b",47,", b",4.7,"), "coord_y"),
}


@pytest.mark.parametrize("container", ["folder", "deflated"])
@pytest.mark.parametrize("wrong", HDF5)
def test_a_wrong_hdf5_is_refused_by_name(few, wrong, container, tmp_path):
    name, content, *named = HDF5[wrong]
    files, _ = forms.pcam_hdf5(few.split("train"))
    path = forms.write(files | {name: content(few.split("train").read())}, tmp_path / "patches", container)
    forms.refused(lambda: open_patches(path).read(), name if "shorter" not in wrong else str(path), *named)


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 60), marks=pytest.mark.slow)], ids=len)
@pytest.mark.parametrize("container", ["folder", "deflated"])
@pytest.mark.parametrize("form", ["pcam_hdf5", "kaggle"])
def test_damaged_hdf5_files_are_read_or_refused(few, form, container, seeds, tmp_path):
    files, _ = forms.FORMS[form](few.select([10, 11]))
    whole = forms.write(files, tmp_path / "patches", container)
    targets = sorted(whole.rglob("*.*")) if container == "folder" else [whole]
    for target in (path for path in targets if path.is_file()):
        content = target.read_bytes()
        for seed in seeds:
            damaged, draw = bytearray(content), random.Random(seed)
            if seed % 3 == 0:
                damaged = damaged[: draw.randrange(len(content))]
            else:
                damaged[draw.randrange(min(len(content), 4000)) * (seed % 3 - 2)] ^= draw.randrange(1, 256)
            target.write_bytes(damaged)
            forms.accepted_or_refused(whole)
        target.write_bytes(content)
