"""What happens to damaged slides: 200 copies with bytes cut off, zeroed or changed, each opened and read.

    python benchmarks/damaged_slides.py FOLDER_OF_SLIDES --slides 200

Each copy is opened, its tissue is found, and regions of every level are read, in a process of its own for all copies
until it dies. A copy is `read` (the damage was in pixels that were not read, or only changed colors), `refused` with a
reason, has `crashed` the process, or `hung`: no further region was read for 10 s. A copy that lost its coarse levels
takes longer, as all of level 0 is read to find its tissue.
"""

import argparse
import collections
import logging
import multiprocessing
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from sentinode.errors import SentinodeError
from sentinode.slides.isolation import IsolatedWorker, ProcessDiedError

LIMIT_S = 10
KINDS = ("truncated", "header", "bytes", "zeros", "tags")


def damaged(content: bytes, kind: str, random: np.random.Generator) -> bytes:
    """Return a damaged copy of a file."""
    data = bytearray(content)
    size = len(data)
    if kind == "truncated":
        return bytes(data[: int(size * random.uniform(0.01, 0.999))])
    if kind == "header":
        for place in random.integers(0, 512, 8):
            data[place] = random.integers(256)
    elif kind == "bytes":
        for place in random.integers(0, size, max(1, size // 20_000)):
            data[place] = random.integers(256)
    elif kind == "zeros":
        start = random.integers(0, size)
        length = int(min(size - start, random.integers(1_000, 200_000)))
        data[start : start + length] = bytes(length)
    else:  # The directories of a TIFF stand at the end or after each level: change what looks like one.
        places = [place for place in range(0, size - 12, 2) if content[place : place + 4] in _TAGS]
        for place in random.choice(places, min(4, len(places)), replace=False) if places else ():
            data[place + random.integers(4, 12)] = random.integers(256)
    return bytes(data)


# Width, length, bits, compression, strip and tile offsets and counts, samples: with type short or long, little-endian.
_TAGS = {
    tag.to_bytes(2, "little") + kind.to_bytes(2, "little")
    for tag in (256, 257, 258, 259, 273, 277, 278, 279, 322, 323, 324, 325)
    for kind in (3, 4, 16)
}


class CountingReader:
    """Counts the regions that a reader has read."""

    def __init__(self, reader, regions) -> None:
        self._reader, self._regions = reader, regions

    def read(self, *place):
        """Read a region."""
        pixels = self._reader.read(*place)
        with self._regions.get_lock():
            self._regions.value += 1
        return pixels

    def __getattr__(self, name: str):
        return getattr(self._reader, name)


def examine(regions, path: str) -> None:
    """Open and read a slide."""
    from sentinode.slides import open_slide
    from sentinode.slides.tissue import find_tissue

    random = np.random.default_rng(0)
    with open_slide(path, spacing_um_px=0.5, force=True) as opened:
        slide = replace(opened, reader=CountingReader(opened.reader, regions))
        find_tissue(slide)
        for number, level in enumerate(slide.levels):
            for _ in range(8):
                x, y = (int(random.integers(max(1, side))) for side in (level.width_px, level.height_px))
                slide.reader.read(number, x, y, 300, 300)


def prepare(regions):
    """Import what is needed; return the function that examines a slide."""
    import sentinode.slides.tissue  # noqa: F401

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return partial(examine, regions)


def outcome(worker: IsolatedWorker, regions, path: Path) -> tuple[str, str]:
    """Examine a slide; return the outcome, and the reason."""
    try:
        worker.call(str(path), stalled_s=LIMIT_S, progress=lambda: regions.value)
    except ProcessDiedError as error:
        return "hung" if "no progress" in str(error) else "crashed", str(error)
    except SentinodeError as error:
        return "refused", str(error)
    return "read", ""


def main() -> None:
    """Damage, examine and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--show", action="store_true", help="print every reason")
    arguments = parser.parse_args()
    sources = [path for path in sorted(arguments.folder.iterdir()) if path.suffix in (".svs", ".tif", ".dcm")]
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    seconds, random = [], np.random.default_rng(0)
    regions = multiprocessing.get_context("spawn").Value("Q")
    with tempfile.TemporaryDirectory() as folder, IsolatedWorker(partial(prepare, regions)) as worker:
        for number in range(arguments.slides):
            source, kind = sources[number % len(sources)], KINDS[number // len(sources) % len(KINDS)]
            path = Path(folder, f"damaged{source.suffix}")
            path.write_bytes(damaged(source.read_bytes(), kind, random))
            worker.start()
            started = time.perf_counter()
            result, reason = outcome(worker, regions, path)
            seconds.append(time.perf_counter() - started)
            counts[kind][result] += 1
            if arguments.show:
                print(
                    f"{number} {source.name} {kind} {seconds[-1]:.1f} s: {result} {reason.replace(folder, '')[:300]}",
                    flush=True,
                )
    print(f"{arguments.slides} damaged copies of {len(sources)} slides")
    for kind, found in counts.items():
        print(f"{kind}: " + ", ".join(f"{count} {name}" for name, count in found.most_common()))
    total = sum(counts.values(), collections.Counter())
    print("all: " + ", ".join(f"{total[name]} {name}" for name in ("read", "refused", "crashed", "hung")))
    print(f"longest {max(seconds):.1f} s, median {np.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
