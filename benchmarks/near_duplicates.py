"""Measure how many JPEG-compressed copies of patches provenance matching finds, and how many false pairs.

    python benchmarks/near_duplicates.py kaggle-mini.zip pcam-small.zip

Lossless patches are compressed as JPEG (4:2:0) at several qualities and matched against themselves and many others, as
`sentinode data match` does. Then they are matched against the others alone, where no pair should be found: each pair is
printed with the difference that remains after compression, for inspection.
"""

import argparse
import io
from dataclasses import replace

import numpy as np
from PIL import Image

from sentinode import PatchSet, open_patches
from sentinode.data.concat import concat
from sentinode.data.duplicates.near_duplicates import describe_pixels, near_duplicates_between, similarity
from sentinode.data.duplicates.provenance import match_provenance


class InMemory:
    """Pixel reader for an array in memory."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the pixels of rows."""
        return self.pixels[rows]

    def stamps(self, rows: np.ndarray) -> list[str]:
        """Return a cache key of each row."""
        return [str(row) for row in rows]


def compressed(patches: PatchSet, quality: int) -> PatchSet:
    """Return the patches after JPEG compression, with new hashes."""
    out = []
    for pixels in patches.read():
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
        out.append(np.asarray(Image.open(buffer).convert("RGB")))
    table = patches.table.assign(sha1=[f"{row:040x}" for row in range(len(patches))])
    return replace(patches, table=table, pixels=InMemory(np.stack(out)), rows=np.arange(len(out)))


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lossless")
    parser.add_argument("others")
    arguments = parser.parse_args()
    patches, others = (open_patches(path).cached() for path in (arguments.lossless, arguments.others))
    there = concat([patches, others])
    there = replace(there, table=there.table.assign(slide=there.table["id"]))
    print(
        f"{len(patches):,} patches of {patches.path} matched against themselves and {len(others):,} of {others.path}\n"
    )
    print("| JPEG quality | correct | wrong | ambiguous | not found | lowest correlation | greatest distance |")
    print("|---|---|---|---|---|---|---|")
    for quality in (90, 75, 50, 30):
        sought = compressed(patches, quality)
        found = match_provenance(sought, there).table
        is_right = (found["reference"] == f"{patches.path}/" + patches.table["id"]).to_numpy(dtype=bool)
        counts = [(found["match"] == name).sum() for name in ("ambiguous", "none")]
        wrong = len(found) - is_right.sum() - sum(counts)
        true = similarity(sought.read(), patches.read()).min()
        apart = np.linalg.norm(describe_pixels(sought.read()) - describe_pixels(patches.read()), axis=1).max()
        print(f"| {quality} | {is_right.sum()} | {wrong} | {counts[0]} | {counts[1]} | {true:.3f} | {apart:.2f} |")
    sought = compressed(patches, 75)
    pairs = near_duplicates_between(sought, others)
    print(f"\nQuality 75, against the {len(others):,} others alone: {len(pairs)} pairs\n")
    print("| patch | match | correlation | RMS difference, gray levels |")
    print("|---|---|---|---|")
    for first, second, correlation in pairs.itertuples(index=False):
        difference = sought.read([first])[0].astype(float) - others.read([second])[0]
        names = f"{patches.table['id'][first]} | {others.table['id'][second]}"
        print(f"| {names} | {correlation:.3f} | {np.sqrt(np.square(difference).mean()):.2f} |")


if __name__ == "__main__":
    main()
