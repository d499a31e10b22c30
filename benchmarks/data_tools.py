"""Measure time and memory of splitting, provenance matching and quality checks at the size of PCam.

    python benchmarks/data_tools.py pcam-small.zip --patches 262144

Patches are created in memory, the left half of one real patch joined to the right half of another, so that none is a
duplicate and nothing is written to disk.
"""

import argparse
import resource
import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sentinode import PatchSet, open_patches
from sentinode.data.duplicates.provenance import match_provenance
from sentinode.data.quality.inspection import inspect_patches
from sentinode.data.splitting.split import split_patches


@dataclass(frozen=True)
class Halves:
    """Pixel reader that joins the left half of one patch and the right half of another."""

    source: PatchSet

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the pixels of rows."""
        count = len(self.source)
        out = self.source.read(rows % count)
        out[:, :, 48:] = self.source.read((rows * 7919 + rows // count * 104729 + 1) % count)[:, :, 48:]
        return out

    def stamps(self, rows: np.ndarray) -> list[str]:
        """Return a cache key of each row."""
        return [str(row) for row in rows]


def large_set(source: PatchSet, count: int) -> PatchSet:
    """Return `count` patches, 400 per slide."""
    rows = np.arange(count)
    table = source.table.iloc[rows % len(source)].reset_index(drop=True)
    table = table.assign(
        id=[f"{row}.png" for row in rows],
        sha1=[f"{row:040x}" for row in rows],
        slide=pd.Series([f"slide{row // 400}" for row in rows], dtype="str"),
        split=pd.Series(["train"] * count, dtype="str"),
        label=pd.array(rows % 2, dtype="Int8"),
    )
    return replace(source, table=table, pixels=Halves(source), rows=rows)


def anonymous_mb() -> float:
    """Return the anonymous memory of this process in MB; the peak resident memory where /proc is missing."""
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssAnon"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print seconds and memory of each job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--patches", type=int, default=262_144)
    arguments = parser.parse_args()
    patches = large_set(open_patches(arguments.source).cached(), arguments.patches)
    unknown = replace(patches, table=patches.table.assign(slide=pd.Series([None] * len(patches), dtype="str")))
    shares = {"train": 0.7, "valid": 0.1, "test": 0.2}
    jobs = {
        "split by slide": lambda: split_patches(patches, shares),
        "split without slide information": lambda: split_patches(unknown, shares),
        "provenance matching by hash": lambda: match_provenance(unknown, patches),
        "provenance matching by near duplicates": lambda: match_provenance(
            replace(unknown, table=unknown.table.assign(sha1="f" + unknown.table["sha1"].str[1:])), patches
        ),
        "quality checks": lambda: inspect_patches(patches, quality=True),
    }
    print(f"{len(patches):,} patches\n\n| job | seconds | anonymous memory afterwards, MB |\n|---|---|---|")
    for name, job in jobs.items():
        started = time.perf_counter()
        job()
        print(f"| {name} | {time.perf_counter() - started:.1f} | {anonymous_mb():,.0f} |", flush=True)


if __name__ == "__main__":
    main()
