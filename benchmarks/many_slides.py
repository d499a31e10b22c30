"""Measure what a folder of many slides costs besides the scanning itself.

    python benchmarks/many_slides.py SLIDE [--slides 1000]

SLIDE is linked under many names. One of them is scanned, and its result is copied for all others, so that they count as
finished. The script prints time and memory of `sentinode scan --dry-run`, of a scan in which every slide is finished
already, as after a restart, and of `sentinode evaluate-slides`; and the disk space of the results of a slide.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sentinode.machine import processor_count, processor_name


def measure(name: str, slides: int, *words: object) -> None:
    """Run a command; print its time, CPU time and memory."""
    began = time.monotonic()
    command = [sys.executable, "-m", "sentinode", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)  # With the processes that it started and waited for.
    seconds, cpu_s = time.monotonic() - began, used.ru_utime + used.ru_stime
    if status:
        sys.exit(f"sentinode {name} failed")
    print(
        f"| {name} | {seconds:.0f} | {cpu_s:.0f} | {slides / seconds:.1f} | {used.ru_maxrss / 1024:,.0f} |", flush=True
    )


def main() -> None:
    """Make the folder, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--engine", default="openvino")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="sentinode-"))
    slides, out = work / "slides", work / "scans"
    slides.mkdir()
    original = Path(shutil.copy(arguments.slide, work / f"original{arguments.slide.suffix}"))
    for number in range(arguments.slides):
        os.link(original, slides / f"slide-{number:05}{original.suffix}")
    scan = "scan", "--out", out, "--engine", arguments.engine
    first = sorted(slides.iterdir())[0]
    print(f"{arguments.slides} slides like {arguments.slide.name}\n\n| command | s | CPU s | slides/s | most MB |")
    print("|---|---|---|---|---|")
    measure("first scan", 1, *scan, first)
    measure("dry run", arguments.slides, *scan, slides, "--dry-run")
    for path in sorted(slides.iterdir())[1:]:
        folder = Path(shutil.copytree(out / first.stem, out / path.stem))
        for file in (folder / "settings.json", folder / "summary.json"):
            file.write_text(json.dumps(json.loads(file.read_text()) | {"slide": path.name}))
    measure("scan, all finished", arguments.slides, *scan, slides)
    measure("evaluate-slides", arguments.slides, "evaluate-slides", out)
    size = sum(file.stat().st_size for file in (out / first.stem).iterdir())
    tissue_mm2 = json.loads((out / first.stem / "summary.json").read_text())["tissue_mm2"]
    print(f"\nresults of a slide with {tissue_mm2:.2f} mm² of tissue: {size / 1e6:.2f} MB")
    machine = f"{processor_name()}, {processor_count()} processors; load {os.getloadavg()[0]:.1f}"
    print(f"{time.strftime('%Y-%m-%d')}; {machine}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
