"""Arrays of patches: HDF5 and NumPy files, with pixels and labels told apart by their names.

A name says the role (``x`` or ``images`` for pixels, ``y`` or ``labels`` for labels) and, before or behind it, the
split: ``camelyonpatch_level_2_split_train_x.h5``, ``x_train.npy``, ``train_images``. Names are those of files, of the
arrays in an ``.npz``, or of the data sets in an HDF5 file that holds several. A single array may have any name.

PatchCamelyon's ``…_meta.csv`` beside the pixels gives slide and position: B. S. Veeling et al., "Rotation equivariant
CNNs for digital pathology", MICCAI 2018. A copy of PatchCamelyon on Kaggle names the pixels ``training_split.h5`` and
has labels and metadata in other folders; they are matched by their split.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.io import hdf5
from sentinode.data.io.compression import GunzippedFiles
from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.io.files import Files
from sentinode.data.io.hdf5 import Hdf5Array
from sentinode.data.io.images import fit_array
from sentinode.data.io.npy import NpyArray
from sentinode.data.io.zips import ZipFiles
from sentinode.data.labels import SPLIT_ORDER, SPLITS, binary_labels
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.pixels import ConcatPixels
from sentinode.data.types import PATCH_SHAPE, IndexArray, ReadOptions, UInt8Array
from sentinode.errors import DataError, plural

FORM = "arrays: PCam's *_x.h5 with *_y.h5, x_train.npy with y_train.npy, an .npz or .h5 with x and y"

NUMPY_ENDINGS = (".npy", ".npz")
_ROLES = {"x": "x", "image": "x", "images": "x", "imgs": "x", "y": "y", "label": "y", "labels": "y", "meta": "meta"}
_KEYS = {"x": ("x", "images", "image", "imgs"), "y": ("y", "labels", "label")}
_TRAINING_SLIDE = re.compile(r"camelyon16_train_(normal|tumor)_(\d+)$")
# Where a copy of PatchCamelyon on Kaggle has labels and metadata, seen from the folder of the pixels.
_KAGGLE_FOLDERS = ("../Labels/Labels", "../Metadata/Metadata")


@dataclass(frozen=True)
class _Named:
    """An array, or a csv with metadata, with what its name says.

    Attributes
    ----------
    name : str
        Name of the file in the source.
    group : tuple of str
        Folders and words that pixels share with their labels, such as ``("train",)``.
    role : {"x", "y", "meta"} or None
        What it holds; None when its name does not say so.
    array : Hdf5Array, NpyArray or None
        The array; None for a csv.
    """

    name: str
    group: tuple[str, ...]
    role: str | None
    array: Hdf5Array | NpyArray | None = None

    @property
    def split(self) -> str | None:
        return next((SPLITS[word.lower()] for word in reversed(self.group) if word.lower() in SPLITS), None)


@dataclass(frozen=True)
class ArrayPixels:
    """Reader of the rows of an array.

    Attributes
    ----------
    array : Hdf5Array or NpyArray
        Pixels of shape ``(n, height, width, 3)``.
    options : ReadOptions
        Treatment of patches that are not 96 × 96 px.
    """

    array: Hdf5Array | NpyArray
    options: ReadOptions

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read rows, in any order."""
        wanted, back = np.unique(rows, return_inverse=True)
        if len(wanted) == 0:
            return np.empty((0, *PATCH_SHAPE), np.uint8)
        pixels = self.array.read(wanted)
        if pixels.shape[1:] != PATCH_SHAPE:
            pixels = np.stack(
                [
                    fit_array(patch, f"{self.array.where} row {row}", self.options)
                    for row, patch in zip(wanted, pixels, strict=True)
                ]
            )
        return pixels[back]

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the stamp of the file with the row, for each row."""
        stamp = f"{self.array.stamp()} {self.options.decoding}"
        return [f"{stamp} {row}" for row in rows]


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open all arrays of pixels, with the labels and metadata that belong to them.

    Parameters
    ----------
    files : Files
        The source.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet or None
        None when there is no array of pixels.

    Raises
    ------
    DataError
        Wrong shape or dtype, pixels and labels of different lengths, labels other than 0 and 1, or a damaged file.
    """
    files = GunzippedFiles(files)
    found = [each for name in files.names for each in _named(files, name)]
    pixels = [each for each in found if each.role == "x"]
    is_single = len(files.names) == 1
    if not pixels and is_single and len(found) == 1:
        pixels = [_Named(found[0].name, found[0].group, "x", found[0].array)]
    if not pixels:
        _check_names(files, found)
        return None
    if is_single:
        found += _beside(files, pixels[0].name)
    pixels.sort(key=lambda each: (SPLIT_ORDER.index(each.split), each.group))
    tables, readers, notes = [], [], []
    for each in pixels:
        count = _check_pixels(each, options)
        labels = _labels(each, pixels, found, count, options)
        metadata, remarks = _metadata(files, each, pixels, found, labels, count)
        prefix = f"{each.split}/" if each.split else f"{'/'.join(each.group)}/" if len(pixels) > 1 else ""
        tables.append(patch_table([f"{prefix}{row}" for row in range(count)], labels, split=each.split, **metadata))
        readers.append((ArrayPixels(each.array, options), np.arange(count)))  # type: ignore[arg-type]
        notes += remarks
    used = {each.split for each in pixels}
    lost = [each.name for each in found if each.role == "y" and each.split not in used and None not in used]
    if lost and not is_single:
        notes.append(f"labels without pixels of their split are not used: {', '.join(dict.fromkeys(lost))}")
    table = pd.concat(tables, ignore_index=True)
    if table["id"].duplicated().any():
        names = ", ".join(each.name for each in pixels)
        raise DataError(f"{files.where}: two arrays of pixels for one split ({names}); keep one, or open one by itself")
    return PatchSet(
        kind=f"{_form(pixels)}{files.container}",
        path=files.where,
        table=table,
        pixels=ConcatPixels(readers),
        rows=np.arange(len(table)),
        notes=tuple(notes),
    )


def _form(pixels: Sequence[_Named]) -> str:
    return "HDF5 arrays" if isinstance(pixels[0].array, Hdf5Array) else "NumPy arrays"


def _named(files: Files, name: str) -> Iterator[_Named]:
    lower = name.lower()
    stem = name.rpartition(".")[0]
    if lower.endswith(".npy"):
        yield _Named(name, *_parse(stem), NpyArray(files, name))
    elif lower.endswith(".npz"):
        packed = ZipFiles(name, files.locate(name), partial(files.open, name))
        above = f"{stem}/" if len(files.names) > 1 or files.container else ""
        for inner in packed.names:
            if inner.lower().endswith(".npy"):
                yield _Named(name, *_parse(f"{above}{inner[: -len('.npy')]}"), NpyArray(packed, inner))
    elif lower.endswith(hdf5.ENDINGS):
        group, role = _parse(stem)
        if role is not None:
            keys = (*_KEYS.get(role, (role,)), stem.rpartition("/")[2])
            yield _Named(name, group, role, Hdf5Array(files, name, keys))
            return
        keys_here = hdf5.data_sets(files, name)
        if len(keys_here) <= 1:
            yield _Named(name, group, role, Hdf5Array(files, name, (*keys_here, "x")))
            return
        for key in keys_here:
            yield _Named(name, *_parse(f"{stem}/{key}"), Hdf5Array(files, name, (key,)))
    elif lower.endswith("meta.csv"):
        yield _Named(name, *_parse(stem))


def _parse(stem: str) -> tuple[tuple[str, ...], str | None]:
    """Return group and role of a name without its ending."""
    *folders, last = stem.strip("/").split("/")
    words = re.split("[_-]", last)
    roles = [_ROLES.get(word.lower()) for word in words]
    if len(words) > 1 and words[-1].lower() == "split" and words[-2].lower() in SPLITS:
        return (*folders, *words[:-1]), "x"
    if roles[-1] is not None:
        return (*folders, *words[:-1]), roles[-1]
    if len(words) > 1 and roles[-2] is not None and words[-1].lower() in SPLITS:
        return (*folders, *words[:-2], words[-1]), roles[-2]
    return (*folders, last), None


def _check_names(files: Files, found: Sequence[_Named]) -> None:
    arrays = [each for each in found if each.array is not None]
    if arrays and all(name.lower().endswith((*NUMPY_ENDINGS, *hdf5.ENDINGS)) for name in files.names):
        names = [each.group[-1] for each in arrays]
        if any(name.lower().startswith("feat") for name in names):
            remedy = "features and coordinates hold no pixels; use the images from which they were computed"
        else:
            remedy = "name the pixels x and the labels y, with the split before or behind, such as x_train"
        raise DataError(
            f"{files.where}: no array is named as pixels (arrays: {', '.join(dict.fromkeys(names[:9]))}); {remedy}"
        )


def _beside(files: Files, name: str) -> list[_Named]:
    """Return the labels and metadata beside a file of pixels that was opened by itself."""
    folder, _, last = name.rpartition("/")
    base = f"{folder}/" if folder else ""
    found = []
    for ending in ("", *_KAGGLE_FOLDERS):
        for other in files.list_folder(f"{base}{ending}"):
            if other != last and other.lower().endswith((*hdf5.ENDINGS, ".h5.gz", ".npy", "meta.csv")):
                plain = other.removesuffix(".gz")
                found += [
                    each for each in _named(files, f"{base}{ending}{'/' * bool(ending)}{plain}") if each.role != "x"
                ]
    return found


def _of_pixels(pixels: _Named, role: str, all_pixels: Sequence[_Named], found: Sequence[_Named]) -> _Named | None:
    """Return the labels or metadata of an array of pixels: of the same group, else the only ones of its split."""
    others = [each for each in found if each.role == role]
    same = [each for each in others if each.group == pixels.group]
    if not same and pixels.split and sum(each.split == pixels.split for each in all_pixels) == 1:
        same = [each for each in others if each.split == pixels.split]
    return same[0] if len(same) == 1 or (same and same[0].group == pixels.group) else None


def _check_pixels(pixels: _Named, options: ReadOptions) -> int:
    """Return the number of patches."""
    array = pixels.array
    assert array is not None
    shape, dtype = array.header()
    found = f"{array.where}: pixels must be uint8 (n, 96, 96, 3); got {dtype} {shape}"
    if len(shape) == 4 and shape[1] == 3 and shape[3] != 3:
        raise DataError(f"{found}; the channels come first; save x.transpose(0, 2, 3, 1)")
    if len(shape) != 4 or shape[3] != 3:
        raise DataError(found)
    if dtype != np.uint8:
        how = "; save (255 * x).round().astype('uint8') if values are from 0 to 1" if dtype.kind == "f" else ""
        raise DataError(f"{found}{how}")
    if shape[1:] != PATCH_SHAPE:
        fit_array(np.zeros(shape[1:], np.uint8), array.where, options)
    return int(shape[0])


def _labels(
    pixels: _Named, all_pixels: Sequence[_Named], found: Sequence[_Named], count: int, options: ReadOptions
) -> list[int | None] | None:
    labels = _of_pixels(pixels, "y", all_pixels, found)
    if labels is None or labels.array is None:
        return None
    shape, _ = labels.array.header()
    if int(np.prod(shape)) not in (count, 2 * count):
        raise DataError(
            f"{labels.array.where}: {plural(int(np.prod(shape)), 'label')} for {plural(count, 'patch')}; "
            "pixels and labels must have the same length"
        )
    return binary_labels(labels.array.values(), count, labels.array.where, options.classes)


def _metadata(
    files: Files,
    pixels: _Named,
    all_pixels: Sequence[_Named],
    found: Sequence[_Named],
    labels: Sequence[int | None] | None,
    count: int,
) -> tuple[dict[str, list[Any]], list[str]]:
    """Read slide and position of each patch from PatchCamelyon's csv."""
    csv = _of_pixels(pixels, "meta", all_pixels, found)
    if csv is None:
        return {}, []
    where = files.locate(csv.name)
    table = read_csv(files.read(csv.name), ["coord_x", "coord_y", "wsi"], where)
    if len(table) != count:
        raise DataError(
            f"{where}: {plural(len(table), 'row')} for {plural(count, 'patch')}; pixels and metadata "
            "must have the same length"
        )
    notes = []
    if labels is not None and None not in labels and "center_tumor_patch" in table:
        differ = int((table["center_tumor_patch"].str.lower().eq("true") != np.array(labels, bool)).sum())
        if differ:
            notes.append(f"{csv.name}: center_tumor_patch differs from y in {plural(differ, 'row')}; y is used")
    slides = [slide or None for slide in table["wsi"]]
    patients = {"patient": [patient or None for patient in table["patient"]]} if "patient" in table else {}
    return {
        "slide": slides,
        **patients,
        "centre": [_centre(slide) for slide in slides],
        "x": _whole_numbers(table["coord_x"], where),
        "y": _whole_numbers(table["coord_y"], where),
    }, notes


def _whole_numbers(column: pd.Series, where: str) -> list[int]:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(~(numbers % 1 == 0))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{where} row {row + FIRST_ROW}: {column.name} must be a whole number; got {column[row]!r}")
    return numbers.astype("int64").tolist()


def _centre(slide: str | None) -> str | None:
    """Return the centre of a CAMELYON16 training slide; it is not known for test slides."""
    match = _TRAINING_SLIDE.match(slide or "")
    if match is None:
        return None
    last_of_radboud = 100 if match[1] == "normal" else 70
    return "Radboudumc" if int(match[2]) <= last_of_radboud else "UMC Utrecht"
