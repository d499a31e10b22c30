"""`sentinode serve` under many clients that send one patch each, compared with a bare loop of ONNX Runtime.

    python benchmarks/serve.py
    python benchmarks/serve.py --model d4net-m --clients 50 --seconds 60

Server, clients and loop run on the same machine, each in a process of its own; the clients start the next request when
the last is answered. The bare loop computes batches of the size that the service forms, before and after the service
runs. Memory is that of the server (USS); the first seconds warm it up.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np

WARM_UP_S = 10
BATCH_PATCHES = 32
LOOP_S, TURNS = 20, 5


@dataclass
class Load:
    """What clients saw."""

    seconds: float
    latency_ms: list[float] = field(default_factory=list)
    errors: int = 0

    def rate(self) -> float:
        """Return the requests answered per second."""
        return len(self.latency_ms) / self.seconds

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latency in ms."""
        return float(np.percentile(self.latency_ms, percent))


async def send_load(address: str, images: list[bytes], clients: int, seconds: float) -> Load:
    """Send single images with `clients` connections at a time, each as soon as the last was answered.

    Written on plain connections, since an HTTP library would take more of the processor than the service does.
    """
    host, port = re.fullmatch(r"http://(.+):(\d+)", address).groups()
    load, end = Load(seconds), time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < end:
            image = images[number % len(images)]
            number += clients
            started = time.perf_counter()
            writer.write(
                b"POST /predict HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n" % (host.encode(), len(image))
            )
            writer.write(image)
            status = await reader.readline()
            length = 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            answer = json.loads(await reader.readexactly(length))
            load.latency_ms.append(1000 * (time.perf_counter() - started))
            load.errors += b" 200 " not in status or not 0 <= answer["results"][0]["probability"] <= 1
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return load


def encoded_patches(count: int = 200) -> list[bytes]:
    """Return patches of the sample as PNG files."""
    from PIL import Image

    from sentinode import open_patches

    patches = open_patches("pcam-mini", split="test")
    files = []
    for pixels in patches.read(np.arange(min(count, len(patches)))):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        files.append(buffer.getvalue())
    return files


def bare_loops(model: str, batch: int, seconds: float) -> tuple[float, float]:
    """Return the patches per second of ONNX Runtime with its own settings, and of the engine that divides batches.

    Both compute in a loop, without a service, in turns.
    """
    import onnxruntime

    from sentinode import load_run, open_patches
    from sentinode.export.cached import engine_file

    run = load_run(model)
    session = onnxruntime.InferenceSession(engine_file(run, run.path / "model.json", "onnxruntime"))
    name, engine = session.get_inputs()[0].name, run.session("onnxruntime").compute
    pixels = open_patches("pcam-mini", split="test").read(np.arange(batch))
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for compute, found in zip(
            (lambda: session.run(None, {name: pixels}), lambda: engine(pixels)), rates, strict=True
        ):
            compute()
            started, batches = time.perf_counter(), 0
            while time.perf_counter() - started < seconds / TURNS / 2:
                compute()
                batches += 1
            found.append(batch * batches / (time.perf_counter() - started))
    return float(np.median(rates[0])), float(np.median(rates[1]))


def memory_mb(process: int) -> float:
    """Return the memory of a process that is its own, in MB."""
    text = open(f"/proc/{process}/smaps_rollup").read()  # noqa: SIM115, PTH123
    private = re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.MULTILINE)
    return sum(map(int, private)) / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="d4net-m")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--loop", action="store_true", help="measure the bare loop in this process")
    arguments = parser.parse_args()
    if arguments.loop:
        print(*bare_loops(arguments.model, BATCH_PATCHES, LOOP_S))
        return

    def loops() -> np.ndarray:
        words = [sys.executable, __file__, "--loop", "--model", arguments.model]
        lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
        return np.array(lines[-1].split(), float)

    before = loops()
    words = ["serve", "--port", "0", "--model", arguments.model, "--engine", arguments.engine]
    server = subprocess.Popen([sys.executable, "-m", "sentinode", *words], stdout=subprocess.PIPE, text=True)
    try:
        address = next(m[1] for line in server.stdout if (m := re.search(r"serving (\S+)", line)))
        images = encoded_patches()
        asyncio.run(send_load(address, images, arguments.clients, WARM_UP_S))
        memory_before = memory_mb(server.pid)
        load = asyncio.run(send_load(address, images, arguments.clients, arguments.seconds))
        memory_after = memory_mb(server.pid)
    finally:
        server.terminate()
        server.wait()
    after = loops()
    bare, engine = (before + after) / 2
    print(
        f"{arguments.model}, {arguments.engine}, {arguments.clients} clients, {arguments.seconds:g} s: "
        f"{len(load.latency_ms):,} requests, {load.errors} errors\n"
        f"latency p50 {load.percentile(50):.0f} ms, p99 {load.percentile(99):.0f} ms\n"
        f"{load.rate():.0f} patches/s; bare ONNX Runtime with batches of {BATCH_PATCHES} {before[0]:.0f} before and "
        f"{after[0]:.0f} after: {100 * load.rate() / bare:.0f} %\n"
        f"the engine of the service alone {engine:.0f} patches/s: {engine / bare:.2f} times the bare loop\n"
        f"memory {memory_before:.0f} MB after {WARM_UP_S} s, {memory_after:.0f} MB at the end\n"
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}"
    )


if __name__ == "__main__":
    main()
