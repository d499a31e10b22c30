"""Real files cut short and with bits flipped, at places that a seed draws: never a traceback, a hang, a wrong pixel.

What a damaged file still gives is compared with what the format's own library makes of the same bytes; where the format
has a checksum, with the patches as they were.
"""

import csv
import gzip
import io
import random
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.errors import DataError

LIMIT_S = 10
CUTS, FLIPS = 7, 13
PATCHES = 6


class Format(NamedTuple):
    """One way to hold the same six patches.

    Attributes
    ----------
    target
        The file that is damaged.
    files
        All files.
    independent
        What another reader makes of the damaged file: pixels and labels; None where a checksum guards the original.
    """

    target: str
    files: forms.Files
    independent: Callable[[bytes], tuple[np.ndarray, list[int | None]]] | None


def images_as(ending: str, patches: PatchSet, **options) -> Format:
    files = {f"{n}.{ending}": forms.encode(pixels, ending, **options) for n, pixels in enumerate(patches.read())}
    names = sorted(files)

    def decoded(damaged: bytes) -> tuple[np.ndarray, list[int | None]]:
        contents = [damaged if name == names[2] else files[name] for name in names]
        return np.stack([forms.decode(content) for content in contents]), [None] * len(names)

    return Format(names[2], files, None if ending == "png" else decoded)


def hdf5(patches: PatchSet, packed: bool) -> Format:
    pixels, labels = patches.read(), patches.labels

    def create(file: h5py.File, key: str) -> None:
        options = {"chunks": (2, 96, 96, 3), "compression": "gzip"} if packed else {}
        file.create_dataset(key, data=pixels, **options)

    def read(damaged: bytes) -> tuple[np.ndarray, list[int | None]]:
        with h5py.File(io.BytesIO(damaged)) as file:
            return file["x"][()], labels.tolist()

    files = {"valid_x.h5": forms.hdf5(x=create), "valid_y.h5": forms.hdf5(y=labels.astype(np.uint8))}
    return Format("valid_x.h5", files, read)


def gzipped(patches: PatchSet) -> Format:
    name, files, _ = hdf5(patches, packed=False)
    return Format(f"{name}.gz", {f"{name}.gz": gzip.compress(files.pop(name)), **files}, None)


def arrays(patches: PatchSet) -> Format:
    files = {"x.npy": forms.npy(patches.read()), "y.npy": forms.npy(patches.labels)}
    return Format("x.npy", files, lambda damaged: (np.load(io.BytesIO(damaged)), patches.labels.tolist()))


def packed_arrays(patches: PatchSet, save: Callable[..., None]) -> Format:
    buffer = io.BytesIO()
    save(buffer, x=patches.read(), y=patches.labels)
    return Format("patches.npz", {"patches.npz": buffer.getvalue()}, None)


def zipped(patches: PatchSet, method: int) -> Format:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in forms.class_folders(patches, "tif", splits=False)[0].items():
            file.writestr(name, content)
    return Format("patches.zip", {"patches.zip": buffer.getvalue()}, None)


def kaggle_csv(patches: PatchSet) -> Format:
    files, _ = forms.kaggle(patches)
    by_id = {forms.sha1(pixels): pixels for pixels in patches.read()}

    def read(damaged: bytes) -> tuple[np.ndarray, list[int | None]]:
        rows = {
            row["id"].strip(): int(row["label"]) if row["label"] else None
            for row in csv.DictReader(io.StringIO(damaged.decode("utf-8-sig")))
        }
        return np.stack([by_id[name] for name in sorted(rows)]), [rows[name] for name in sorted(rows)]

    return Format("train_labels.csv", files, read)


def table(patches: PatchSet) -> Format:
    files = {f"{number}.png": forms.encode(pixels) for number, pixels in enumerate(patches.read())}
    rows = [f"{number}.png,{label}" for number, label in enumerate(patches.labels)]

    def read(damaged: bytes) -> tuple[np.ndarray, list[int | None]]:
        found = [row for row in csv.DictReader(io.StringIO(damaged.decode("utf-8-sig"))) if row["path"]]
        pixels = np.stack([forms.decode(files[row["path"].strip()]) for row in found])
        return pixels, [int(row["label"]) if row.get("label") else None for row in found]

    return Format("patches.csv", files | {"patches.csv": "\n".join(["path,label", *rows, ""]).encode()}, read)


FORMATS: dict[str, Callable[[PatchSet], Format]] = {
    "jpg": partial(images_as, "jpg"),
    "png": partial(images_as, "png"),
    "tif": partial(images_as, "tif"),
    "tif, packed": partial(images_as, "tif", compression="tiff_lzw"),
    "h5": partial(hdf5, packed=False),
    "h5, packed": partial(hdf5, packed=True),
    "h5.gz": gzipped,
    "npy": arrays,
    "npz": partial(packed_arrays, save=np.savez),
    "npz, packed": partial(packed_arrays, save=np.savez_compressed),
    "zip": partial(zipped, method=zipfile.ZIP_STORED),
    "zip, packed": partial(zipped, method=zipfile.ZIP_DEFLATED),
    "kaggle csv": kaggle_csv,
    "table csv": table,
}
CASES = [("cut", seed) for seed in range(CUTS)] + [("flip", seed) for seed in range(FLIPS)]


@pytest.fixture(scope="module")
def real(mini) -> PatchSet:
    """Six real training patches of both classes."""
    train = mini.split("train")
    return train.select(np.linspace(0, len(train) - 1, PATCHES).astype(int))


@pytest.fixture(scope="module", params=FORMATS)
def whole(request, real) -> Format:
    return FORMATS[request.param](real)


def damage(content: bytes, how: str, seed: int) -> bytes:
    draw = random.Random(f"{how} {seed}")
    if how == "cut":
        return content[: draw.randrange(len(content))]
    damaged = bytearray(content)
    # Every second flip goes into the head, where a format says what it is.
    place = draw.randrange(len(content) if seed % 2 else min(len(content), 600))
    damaged[place] ^= 1 << draw.randrange(8)
    return bytes(damaged)


@contextmanager
def limited() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise AssertionError(f"not done after {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="there is no alarm here")
@pytest.mark.parametrize(("how", "seed"), CASES)
def test_damaged_files_are_refused_in_one_line_or_read_unchanged(whole, real, how, seed, tmp_path):
    damaged = damage(whole.files[whole.target], how, seed)
    folder = forms.write(whole.files | {whole.target: damaged}, tmp_path / "patches")
    alone = whole.target.endswith(("zip", "patches.csv"))
    try:
        with limited():
            opened = open_patches(folder / whole.target if alone else folder)
            pixels, labels = opened.read(), opened.table["label"]
    except DataError as refusal:
        assert "\n" not in str(refusal) and "patches" in str(refusal)
        return
    labels = [None if label is None else int(label) for label in labels.astype(object).where(labels.notna(), None)]
    if whole.independent is None:
        there = {forms.sha1(patch) for patch in pixels}
        assert there == {forms.sha1(patch) for patch in real.read()}, "the checksum would have told"
        truth = {forms.sha1(p): label for p, label in zip(real.read(), real.labels.tolist(), strict=True)}
        assert all(label in (None, truth[forms.sha1(p)]) for p, label in zip(pixels, labels, strict=True))
    else:
        expected, expected_labels = whole.independent(damaged)
        assert np.array_equal(pixels, expected)
        assert labels == expected_labels
        assert how == "flip" or whole.target.endswith("csv"), "a cut file was taken for a whole one"


@pytest.mark.parametrize("format_", ["png", "h5.gz", "npz", "npz, packed", "zip", "zip, packed"])
def test_a_flip_in_the_pixels_never_passes_a_checksum(real, format_, tmp_path):
    whole = FORMATS[format_](real)
    content = whole.files[whole.target]
    folder = forms.write(whole.files, tmp_path / "patches")
    for seed in range(12):
        place = random.Random(seed).randrange(len(content) // 4, len(content) * 3 // 5)
        damaged = bytearray(content)
        damaged[place] ^= 1 << seed % 8
        (folder / whole.target).write_bytes(damaged)
        source = folder / whole.target if whole.target.endswith("zip") else folder
        forms.refused(lambda source=source: open_patches(source).read(), whole.target)
