"""Kill scanning processes at random times and compare the results with those of an undisturbed scan.

    python benchmarks/killed_scans.py SLIDE [--copies 4] [--kills 20] [--step 64]

Copies of SLIDE are scanned once without disturbance; then by two processes that share a folder by lease files, with
`kill -9` at random times; then on Dask clusters of 1, 2 and 4 workers, one of which is killed. For each way the script
prints how many slides were scanned and whether all files have the same bytes.
"""

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = ("heatmap.tif", "log_odds.npy", "lesions.geojson", "summary.json", "overview.png")


def start(slides: Path, out: Path, step: str, *options: str) -> subprocess.Popen:
    """Start a scan."""
    words = [sys.executable, "-m", "sentinode.cli.main", "scan", slides, "--out", out, "--step", step, *options]
    return subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def compare(expected: Path, found: Path, names: list[str]) -> str:
    """Say how many slides have the expected bytes."""
    same = sum(
        all(
            (found / name / file).is_file()
            and (found / name / file).read_bytes() == (expected / name / file).read_bytes()
            for file in FILES
        )
        for name in names
    )
    left = len(list(found.glob("*.lease-*"))) + len(list(found.glob("*/unfinished")))
    return f"{same} of {len(names)} slides with the same bytes, {left} leases or unfinished rows left"


def descendants(pid: int) -> list[int]:
    """Return the processes below a process, on Linux."""
    children = [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]
    return children + [below for child in children for below in descendants(child)]


def main() -> None:
    """Scan, kill, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--step", default="64")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    choose, work = random.Random(arguments.seed), Path(tempfile.mkdtemp())
    slides = work / "slides"
    slides.mkdir()
    names = [f"slide-{number}" for number in range(arguments.copies)]
    for name in names:
        shutil.copy(arguments.slide, slides / f"{name}{arguments.slide.suffix}")
    began = time.monotonic()
    if start(slides, work / "alone", arguments.step).wait():
        sys.exit("the undisturbed scan failed")
    alone_s = time.monotonic() - began
    print(f"undisturbed: {alone_s:.0f} s", flush=True)

    out = work / "leases"
    workers = [start(slides, out, arguments.step) for _ in range(2)]
    for _ in range(arguments.kills):
        time.sleep(choose.uniform(0.1, 0.6) * alone_s)
        number = choose.randrange(2)
        workers[number].kill()
        workers[number].wait()
        for attempt in out.glob("*.lease-[23]"):  # Killed by this script, not by their slide.
            attempt.unlink(missing_ok=True)
        workers[number] = start(slides, out, arguments.step)
    for worker in workers:
        worker.wait()
    start(slides, out, arguments.step).wait()
    print(f"lease files, 2 processes, {arguments.kills} kills: {compare(work / 'alone', out, names)}", flush=True)

    for count in (1, 2, 4):
        out = work / f"dask-{count}"
        scan = start(slides, out, arguments.step, "--dask", str(count))
        time.sleep(choose.uniform(0.3, 0.8) * alone_s)
        victims = (
            [pid for pid in descendants(scan.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            if scan.poll() is None
            else []
        )
        if victims:
            os.kill(choose.choice(victims), signal.SIGKILL)
        status = scan.wait()
        print(
            f"Dask, {count} workers, {'one killed' if victims else 'none killed'}: exit status {status}, "
            f"{compare(work / 'alone', out, names)}",
            flush=True,
        )
    shutil.rmtree(work)
    print(f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


if __name__ == "__main__":
    main()
