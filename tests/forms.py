"""Writers of every form in which patches are met.

A form turns patches into files (name to bytes) and into the rows that a reader must find in them. Written files can
be broken, renamed or added to before they are laid in a folder or a zip.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from sentinode import PatchSet, open_patches
from sentinode.errors import DataError

FORMATS = {"png": "PNG", "tif": "TIFF", "jpg": "JPEG"}
# Containers, and what the name of a form gets in them.
CONTAINERS = {"folder": "", "stored": " in a zip", "deflated": " in a zip", "tar": " in a tar"}
PCAM = "camelyonpatch_level_2_split_"
# Kaggle's two odd patches: users often delete their files, or drop their rows.
BLACK, OFTEN_DROPPED = "9369c7278ec8bcc6c880d99194de09fc2bd4efbe", "dd6dfed324f9fcb6f93f46f32fc800f2ec196be2"

Files = dict[str, bytes]


class Row(NamedTuple):
    """What a reader must find of one patch."""

    id: str
    label: int | None
    split: str | None
    sha1: str


class Drawn(NamedTuple):
    """Patches that a test made itself, as a reader."""

    pixels: np.ndarray

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.pixels[rows]

    def stamps(self, rows: np.ndarray) -> list[str]:
        return [sha1(self.pixels[row]) for row in rows]


def sha1(pixels: np.ndarray) -> str:
    return hashlib.sha1(pixels.tobytes()).hexdigest()


def encode(pixels: np.ndarray, ending: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, options.pop("format", None) or FORMATS[ending], **options)
    return buffer.getvalue()


def decode(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def known(patches: PatchSet) -> Iterable[tuple[int, np.ndarray, int, str]]:
    """Give number, pixels, label and split of each patch."""
    split = patches.table["split"]
    return zip(range(len(patches)), patches.read(), patches.labels.tolist(), split, strict=True)


def class_folders(patches: PatchSet, ending: str, splits: bool = True) -> tuple[Files, list[Row]]:
    files, rows = {}, []
    for number, pixels, label, split in known(patches):
        name = f"{split}/{label}/{number:04}.{ending}" if splits else f"{label}/{number:04}.{ending}"
        files[name] = encode(pixels, ending)
        rows.append(Row(name, label, split if splits else None, sha1(decode(files[name]))))
    return files, rows


def course(patches: PatchSet) -> tuple[Files, list[Row]]:
    """Write the course's layout: ``train+val`` in class folders, ``test`` flat and without labels."""
    files, rows = {}, []
    for number, pixels, label, split in known(patches):
        name = f"test/{number:04}.jpg" if split == "test" else f"train+val/{split}/{label}/{number:04}.jpg"
        files[name] = encode(pixels, "jpg")
        rows.append(Row(name, None if split == "test" else label, split, sha1(decode(files[name]))))
    return files, rows


def kaggle(patches: PatchSet) -> tuple[Files, list[Row]]:
    files, rows, labels = {}, [], ["id,label"]
    for _, pixels, label, split in known(patches):
        is_test = split == "test"
        name = f"{'test' if is_test else 'train'}/{sha1(pixels)}.tif"
        files[name] = encode(pixels, "tif")
        rows.append(Row(name, None if is_test else label, "test" if is_test else "train", sha1(pixels)))
        if not is_test:
            labels.append(f"{sha1(pixels)},{label}")
    files["train_labels.csv"] = ("\n".join(labels) + "\n").encode()
    return files, rows


def kaggle_with_odd(patches: PatchSet) -> tuple[Files, list[Row]]:
    """Write Kaggle's layout with its two odd patches, which the csv names first and last."""
    files, rows = kaggle(patches)
    odd = {BLACK: np.zeros((96, 96, 3), np.uint8), OFTEN_DROPPED: patches.read([0])[0]}
    for name, pixels in odd.items():
        files[f"train/{name}.tif"] = encode(pixels, "tif")
        rows.append(Row(f"train/{name}.tif", 0, "train", sha1(pixels)))
    header, *lines = files["train_labels.csv"].decode().splitlines()
    files["train_labels.csv"] = "\n".join([header, f"{BLACK},0", *lines, f"{OFTEN_DROPPED},0", ""]).encode()
    return files, rows


def hdf5(**datasets: Any) -> bytes:
    """Return an HDF5 file's bytes; a data set is an array, or a function of the open file and the key."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for key, content in datasets.items():
            if callable(content):
                content(file, key)
            else:
                file.create_dataset(key, data=content)
    return buffer.getvalue()


def _packed(array: np.ndarray) -> Callable[[h5py.File, str], Any]:
    return lambda file, key: file.create_dataset(
        key, data=array, chunks=(min(2, len(array)), *array.shape[1:]), compression="gzip"
    )


def slides(labels: list[int]) -> list[str]:
    """Return the slide that `meta_csv` names for each patch."""
    kinds = {0: "normal", 1: "tumor"}
    return [f"camelyon16_train_{kinds[label]}_{90 - 60 * label + row:03}" for row, label in enumerate(labels)]


def meta_csv(labels: list[int]) -> bytes:
    rows = range(len(labels))
    flags = [bool(label) for label in labels]
    table = {"coord_y": [40 * row + 7 for row in rows], "coord_x": [1000 - row for row in rows]}
    table |= {"tumor_patch": flags, "center_tumor_patch": flags, "wsi": slides(labels)}
    return pd.DataFrame(table).to_csv().encode()


def pcam_hdf5(patches: PatchSet) -> tuple[Files, list[Row]]:
    files, rows = {}, []
    for split in patches.split_names:
        part = patches.split(split)
        pixels, labels = part.read(), part.labels
        files[f"{PCAM}{split}_x.h5"] = hdf5(x=_packed(pixels))
        files[f"{PCAM}{split}_y.h5"] = hdf5(y=labels.astype(np.uint8).reshape(-1, 1, 1, 1))
        files[f"{PCAM}{split}_meta.csv"] = meta_csv(labels.tolist())
        rows += [
            Row(f"{split}/{row}", label, split, sha1(patch))
            for row, (patch, label) in enumerate(zip(pixels, labels.tolist(), strict=True))
        ]
    return files, rows


def pcam_hdf5_gz(patches: PatchSet) -> tuple[Files, list[Row]]:
    """Write PCam's files as they are downloaded: all but the meta csv gzipped."""
    files, rows = pcam_hdf5(patches)
    return {
        f"{n}.gz" if n.endswith(".h5") else n: gzip.compress(c) if n.endswith(".h5") else c for n, c in files.items()
    }, rows


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_files(patches: PatchSet) -> tuple[Files, list[Row]]:
    """Write ``x_train.npy`` and ``y_train.npy`` for each split."""
    files, rows = {}, []
    for split in patches.split_names:
        part = patches.split(split)
        files[f"x_{split}.npy"], files[f"y_{split}.npy"] = npy(part.read()), npy(part.labels)
        hashes = [sha1(patch) for patch in part.read()]
        rows += [Row(f"{split}/{n}", label, split, hashes[n]) for n, label in enumerate(part.labels.tolist())]
    return files, rows


def npz(patches: PatchSet, save: Callable[..., None] = np.savez_compressed) -> tuple[Files, list[Row]]:
    """Write all splits into one ``.npz``."""
    files, rows = npy_files(patches)
    buffer = io.BytesIO()
    save(buffer, **{name.removesuffix(".npy"): np.load(io.BytesIO(content)) for name, content in files.items()})
    return {"patches.npz": buffer.getvalue()}, rows


def wilds(patches: PatchSet) -> tuple[Files, list[Row]]:
    """Write Camelyon17-WILDS: the centre says the split but for that between train and id_val."""
    files, rows, lines = {}, [], [",patient,node,x_coord,y_coord,tumor,slide,center,split"]
    for number, pixels, label, split in known(patches):
        centre = {"train": 0, "valid": 1, "test": 2}[split]
        patient, node = f"{20 * centre + number % 3:03}", number % 5
        slide, x, y = f"patient_{patient}_node_{node}", 3000 + number, 7000 - number
        name = f"patches/{slide}/patch_{slide}_x_{x}_y_{y}.png"
        alpha = np.full((96, 96, 1), 255 - number % 2, np.uint8)
        files[name] = encode(np.concatenate([pixels, alpha], axis=2))
        held = int(split == "train" and number % 4 == 0)
        rows.append(Row(name, label, "id_val" if held else split, sha1(pixels)))
        lines.append(f"{number},{patient},{node},{x},{y},{label},{10 * centre + number % 3},{centre},{held}")
    files["metadata.csv"] = ("\n".join(lines) + "\n").encode()
    return files, rows


def table(patches: PatchSet) -> tuple[Files, list[Row]]:
    """Write images in no order, and a csv that names them."""
    files, rows, lines = {}, [], ["path;label;split;slide;x"]
    for number, pixels, label, split in known(patches):
        name = f"{'ab'[number % 2]}/Größe {number}.png"
        files[name] = encode(pixels)
        rows.append(Row(name, label, split, sha1(pixels)))
        lines.append(f"{name};{label};{split};slide {number % 4};{number}")
    return files | {"patches.csv": ("\n".join(lines) + "\n").encode()}, rows


def images(patches: PatchSet, ending: str = "png") -> tuple[Files, list[Row]]:
    files, rows = {}, []
    for number, pixels, _, _ in known(patches):
        files[f"{number:04}.{ending}"] = encode(pixels, ending)
        rows.append(Row(f"{number:04}.{ending}", None, None, sha1(decode(files[f"{number:04}.{ending}"]))))
    return files, rows


FORMS: dict[str, Callable[[PatchSet], tuple[Files, list[Row]]]] = {
    **{f"splits of {ending}": partial(class_folders, ending=ending) for ending in FORMATS},
    **{f"classes of {ending}": partial(class_folders, ending=ending, splits=False) for ending in FORMATS},
    "course": course,
    "kaggle": kaggle,
    "pcam_hdf5": pcam_hdf5,
    "pcam_hdf5_gz": pcam_hdf5_gz,
    "npy": npy_files,
    "npz": npz,
    "wilds": wilds,
    "images": images,
}
RECOGNISED_AS = {
    "kaggle": "Kaggle's histopathologic-cancer-detection",
    "pcam_hdf5": "HDF5 arrays",
    "pcam_hdf5_gz": "HDF5 arrays, gzipped",
    "npy": "NumPy arrays",
    "npz": "NumPy arrays",
    "wilds": "Camelyon17-WILDS",
    "images": "images without labels",
}


def write_folder(files: Files, folder: Path) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zip_bytes(files: Files, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def write_zip(files: Files, path: Path, method: int = zipfile.ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zip_bytes(files, method))
    return path


def write_tar(files: Files, path: Path, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def write(files: Files, path: Path, container: str = "folder") -> Path:
    """Lay files at `path`, as a folder or as an archive whose name gets its ending."""
    if container == "folder":
        path.mkdir(parents=True, exist_ok=True)
        return write_folder(files, path)
    if container == "tar":
        return write_tar(files, path.with_name(f"{path.name}.tar"))
    method = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[container]
    return write_zip(files, path.with_name(f"{path.name}.zip"), method)


def rows_of(patches: PatchSet) -> list[Row]:
    """Return what was read, in the reader's order, with hashes of the pixels taken here."""
    table = patches.table.astype(object).where(patches.table.notna(), None)
    columns = zip(table["id"], table["label"], table["split"], patches.read(), strict=True)
    return [Row(name, label, split, sha1(pixels)) for name, label, split, pixels in columns]


def refused(call: Callable[[], Any], *named: str, error: type[Exception] = DataError) -> str:
    """Check that `call` is refused on one line that holds every text of `named`; return the line."""
    try:
        call()
    except error as refusal:
        line = str(refusal)
    else:
        raise AssertionError(f"not refused; {named} should have been named")
    assert "\n" not in line, line
    for text in named:
        assert text in line, f"{text!r} is not in {line!r}"
    return line


def accepted_or_refused(path: Path) -> None:
    """Check that a source, damaged anyhow, gives whole patches or one line that names it."""
    try:
        assert open_patches(path).read().shape[1:] == (96, 96, 3)
    except DataError as refusal:
        assert path.name in str(refusal) and "\n" not in str(refusal)
