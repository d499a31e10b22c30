"""Make ``pcam-mini``, the sample inside the package, from a zip of real PatchCamelyon patches.

The source has class folders ``{train,valid}/{0,1}/patchNNNNNNN.jpg``, where the number is the row in PatchCamelyon's
HDF5 split; ``scripts/make_pcam_small.py`` makes such a zip. Training patches are drawn from its ``train``; validation
and test patches, disjoint, from its ``valid``. No patch has a duplicate in the sample. Files are copied byte for byte,
and the same source gives the same zip.

    python scripts/make_pcam_mini.py pcam-small.zip src/sentinode/samples/pcam-mini.zip
"""

import argparse
import zipfile

import numpy as np

from sentinode import open_patches
from sentinode.storage import atomic_file

SEED = 20261124
# Split of the sample: split of the source, and patches per class; the zip stays below 7 MB.
PARTS = {"train": ("train", 540), "valid": ("valid", 90), "test": ("valid", 200)}


def main() -> None:
    """Draw patches, copy their files and describe the sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("out")
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    table = open_patches(arguments.source).cached().table.drop_duplicates("sha1")
    taken: set[str] = set()
    chosen: list[tuple[str, str]] = []
    for part, (split, count) in PARTS.items():
        for label in (0, 1):
            pool = table[(table["split"] == split) & (table["label"] == label) & ~table["id"].isin(taken)]["id"]
            drawn = rng.choice(pool.to_numpy(dtype=str), count, replace=False)
            taken.update(drawn)
            chosen += [(str(name), f"{part}/{label}/{name.rsplit('/', 1)[-1]}") for name in drawn]
    with (
        zipfile.ZipFile(arguments.source) as source,
        atomic_file(arguments.out) as unfinished,
        zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as target,
    ):
        for old, new in sorted(chosen, key=lambda pair: pair[1]):
            target.writestr(zipfile.ZipInfo(new, date_time=(2018, 6, 8, 0, 0, 0)), source.read(old))
    print(open_patches(arguments.out).describe())


if __name__ == "__main__":
    main()
