"""Tiles of `sentinode view` under one and many clients, compared with a bare DeepZoom server on OpenSlide.

    python benchmarks/viewer.py slide.tif
    python benchmarks/viewer.py slide.tif --clients 50 --tiles 2000 --memory-tiles 10000 --seconds 60

Servers and clients run on the same machine, each in a process of its own. Both servers are Starlette applications on
uvicorn and send the same tiles (254 px, overlap 1, JPEG quality 80). The clients ask for distinct tiles in random
order, each as soon as the last was answered. The file is read once before, so that no server pays for the disk, and
the two servers take turns. Processor time and memory are those of the
server and all its processes, memory without shared pages (USS). `scripts/make_synthetic_slide.py` makes a slide of
CAMELYON size.
"""

import argparse
import asyncio
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np

QUALITY, TILE_PX, OVERLAP_PX = 80, 254, 1
VIEW_PX = (1280, 800)
BARE = "--bare"


@dataclass
class Load:
    """What clients saw."""

    seconds: float = 0.0
    latency_ms: list[float] = field(default_factory=list)
    errors: int = 0
    cpu_s: float = 0.0

    def row(self) -> str:
        """Return rate and percentiles as cells of a table."""
        p50, p99 = np.percentile(self.latency_ms, (50, 99))
        count = len(self.latency_ms)
        return f"{count / self.seconds:.0f} | {p50:.1f} | {p99:.1f} | {1000 * self.cpu_s / count:.1f} | {self.errors}"


def tiles(width_px: int, height_px: int, seed: int) -> Iterator[tuple[int, int, int]]:
    """Yield level, column and row of distinct tiles over the middle of the slide, as often from each fine level."""
    most = (max(width_px, height_px) - 1).bit_length()
    rng = np.random.default_rng(seed)
    seen = set()
    while True:
        level = most - int(rng.integers(0, 5))
        columns, rows = (-(-side // (TILE_PX << (most - level))) for side in (width_px, height_px))
        tile = level, int(rng.integers(columns // 8, columns - columns // 8)), int(rng.integers(rows // 8, rows))
        if tile not in seen:
            seen.add(tile)
            yield tile


async def send_load(
    address: str, token: str, paths: Iterable[str], clients: int, seconds: float = float("inf")
) -> Load:
    """Ask for all paths with `clients` connections at a time, until the time is over."""
    host, port = re.fullmatch(r"http://(.+):(\d+)", address).groups()  # type: ignore[union-attr]
    load, waiting = Load(), iter(paths)

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < end and (path := next(waiting, None)) is not None:
            began = time.perf_counter()
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(request.encode())
            status, length = await reader.readline(), 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            await reader.readexactly(length)
            load.latency_ms.append(1000 * (time.perf_counter() - began))
            load.errors += b" 200 " not in status
        writer.close()

    began = time.perf_counter()
    end = began + seconds
    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - began
    return load


def serve_bare(slide: str) -> None:
    """Serve the tiles of OpenSlide's own DeepZoom generator."""
    import io

    import uvicorn
    from openslide import OpenSlide
    from openslide.deepzoom import DeepZoomGenerator
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from sentinode.service.server import listen

    generator = DeepZoomGenerator(OpenSlide(slide), TILE_PX, OVERLAP_PX)

    def tile(request: Request) -> Response:
        level, column, row = (request.path_params[name] for name in ("level", "column", "row"))
        buffer = io.BytesIO()
        generator.get_tile(level, (column, row)).save(buffer, "JPEG", quality=QUALITY)
        return Response(buffer.getvalue(), media_type="image/jpeg")

    route = Route("/api/slides/s1/tiles/{level:int}/{column:int}_{row:int}.jpg", tile)
    listening = listen("127.0.0.1", 0)
    print(f"viewing http://127.0.0.1:{listening.getsockname()[1]}/?token=none", flush=True)
    uvicorn.Server(uvicorn.Config(Starlette(routes=[route]), log_level="warning")).run(sockets=[listening])


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Run a server; yield its address, its token and its process."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = next(filter(None, (re.search(r"viewing (\S+)/\?token=(\S+)", line) for line in process.stdout)))
    try:
        yield found[1], found[2], process.pid
    finally:
        process.terminate()
        process.wait()


def processes(pid: int) -> list[int]:
    """Return a process and all that it has started."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(each for file in children for child in file.read_text().split() for each in processes(int(child)))]


def cpu_s(pid: int) -> float:
    """Return the processor time that a process and its children have taken."""
    taken = 0
    for each in processes(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        taken += int(fields[11]) + int(fields[12])
    return taken / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the memory that a process and its children share with no other."""
    texts = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in processes(pid)]
    found = re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", "\n".join(texts), re.MULTILINE)
    return sum(int(kb) for kb in found) / 1024


def first_view_s(address: str, token: str, width_px: int, height_px: int) -> float:
    """Return the seconds until a page of 1280 × 800 px has all that its first view of the slide shows."""
    most = (max(width_px, height_px) - 1).bit_length()
    scale = max(width_px / VIEW_PX[0], height_px / VIEW_PX[1])
    level = most - max(0, int(np.floor(np.log2(scale))))
    columns, rows = (-(-side // (TILE_PX << (most - level))) for side in (width_px, height_px))
    at = "/api/slides/s1"
    wanted = [f"{at}/tiles/{level}/{column}_{row}.jpg" for row in range(rows) for column in range(columns)]
    began = time.perf_counter()
    for paths, clients in ((["/", "/api/session"], 1), ([at, f"{at}/annotations"], 1), (wanted, 6)):
        load = asyncio.run(send_load(address, token, paths, clients))
        assert load.errors == 0
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide")
    parser.add_argument(BARE, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--tiles", type=int, default=1000, help="for each load")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--memory-tiles", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=0, help="of a further load with all clients")
    arguments = parser.parse_args()
    if arguments.bare:
        serve_bare(arguments.slide)
        return
    from openslide import OpenSlide

    with Path(arguments.slide).open("rb") as file:
        while file.read(1 << 24):
            pass
    with OpenSlide(arguments.slide) as slide:
        size = slide.dimensions
    view = ["-m", "sentinode", "view", arguments.slide, "--no-browser", "--read-only"]
    servers = {"sentinode view": view, "OpenSlide's DeepZoomGenerator": [__file__, arguments.slide, BARE]}
    print(f"{size[0]:,} × {size[1]:,} px; {os.cpu_count()} cores, {platform.machine()}; {datetime.now(UTC):%Y-%m-%d}\n")
    loads: dict[tuple[str, int], Load] = {}
    first: list[str] = []
    for turn in range(arguments.turns):
        for name, command in servers.items():
            with running(command) as (address, token, pid):
                if command is view:
                    taken = cpu_s(pid)
                    seconds = first_view_s(address, token, *size)
                    first.append(f"{seconds:.2f} s ({cpu_s(pid) - taken:.2f} s of processor time)")
                for clients in (1, arguments.clients):
                    chosen = islice(tiles(*size, seed=1000 * turn + clients), arguments.tiles)
                    paths = [f"/api/slides/s1/tiles/{level}/{column}_{row}.jpg" for level, column, row in chosen]
                    taken = cpu_s(pid)
                    load = asyncio.run(send_load(address, token, paths, clients))
                    kept = loads.setdefault((name, clients), Load())
                    kept.latency_ms += load.latency_ms
                    kept.seconds += load.seconds
                    kept.errors += load.errors
                    kept.cpu_s += cpu_s(pid) - taken
    print("| server | clients | tiles/s | p50 ms | p99 ms | CPU ms a tile | errors |\n|---|---|---|---|---|---|---|")
    for (name, clients), load in loads.items():
        print(f"| {name} | {clients} | {load.row()} |")
    print(f"\nfirst view after the server is up: {', '.join(first)}")
    with running(view) as (address, token, pid):
        left = (f"/api/slides/s1/tiles/{level}/{column}_{row}.jpg" for level, column, row in tiles(*size, seed=7))
        asyncio.run(send_load(address, token, islice(left, 1000), arguments.clients))
        before, count = memory_mb(pid), arguments.memory_tiles
        load = asyncio.run(send_load(address, token, islice(left, count - 1000), arguments.clients))
        after = memory_mb(pid)
        print(f"memory: {before:.0f} MB after 1,000 tiles, {after:.0f} MB after {count:,}; {load.errors} errors")
        if arguments.seconds:
            load = asyncio.run(send_load(address, token, left, arguments.clients, arguments.seconds))
            sent = f"{len(load.latency_ms):,} tiles, {load.errors} errors"
            print(f"{arguments.clients} clients for {load.seconds:.0f} s: {sent}; then {memory_mb(pid):.0f} MB")


if __name__ == "__main__":
    main()
