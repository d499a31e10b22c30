"""Build ``pcam-small.zip``, the 23,000 patches of the benchmarks, from PatchCamelyon's official HDF5 files.

    sentinode data fetch pcam --out pcam
    python scripts/make_pcam_small.py pcam pcam-small.zip

The rows are listed in ``scripts/pcam_small_rows.json``: 10,000 patches of each class of the training split and 1,500 of
each class of the validation split. Patches are saved as JPEG with quality 75 and 4:2:0 chroma subsampling in class
folders, ``{train,valid}/{0,1}/patchNNNNNNN.jpg``, where the number is the row in PatchCamelyon's own file.

The pixels need not equal those behind the published figures, because JPEG encoders differ: Kaggle's lossless copies of
eight patches, compressed this way, differ from the original set by an RMS of 0.9 to 2.3 gray levels. Rows, labels and
compression are the same.
"""

import argparse
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from sentinode import PatchSet, open_patches
from sentinode.storage import atomic_file

ROWS = Path(__file__).with_name("pcam_small_rows.json")
ROWS_AT_ONCE = 1024


def main() -> None:
    """Build the zip and describe it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with camelyonpatch_level_2_split_{train,valid}_{x,y}.h5")
    parser.add_argument("out", type=Path, help="zip to write")
    arguments = parser.parse_args()
    make_pcam_small(arguments.source, arguments.out, read_rows(ROWS))
    print(open_patches(arguments.out).describe())


def read_rows(path: Path) -> dict[str, np.ndarray]:
    """Read a list of rows: split names with numbers and ranges such as "5-9"."""
    return {split: expand(ranges) for split, ranges in json.loads(path.read_text(encoding="utf-8")).items()}


def expand(ranges: Iterable[str]) -> np.ndarray:
    """Return the rows of ranges such as "5-9" or "12".

    Examples
    --------
    >>> expand(["5-7", "12"]).tolist()
    [5, 6, 7, 12]
    """
    ends = ([int(end) for end in each.split("-")] for each in ranges)
    return np.concatenate([np.arange(first, last + 1) for first, *rest in ends for last in (rest or [first])])


def make_pcam_small(source: Path, out: Path, rows: dict[str, np.ndarray]) -> None:
    """Write the given rows of PatchCamelyon's files as JPEG in class folders of a zip."""
    with atomic_file(out) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as target:
        for split, wanted in rows.items():
            write_split(target, open_patches(source, split=split), split, wanted)


def write_split(target: zipfile.ZipFile, patches: PatchSet, split: str, rows: np.ndarray) -> None:
    """Write rows of one split; each class must have as many."""
    if rows.max() >= len(patches):
        raise SystemExit(f"{patches.path}: {split} has {len(patches):,} patches; row {rows.max()} is wanted")
    chosen = patches.select(rows)
    counts = np.bincount(chosen.labels, minlength=2)
    if counts[0] != counts[1]:
        raise SystemExit(
            f"{patches.path}: the rows of {split} have {counts[0]:,} normal and {counts[1]:,} tumour patches, but "
            "both should be equal; is this PatchCamelyon's official file?"
        )
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        for row, label, pixels in zip(rows[part], chosen.labels[part], chosen.read(part), strict=True):
            name = f"{split}/{label}/patch{row:07d}.jpg"
            target.writestr(zipfile.ZipInfo(name, date_time=(2018, 9, 1, 0, 0, 0)), compress(pixels))


def compress(pixels: np.ndarray) -> bytes:
    """Return a patch as JPEG, quality 75, 4:2:0."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75, subsampling="4:2:0")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
