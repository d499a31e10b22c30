"""What is refused, and that one line says which file and which row."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.cache import list_cache
from sentinode.errors import DataError

X, Y, META = (f"{forms.PCAM}train_{part}" for part in ("x.h5", "y.h5", "meta.csv"))


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 60))


@pytest.fixture(scope="module")
def patch(few) -> np.ndarray:
    return few.read([0])[0]


def saved(image: Image.Image, ending: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, forms.FORMATS[ending], **options)
    return buffer.getvalue()


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """Write 16-bit RGB, which Pillow cannot write."""
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels.astype(int) * 257)
    header = struct.pack(">IIBBBBB", 96, 96, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def half_transparent(pixels: np.ndarray) -> Image.Image:
    alpha = np.full((96, 96, 1), 255, np.uint8)
    alpha[:48] = 0
    return Image.fromarray(np.concatenate([pixels, alpha], axis=2))


IMAGES = {
    "truncated jpg": ("jpg", lambda p: forms.encode(p, "jpg")[:-200], "unreadable"),
    "truncated png": ("png", lambda p: forms.encode(p, "png")[:-200], "unreadable"),
    "truncated tif": ("tif", lambda p: forms.encode(p, "tif")[:-200], "unreadable"),
    "empty file": ("jpg", lambda p: b"", "not a jpg, png or tif"),
    "text": ("png", lambda p: b"no picture\n" * 99, "not a jpg, png or tif"),
    "gif named png": ("png", lambda p: b"GIF89a" + bytes(500), "not a jpg, png or tif"),
    "too small": ("png", lambda p: forms.encode(p[:, :95]), "95 × 96 px"),
    "too large": ("tif", lambda p: forms.encode(np.tile(p, (2, 1, 1)), "tif"), "96 × 192 px"),
    "far too large": ("png", lambda p: saved(Image.new("RGB", (4097, 96)), "png"), "4097 × 96 px"),
    "grayscale": ("jpg", lambda p: forms.encode(p[..., 0], "jpg"), "mode L"),
    "grey of 16 bits, png": ("png", lambda p: forms.encode(p[..., 0].astype(np.uint16) * 257), "mode I;16"),
    "grey of 16 bits, tif": ("tif", lambda p: forms.encode(p[..., 0].astype(np.uint16) * 257, "tif"), "mode I;16"),
    "colour of 16 bits": ("png", png_of_16_bits, "8-bit"),
    "cmyk": ("jpg", lambda p: saved(Image.fromarray(p).convert("CMYK"), "jpg"), "mode CMYK"),
    "transparent": ("png", lambda p: saved(half_transparent(p), "png"), "transparent"),
    "transparent, palette": ("png", lambda p: saved(half_transparent(p).quantize(), "png"), "transparent"),
    "transparent, one colour": (
        "png",
        lambda p: saved(Image.fromarray(p), "png", transparency=tuple(map(int, p[0, 0]))),
        "transparent",
    ),
    "two pages": (
        "tif",
        lambda p: saved(Image.fromarray(p), "tif", save_all=True, append_images=[Image.fromarray(p)]),
        "2 images",
    ),
    "animated": (
        "png",
        lambda p: saved(Image.fromarray(p), "png", save_all=True, append_images=[Image.fromarray(255 - p)]),
        "2 images",
    ),
}


@pytest.mark.parametrize("container", ["folder", "deflated"])
@pytest.mark.parametrize("broken", IMAGES)
def test_an_image_that_is_no_patch_is_found_before_training(few, patch, broken, container, tmp_path):
    ending, break_it, reason = IMAGES[broken]
    files, _ = forms.class_folders(few, ending)
    name = sorted(files)[17]
    files[name] = break_it(patch)
    path = forms.write(files, tmp_path / "patches", container)
    opened = open_patches(path)
    forms.refused(lambda: opened.cached(tmp_path / "cache"), str(path), name, reason)
    assert not any(entry.patches == len(opened.split("train")) for entry in list_cache(tmp_path / "cache"))


@pytest.mark.parametrize("ending", forms.FORMATS)
def test_a_damaged_image_is_a_patch_or_a_refusal(patch, ending, tmp_path):
    content = forms.encode(patch, ending)
    path = tmp_path / f"damaged.{ending}"
    for seed in range(2500):
        damaged, draw = bytearray(content), random.Random(seed)
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(400)] = draw.randrange(256)
        path.write_bytes(damaged)
        accepted_or_refused(path)


def accepted_or_refused(path: Path) -> None:
    try:
        opened = open_patches(path)
        assert opened.read().shape[1:] == (96, 96, 3)
    except DataError as refusal:
        assert str(path.name) in str(refusal) and "\n" not in str(refusal)


def lines_of(files: forms.Files) -> list[str]:
    return files["train_labels.csv"].decode().splitlines()


def set_line(number: int, text):
    """Return a change of one line of the csv, counted from 1 as a text editor does."""

    def change(lines: list[str]) -> list[str]:
        return [*lines[: number - 1], text(lines[number - 1]), *lines[number:]]

    return change


CSV = {
    "label 2": (set_line(4, lambda line: line[:-1] + "2"), "row 4", "label '2'"),
    "label empty": (set_line(5, lambda line: line[:-1]), "row 5", "label ''"),
    "label NaN": (set_line(6, lambda line: line[:-1] + "NaN"), "row 6", "label 'NaN'"),
    "label a word": (set_line(7, lambda line: line[:-1] + "tumour"), "row 7", "label 'tumour'"),
    "label missing": (set_line(8, lambda line: line[:40]), "row 8", "label"),
    "label after an empty line": (lambda lines: [*lines[:3], "", lines[3][:-1] + "2", *lines[4:]], "row 5", "'2'"),
    "one field too many": (set_line(9, lambda line: line + ",1"), "line 9"),
    "id twice": (lambda lines: [*lines[:9], lines[4], *lines[9:]], "row 10", "came before"),
    "missing file": (set_line(3, lambda line: "f00d" + line[4:]), "row 3", "train/f00d"),
    "other columns": (set_line(1, lambda line: "id,tumour"), "id, tumour", "id and label"),
    "nothing": (lambda lines: [], "not a readable csv"),
}


@pytest.mark.parametrize("container", ["folder", "stored"])
@pytest.mark.parametrize("wrong", CSV)
def test_a_wrong_csv_is_refused_with_its_row(few, wrong, container, tmp_path):
    change, *named = CSV[wrong]
    files, _ = forms.kaggle(few)
    files["train_labels.csv"] = "\n".join(change(lines_of(files))).encode()
    path = forms.write(files, tmp_path / "patches", container)
    forms.refused(lambda: open_patches(path), str(path), "train_labels.csv", *named)


def test_a_csv_that_is_no_text_is_refused(few, patch, tmp_path):
    files, _ = forms.kaggle(few)
    files["train_labels.csv"] = b"id,label\n" + patch.tobytes()[:500]
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), "train_labels.csv")


def test_the_row_of_a_missing_file_is_right_when_an_odd_file_is_left_out(few, tmp_path):
    files, _ = forms.kaggle_with_odd(few)
    del files[f"train/{forms.BLACK}.tif"]
    files["train_labels.csv"] = "\n".join(set_line(6, lambda line: "f00d" + line[4:])(lines_of(files))).encode()
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), "train_labels.csv", "row 6", "train/f00d")


def test_a_file_without_a_row_in_the_csv_is_refused(few, tmp_path):
    files, rows = forms.kaggle(few)
    files["train_labels.csv"] = "\n".join(line for line in lines_of(files) if rows[-1].sha1 not in line).encode()
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), rows[-1].id, "no label")


def test_two_files_of_one_id_are_refused_and_not_one_dropped_in_silence(few, patch, tmp_path):
    files, rows = forms.kaggle(few)
    twice = rows[-1].id.replace(".tif", ".png")
    files[twice] = forms.encode(patch)
    forms.refused(lambda: open_patches(forms.write(files, tmp_path)), rows[-1].sha1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("train/2/a.png", "'2' is neither 0 nor 1"),
        ("train/unsure/a.png", "'unsure' is neither 0 nor 1"),
        ("train/a.png", "no label"),
        ("a.png", "no label"),
    ],
)
def test_a_file_outside_the_class_folders_is_refused(few, patch, name, reason, tmp_path):
    files, _ = forms.class_folders(few, "png")
    path = forms.write(files | {name: forms.encode(patch)}, tmp_path)
    forms.refused(lambda: open_patches(path), str(path / name), reason)


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
    "x of another name": (X, lambda p: forms.hdf5(images=p), "no data set 'x'", "images"),
    "x a group": (X, lambda p: forms.hdf5(x=lambda file, key: file.create_group(key)), "no data set 'x'"),
    "x float": (X, lambda p: forms.hdf5(x=p / np.float32(255)), "float32"),
    "x too small": (X, lambda p: forms.hdf5(x=p[:, :95]), "(18, 95, 96, 3)"),
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
    "y of words": (Y, lambda p: forms.hdf5(y=[b"tumour"] * 18), "row 0", "tumour"),
    "y without a shape": (Y, lambda p: forms.hdf5(y=h5py.Empty("uint8"))),
    "meta shorter": (META, lambda p: forms.meta_csv([0] * 17), "17 rows for 18 patches"),
    "meta without slide": (META, lambda p: forms.meta_csv([0] * 18).replace(b"wsi", b"slide"), "no column wsi"),
    "meta empty": (META, lambda p: b"", "not a readable csv"),
    "meta position a word": (META, lambda p: forms.meta_csv([0] * 18).replace(b",47,", b",left,"), "coord_y"),
    "meta position a half": (META, lambda p: forms.meta_csv([0] * 18).replace(b",47,", b",4.7,"), "coord_y"),
}


@pytest.mark.parametrize("container", forms.CONTAINERS)
@pytest.mark.parametrize("wrong", HDF5)
def test_a_wrong_hdf5_is_refused_by_name(few, wrong, container, tmp_path):
    name, content, *named = HDF5[wrong]
    files, _ = forms.pcam_hdf5(few.split("train"))
    path = forms.write(files | {name: content(few.split("train").read())}, tmp_path / "patches", container)
    forms.refused(lambda: open_patches(path).read(), name if "shorter" not in wrong else str(path), *named)


@pytest.mark.parametrize("container", forms.CONTAINERS)
@pytest.mark.parametrize("form", ["pcam_hdf5", "kaggle"])
def test_damage_anywhere_is_a_patch_or_a_refusal(few, form, container, tmp_path):
    files, _ = forms.FORMS[form](few.select([10, 11]))
    whole = forms.write(files, tmp_path / "patches", container)
    targets = sorted(whole.rglob("*.*")) if container == "folder" else [whole]
    for target in (path for path in targets if path.is_file()):
        content = target.read_bytes()
        for seed in range(150):
            damaged, draw = bytearray(content), random.Random(seed)
            if seed % 3 == 0:
                damaged = damaged[: draw.randrange(len(content))]
            else:
                damaged[draw.randrange(min(len(content), 4000)) * (seed % 3 - 2)] ^= draw.randrange(1, 256)
            target.write_bytes(damaged)
            accepted_or_refused(whole)
        target.write_bytes(content)


def test_a_path_that_holds_nothing_is_refused(few, tmp_path):
    text = forms.write({"README.txt": b"soon"}, tmp_path / "text")
    forms.refused(lambda: open_patches(tmp_path / "gone"), str(tmp_path / "gone"), "no such file or folder")
    forms.refused(lambda: open_patches(str(tmp_path / "*.png")), str(tmp_path / "*.png"), "no file matches")
    forms.refused(lambda: open_patches(text), str(text), "no patches recognised", "1 files", "PCam HDF5")
    forms.refused(lambda: open_patches(text / "README.txt"), "README.txt", "neither")
    forms.refused(lambda: open_patches([]), "empty list")
    forms.refused(lambda: open_patches([tmp_path / "gone.png"]), "gone.png", "no such file")
    forms.refused(lambda: few.select([]).cached(tmp_path), "pcam-mini")


def test_a_zip_that_is_none_is_refused(few, tmp_path):
    whole = forms.write_zip(forms.images(few)[0], tmp_path / "whole.zip").read_bytes()
    bad = {"cut.zip": whole[:-50], "text.zip": b"no zip" * 99, "none.zip": b""}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        forms.refused(lambda name=name: open_patches(tmp_path / name), str(tmp_path / name), "not a readable zip")
    empty = forms.write_zip({}, tmp_path / "empty.zip")
    forms.refused(lambda: open_patches(empty), str(empty), "no patches recognised", "0 files")


def test_a_source_that_comes_twice_is_refused(few, tmp_path):
    files, _ = forms.pcam_hdf5(few)
    folder = forms.write(files, tmp_path / "a")
    forms.refused(lambda: open_sources([folder, folder]), str(folder), "comes twice")
    again = forms.write(files | {f"copy/{X}": files[X]}, tmp_path / "b")
    forms.refused(lambda: open_patches(again), f"copy/{X}", "two x files for one split")


def test_a_file_that_goes_after_opening_is_named(few, tmp_path):
    for form in ("images", "pcam_hdf5"):
        opened = open_patches(forms.write(forms.FORMS[form](few)[0], tmp_path / form))
        shutil.rmtree(tmp_path / form)
        forms.refused(opened.cached, str(tmp_path / form), "cannot be read")
        forms.refused(opened.read, str(tmp_path / form), "cannot be read")


def test_what_needs_labels_or_pixels_says_so(few, tmp_path):
    opened = open_patches(forms.write(forms.course(few)[0], tmp_path))
    forms.refused(lambda: opened.labels, "7 of 28 patches have no label", "'test/0000.jpg'")
    forms.refused(lambda: opened.fingerprint, str(tmp_path), "cached")
    forms.refused(lambda: inspect_patches(opened), str(tmp_path), "cached")
