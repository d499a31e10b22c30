"""Kill scanning processes at random times and compare the results with those of an undisturbed scan.

    python benchmarks/killed_scans.py SLIDE [--copies 4] [--kills 20] [--step 64] [--ways leases-2,dask-1]

Copies of SLIDE are scanned once without disturbance; then by 1, 2 and 4 processes that share a folder by lease files,
and on Dask clusters of 1, 2 and 4 workers, with `kill -9` for one of them at random times. A process that was killed is
started again; so is the command where it gives up on a slide at which three workers were killed. For each way the
script prints how many slides have the same bytes.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILES = ("heatmap.tif", "log_odds.npy", "lesions.geojson", "summary.json", "overview.png")


@dataclass
class Plan:
    """What is scanned, and when a process is killed."""

    slides: Path
    options: tuple[str, ...]
    kills: int
    scan_s: float
    choose: random.Random

    def waits_s(self) -> Iterator[float]:
        """Return the seconds before each kill."""
        return (self.choose.uniform(0.1, 0.4) * self.scan_s for _ in range(self.kills))


def start(slides: Path, out: Path, *options: str) -> subprocess.Popen:
    """Start a scan; its output goes to a log beside the results."""
    words = [sys.executable, "-m", "sentinode", "scan", slides, "--out", out, *options]
    with out.with_suffix(".log").open("a") as log:
        return subprocess.Popen(list(map(str, words)), stdout=log, stderr=log)


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


def kill_processes(plan: Plan, out: Path, count: int) -> None:
    """Scan with processes that share a folder, one of which is killed again and again."""
    workers = [start(plan.slides, out, *plan.options) for _ in range(count)]
    for wait_s in plan.waits_s():
        time.sleep(wait_s)
        number = plan.choose.randrange(count)
        workers[number].kill()
        workers[number].wait()
        for attempt in out.glob("*.lease-[23]"):  # Killed by this script, not by their slide.
            attempt.unlink(missing_ok=True)
        workers[number] = start(plan.slides, out, *plan.options)
    for worker in workers:
        worker.wait()


def kill_workers(plan: Plan, out: Path, count: int) -> None:
    """Scan on a Dask cluster, one of whose workers is killed again and again."""
    scan = start(plan.slides, out, "--dask", str(count), *plan.options)
    for wait_s in plan.waits_s():
        time.sleep(wait_s)
        if scan.poll() is not None:  # Done, or three workers were killed at one slide.
            scan = start(plan.slides, out, "--dask", str(count), *plan.options)
            time.sleep(wait_s)
        victims = [pid for pid in descendants(scan.pid) if is_worker(pid)] if scan.poll() is None else []
        if victims:
            os.kill(plan.choose.choice(victims), signal.SIGKILL)
    scan.wait()


def is_worker(pid: int) -> bool:
    """Tell whether a process is a worker of Dask."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> None:
    """Scan, kill, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--step", default="64")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--ways", default="leases-1,leases-2,leases-4,dask-1,dask-2,dask-4")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    slides = work / "slides"
    slides.mkdir()
    names = [f"slide-{number}" for number in range(arguments.copies)]
    for name in names:
        shutil.copy(arguments.slide, slides / f"{name}{arguments.slide.suffix}")
    options = "--step", arguments.step, "--engine", arguments.engine
    began = time.monotonic()
    if start(slides, work / "alone", *options).wait():
        sys.exit("the undisturbed scan failed")
    alone_s = time.monotonic() - began
    print(f"undisturbed: {alone_s:.0f} s", flush=True)
    plan = Plan(slides, options, arguments.kills, alone_s, random.Random(arguments.seed))
    for way in arguments.ways.split(","):
        kind, _, count = way.partition("-")
        out, began = work / way, time.monotonic()
        disturb = kill_workers if kind == "dask" else kill_processes
        disturb(plan, out, int(count))
        status = start(slides, out, *options).wait()
        print(
            f"{way}, {arguments.kills} kills: exit status {status}, {compare(work / 'alone', out, names)}, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    shutil.rmtree(work)
    print(f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


if __name__ == "__main__":
    main()
